"""Apertium, the rule-based translator of Debian and others: real translation without a model or a network."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.translation import apertium_tagger
from lm_eval_xling.translation.translator import Translator, unsupported

__all__ = ["ApertiumTranslator"]

# Characters that have a meaning in Apertium's stream format.
_RESERVED = re.compile(r"([\[\]{}^$/\\@<>])")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# Apertium's own text deformatter marks the end of a paragraph so; without it the tagger guesses badly.
_END = ".[]"

# Where Apertium's tagger stands in a mode. It remembers what it saw, so that a translation would depend on what was
# translated before; ours starts it anew where that matters.
_TAGGER = re.compile(r"(^|\| *)apertium-tagger\b")
_OUR_TAGGER = Path(apertium_tagger.__file__)
_OUR_WAY = b"a tagger that knows nothing but the text; small letters stay"
"""What makes translations other than those of the rules and dictionaries alone, for their identity."""

_WITHIN = ", "
"""Before a text that begins small: Apertium takes a text for a sentence and gives it a capital, but not after this."""

_SHARE = 250
"""Texts of a pipeline of programs at most."""
_WORTH_STARTING = 50
"""Texts whose translation takes as long as starting a pipeline."""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ApertiumTranslator(Translator):
    """``apertium``, or ``apertium:DIR`` for language data that stand elsewhere than where Debian puts them.

    A pair without direct rules goes through other languages, by the shortest way: English to Italian through
    Spanish.
    """

    batch = _SHARE * _cores()

    def __init__(self, folder: str = "") -> None:
        self.folder = Path(folder or "/usr/share/apertium").expanduser()
        if shutil.which("apertium") is None:
            raise UserError(
                "the program 'apertium' is not installed",
                fix="apt-get install apertium apertium-eng-spa apertium-spa-ita (or the pairs you need)",
            )

    @cached_property
    def modes(self) -> Mapping[tuple[str, str], Path]:
        """Mode file of each directly translated language pair, in our codes; variants (``eng_US``) left out."""
        codes = {language.iso639_3: code for code, language in LANGUAGES.items()}
        # Apertium names some macrolanguages and scripts otherwise.
        codes.update({"hbs": "sr", "srp": "sr", "zlm": "ms", "ara": "ar", "por": "pt", "nno": "no"} | {"nob": "no"})
        found: dict[tuple[str, str], Path] = {}
        for path in sorted((self.folder / "modes").glob("*.mode")):
            source, _, target = path.stem.partition("-")
            if source in codes and target in codes:
                found.setdefault((codes[source], codes[target]), path)
        return found

    def route(self, source: str, target: str) -> list[Path]:
        """Return the mode files that lead from one language to the other, the fewest there are.

        Raises:
            UserError: if there is no way.
        """
        ways: dict[str, list[Path]] = {source: []}
        frontier = [source]
        while frontier and target not in ways:
            reached = []
            for (first, second), path in self.modes.items():
                if first in frontier and second not in ways:
                    ways[second] = [*ways[first], path]
                    reached.append(second)
            frontier = reached
        if target not in ways:
            pairs = ", ".join(f"{first}→{second}" for first, second in self.modes) or "none"
            raise unsupported(
                "apertium",
                source,
                target,
                fix=f"apt-cache search apertium; install a package of the pair (installed: {pairs})",
            )
        return ways[target]

    def identity(self, source: str, target: str) -> str:
        """Return the route with a hash of its rules and dictionaries."""
        digest = hashlib.blake2b(_OUR_WAY, digest_size=8)
        route = self.route(source, target)
        for mode in route:
            command = mode.read_text(encoding="utf-8")
            digest.update(command.encode())
            for word in shlex.split(command):
                if word.startswith("/"):
                    digest.update(Path(word).read_bytes())
        return f"apertium:{'+'.join(mode.stem for mode in route)}:{digest.hexdigest()}"

    def check(self, source: str, target: str) -> None:
        """Look for a route."""
        self.route(source, target)

    def translate(self, texts: Sequence[str], source: str, target: str, attempt: int = 0) -> list[str | None]:
        """Translate; what Apertium does not know stays as it is, without marks."""
        route = self.route(source, target)
        # Every so-manieth, because callers hand over the longest texts first.
        count = max(-(-len(texts) // _SHARE), min(_cores(), len(texts) // _WORTH_STARTING), 1)
        found: list[str | None] = list(texts)
        with TemporaryDirectory(prefix="xling-apertium-") as name, ThreadPoolExecutor(_cores()) as pool:
            folder = _modes_with_our_tagger(Path(name), route)
            shares = pool.map(partial(_translated, folder, route), (texts[start::count] for start in range(count)))
            for start, share in enumerate(shares):
                found[start::count] = share
        return [text or None for text in found]


def _modes_with_our_tagger(folder: Path, route: Sequence[Path]) -> Path:
    """Write the modes of a route to a folder, with our tagger in the place of Apertium's."""
    tagger = folder / "tagger"
    program = shlex.join([sys.executable, "-S", "-E", str(_OUR_TAGGER)])
    tagger.write_text(f'#!/bin/sh\nexec {program} "$@"\n', encoding="utf-8")
    tagger.chmod(0o700)
    (folder / "modes").mkdir()
    for mode in route:
        command = _TAGGER.sub(lambda match: match[1] + shlex.quote(str(tagger)), mode.read_text(encoding="utf-8"))
        (folder / "modes" / mode.name).write_text(command, encoding="utf-8")
    return folder


def _translated(folder: Path, route: Sequence[Path], texts: Sequence[str]) -> list[str]:
    """Translate a share of the texts through all modes of a route."""
    found = [_WITHIN + text if text.lstrip()[:1].islower() else text for text in texts]
    for mode in route:
        found = _run(folder, mode, found)
    return [
        into.removeprefix(_WITHIN.strip()).lstrip() if text.lstrip()[:1].islower() else into
        for text, into in zip(texts, found, strict=True)
    ]


def _run(folder: Path, mode: Path, texts: Sequence[str]) -> list[str]:
    """Translate through one pipeline of programs."""
    stream = "".join(_RESERVED.sub(r"\\\1", text.replace("\0", " ")) + _END + "\0" for text in texts)
    done = subprocess.run(
        ["apertium", "-d", str(folder), "-u", "-z", "-f", "none", mode.stem],
        input=stream.encode(),
        capture_output=True,
        check=False,
    )
    outputs = done.stdout.decode("utf-8", "replace").split("\0")
    # Every program of the pipeline adds an end of its own: there are more parts than texts.
    if done.returncode != 0 or len(outputs) <= len(texts):
        raise UserError(
            f"apertium failed: {done.stderr.decode('utf-8', 'replace').strip()[-500:] or 'no message'}",
            where=mode,
            fix="echo Hello | apertium " + mode.stem,
        )
    return [_plain(output) for output in outputs[: len(texts)]]


def _plain(output: str) -> str:
    """Return the text of one part of Apertium's stream."""
    text = output.strip().removesuffix("[]")
    # The full stop is ours; the generator may have joined it with one of the text.
    text = _ESCAPED.sub(r"\1", text.removesuffix("."))
    # Reordering leaves blanks behind.
    return re.sub(" {2,}", " ", text).strip()
