"""Cut the fonts that pictures need from Noto: `python -m tests.generators.fonts FOLDER…`, the folders of Noto fonts.

Needs fontTools, which matplotlib brings, and the files of Debian's fonts-noto-core and fonts-noto-cjk. A test says
when a language or a label word was added that the cut fonts do not have.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.literals import words
from lm_eval_xling.probes import fonts

# File, and number of the font in a collection: 2 is Simplified Chinese, which has kana and Hangul too.
SOURCES = {
    "NotoSansBengali-Regular.ttf": -1,
    "NotoSansDevanagari-Regular.ttf": -1,
    "NotoSansEthiopic-Regular.ttf": -1,
    "NotoSansSinhala-Regular.ttf": -1,
    "NotoSansTelugu-Regular.ttf": -1,
    "NotoSansThai-Regular.ttf": -1,
    "NotoSansCJK-Regular.ttc": 2,
}


def needed() -> str:
    """Return the native names of all languages, and the label words of those that have prompt words."""
    texts = [language.native_name for language in LANGUAGES.values()]
    for code in LANGUAGES:
        try:
            texts += [text for key, text in words(code).items() if key.startswith("labels.")]
        except UserError:
            continue  # only named in pictures
    return "\n".join(texts)


def main(folders: list[Path]) -> None:
    text = "".join(sorted(fonts.beyond_base(needed())))
    options = subset.Options(layout_features=["*"], hinting=False, name_IDs=[0, 1, 2, 5, 13, 14], notdef_outline=True)
    for name, number in SOURCES.items():
        source = next(path for folder in folders for path in folder.rglob(name))
        font = TTFont(source, fontNumber=number)
        characters = [character for character in text if ord(character) in font.getBestCmap()]
        cutter = subset.Subsetter(options)
        cutter.populate(text="".join(characters))
        cutter.subset(font)
        # Another family name: an installed whole font must not give way to its cut namesake.
        family = font["name"].getDebugName(1).replace("Noto Sans", "Noto Cut")
        for record in font["name"].names:
            if record.nameID == 1:
                record.string = family
        target = (
            fonts.SHIPPED / f"{name.split('-')[0].replace('NotoSans', 'NotoCut')}{source.suffix.replace('ttc', 'otf')}"
        )
        font.save(target)
        print(f"{target.name}: {family}, {len(characters)} characters, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
