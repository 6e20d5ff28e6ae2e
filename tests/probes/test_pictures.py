from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from matplotlib import ft2font

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes import PROBES, Findings, canvas, fonts, pictures
from lm_eval_xling.probes.kinds.similarity import CONTROLS, TRANSLATIONS
from lm_eval_xling.probes.probe import ALL_LANGUAGES, Measure, Picture, Point
from lm_eval_xling.probes.run_page import write_page
from lm_eval_xling.probes.runs import Run
from tests.generators.fonts import needed
from tests.report.browser import CHROMIUM, Browser

HOSTILE = "</script><script>alert(1)</script>{{ 7*7 }}\"'"


def measures(quantities: list[str], languages: list[str], others: list[str | None], **more: Any) -> list[Measure]:
    return [
        Measure(
            quantity, variant, minus, language, other, layer, layer / 4, layer / 4 - 0.1, layer / 4 + 0.1, 30, **more
        )
        for variant, minus in (("base", None), ("tuned", None), ("tuned", "base"))
        for quantity in quantities
        for language in languages
        for other in others
        for layer in range(4)
    ]


def test_the_shipped_fonts_have_every_script() -> None:
    shipped = {chr(code) for path in fonts.SHIPPED.glob("*.?tf") for code in ft2font.FT2Font(str(path)).get_charmap()}
    missing = fonts.beyond_base(needed()) - shipped
    assert not missing, f"cut the fonts again (tests/generators/fonts.py), they lack {sorted(missing)}"


def test_every_script_is_drawn_without_a_missing_glyph(tmp_path: Path) -> None:
    texts = needed().split("\n")
    with warnings.catch_warnings(), canvas.canvas(texts, 1, 1, (12, 9)) as (figure, axes):
        warnings.simplefilter("error")  # matplotlib warns of a glyph that is in none of the fonts
        for number, text in enumerate(texts):
            axes[0, 0].text(number % 8 / 8, number // 8 / len(texts) * 8, text)
        canvas.save(figure, tmp_path / "scripts.png", "")
    assert (tmp_path / "scripts.png").stat().st_size > 20_000 and (tmp_path / "scripts.svg").exists()


def test_a_character_without_a_font_is_an_error_that_says_what_to_install() -> None:
    with pytest.raises(UserError, match="no installed font") as error, canvas.canvas(["\U000e1234"], 1, 1, (1, 1)):
        pass
    assert "fonts-noto-cjk" in str(error.value.fix)


@pytest.mark.slow
def test_pictures_of_every_probe_and_view(tmp_path: Path) -> None:
    lens = measures(["p_correct_en", "p_all_en", "entropy", "share.en", "share.no letters"], ["zh", "bn"], [None])
    pairs = measures(["pc1_correlation", "centred_cosine", "cka_debiased"], ["en"], ["th", "ar"])
    pairs += measures(["explained_variance"], ["all"], [None])
    points = [
        Point(v, layer, code, str(i), i, layer * i)
        for v in ("base", "tuned")
        for layer in range(4)
        for code in ("en", "th")
        for i in range(9)
    ]
    kinds: list[str | None] = [TRANSLATIONS, *CONTROLS]
    changed = measures(["similarity_last", "similarity_mean"], ["en"], kinds)
    changed += measures(["advantage_last", "advantage_mean"], ["en"], kinds[1:], p=0.01)
    aligned = measures(["mexa", "retrieval_to", "retrieval_from"], ["ja", "te"], ["en"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [
            *pictures.draw_logit_lens(
                lens, tmp_path, probe=PROBES["logit-lens"], model="m", labels={"zh": ("积极", "消极"), "en": ("a", "b")}
            ),
            *pictures.draw_pca(pairs, points, tmp_path, probe=PROBES["pca"], model="m"),
            *pictures.draw_similarity(
                changed, tmp_path, probe=PROBES["similarity"], model="m", kinds=[TRANSLATIONS, *CONTROLS]
            ),
            *pictures.draw_mexa(aligned, tmp_path, probe=PROBES["mexa"], model="m"),
        ]
    stems = {picture.path.stem for picture in found}
    for name in ("logit-lens", "language-share", "agreement", "similarity", "mexa"):
        assert {name, f"{name}-tuned", f"{name}-tuned-minus-base"} <= stems
    assert {"pca", "pca-tuned"} <= stems and "pca-tuned-minus-base" not in stems
    for picture in found:
        assert picture.path.read_bytes()[:4] == b"\x89PNG" and picture.path.with_suffix(".svg").exists()
        assert picture.caption
    once = (tmp_path / "mexa.svg").read_bytes()
    pictures.draw_mexa(aligned, tmp_path, probe=PROBES["mexa"], model="m")
    assert (tmp_path / "mexa.svg").read_bytes() == once, "the same numbers give the same picture"


def test_a_long_name_of_a_model_is_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    widths: list[tuple[float, float, float]] = []
    write = Figure.savefig

    def measured(figure: Figure, path: Path, **options: Any) -> None:
        write(figure, path, **options)
        box = figure.get_tightbbox()
        widths.append((box.x0, box.x1, figure.get_figwidth()))

    monkeypatch.setattr(Figure, "savefig", measured)
    aligned = measures(["mexa", "retrieval_to", "retrieval_from"], ["ja", "te"], ["en"])
    pictures.draw_mexa(aligned, tmp_path, probe=PROBES["mexa"], model="llama-3-8b-" + "mixed-sentences-" * 8)
    assert widths and all(left >= 0 and right <= width for left, right, width in widths)


def test_numbers_are_the_same_in_both_formats(tmp_path: Path) -> None:
    import numpy as np

    rows = measures(["mexa"], ["de"], ["en"]) + measures(["advantage_last"], ["en"], ["x"], p=0.5)
    rows.append(Measure("cka", "base", None, "de", "en", None, float("nan"), 0.0, 1.0, 3))
    values = {"base": np.arange(12, dtype=np.float32).reshape(2, 3, 2)}
    run = Run(tmp_path / "run", "mexa", model={"model": "m"}, prompts=[], settings={})
    run.save(Findings(rows, columns=["a", "b"], values=values, ids=["1", "2"], languages=["de", "en"]))
    for name, count in (("measures", len(rows)), ("observations", 6)):
        lines = [json.loads(line) for line in (run.folder / f"{name}.jsonl").read_text().splitlines()]
        table = parquet.read_table(run.folder / f"{name}.parquet").to_pylist()
        assert len(lines) == count
        for line, row in zip(lines, table, strict=True):
            for key, value in row.items():
                assert line[key] == (None if value != value else value)
    assert (lines[4]["id"], lines[4]["layer"], lines[4]["a"], lines[4]["b"]) == ("2", 1, 8.0, 9.0)
    assert not list(run.folder.glob(".*")) and not (run.folder / "points.jsonl").exists()


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    def start(**settings: Any) -> Run:
        return Run(tmp_path / "run", "mexa", model={"model": "m"}, prompts=[], settings=settings)

    start(seed=0)
    start(seed=0)
    with pytest.raises(UserError, match="holds another run: settings differ"):
        start(seed=1)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        Run(tmp_path, "mexa", model={}, prompts=[], settings={})
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    picture = tmp_path / "p.png"
    picture.write_bytes(b"\x89PNG")
    rows = measures(["mexa"], ["de", "sw"], ["en"])
    # Sorted as text, 9 would come after 10.
    rows += [
        Measure("mexa", HOSTILE, None, "fr", "en", layer, value, 0, 1, 30) for layer, value in ((10, 2.0), (9, -5.0))
    ]
    write_page(
        tmp_path / "index.html", PROBES["mexa"], rows, [Picture(picture, HOSTILE)], {"model": HOSTILE, "n": {"a": 1}}
    )
    return tmp_path / "index.html"


def test_the_page_is_self_contained_and_escapes_what_it_shows(page: Path) -> None:
    text = page.read_text()
    assert "<script>alert" not in text and "49" not in text.split("<table")[0]
    assert text.count("<script>") == 1
    assert "http://" not in text and "https://" not in text and 'src="data:image/png;base64,' in text
    assert PROBES["mexa"].quantity("mexa").meaning in text
    assert "@font-face" not in text, "German and Swahili need no font of ours"


def test_the_page_brings_the_fonts_of_its_languages(tmp_path: Path) -> None:
    write_page(tmp_path / "index.html", PROBES["mexa"], measures(["mexa"], ["zh", "th"], ["en"]), [], {"model": "m"})
    assert (tmp_path / "index.html").read_text().count("@font-face") == 2


def test_what_is_counted_over_all_languages_is_no_language(tmp_path: Path) -> None:
    """``all`` is the code of Allar."""
    rows = measures(["explained_variance"], [ALL_LANGUAGES], [None])
    write_page(tmp_path / "index.html", PROBES["pca"], rows, [], {"model": "m"})
    text = (tmp_path / "index.html").read_text()
    assert "all languages" in text and "Allar" not in text


@pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package chromium")
def test_a_picture_of_one_panel_is_not_enlarged(tmp_path: Path) -> None:
    from matplotlib.image import imsave

    imsave(tmp_path / "p.png", [[0.0] * 630] * 480)
    picture = Picture(tmp_path / "p.png", "one panel")
    write_page(tmp_path / "index.html", PROBES["mexa"], measures(["mexa"], ["de"], ["en"]), [picture], {"model": "m"})
    browser = Browser()
    try:
        browser.open(tmp_path / "index.html")
        assert browser.run("[document.images[0].clientWidth, document.images[0].naturalWidth]") == [630, 630]
    finally:
        browser.close()


@pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package chromium")
def test_the_table_sorts_and_filters_in_a_browser(page: Path) -> None:
    browser = Browser()
    try:
        browser.open(page)
        rows = "[...document.querySelectorAll('#numbers tbody tr')].filter(r => !r.hidden)"

        def click(heading: str) -> None:
            buttons = "[...document.querySelectorAll('#numbers th button')]"
            browser.run(f"{buttons}.find(b => b.textContent === '{heading}').click()")

        def shown(column: int) -> list[str]:
            found: list[str] = browser.run(f"{rows}.map(r => r.cells[{column}].textContent)")
            return found

        click("layer")
        up = shown(4)
        assert up == sorted(up, key=int) and up[-1] == "10"
        click("layer")
        assert shown(4) == sorted(up, key=int, reverse=True)
        click("value")
        values = shown(5)
        assert values == sorted(values, key=float) and values[0] == "-5"
        browser.run(
            "const box = document.querySelector('input'); box.value = 'german 3'; box.dispatchEvent(new Event('input'))"
        )
        assert shown(2) == ["German (Deutsch)"] * 3 and shown(4) == ["3"] * 3
        # The policy lets the page's own script run, and no other.
        browser.run("document.body.append(Object.assign(document.createElement('script'), {text: 'window.mine = 1'}))")
        assert browser.run("window.mine === undefined")
    finally:
        browser.close()
