"""The documentation as a site: nothing is missing on it, and it is read without a network."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import lm_eval_xling as xling
from lm_eval_xling.families import FAMILIES
from tests.report.browser import CHROMIUM, Browser

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs", "examples", "tasks")


def test_every_page_stands_in_the_menu() -> None:
    menu = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    pages |= {f"tasks/{family}/README.md" for family in FAMILIES}
    assert pages | {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} == menu


def test_every_picture_stands_in_the_gallery() -> None:
    shown = re.findall(r"\]\(images/(\S+)\)", (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(path.name for path in (ROOT / "docs" / "images").iterdir())


def test_every_public_name_stands_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: (\S+)", page, re.MULTILINE))
    # Not by the objects: that would import everything.
    for name, place in xling._PLACES.items():
        module, _, there = place.partition(":")
        assert f"lm_eval_xling.{module}.{there or name}" in shown, name


def test_the_makefile_builds_what_is_tested() -> None:
    assert f"PAGES := {' '.join(PAGES)}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_files_beside_are_what_their_readers_take() -> None:
    for path in (".pre-commit-config.yaml", "CITATION.cff", *map(str, (ROOT / ".github").rglob("*.yml"))):
        assert isinstance(yaml.safe_load((ROOT / path).read_text(encoding="utf-8")), dict), path
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in project
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert f'"ruff=={hooks["repos"][0]["rev"][1:]}"' in project
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    for target in re.findall(r"make (\w+)", workflow):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


class _Loaded(HTMLParser):
    """Addresses that a browser loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio"):
            self.found += [given.get("src") or "", given.get("srcset") or ""]
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.found.append(given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    tmp_path = tmp_path_factory.mktemp("site")
    staged = tmp_path / "docs"
    staged.mkdir()
    for name in PAGES:
        (staged / name).symlink_to(ROOT / name)
    configuration = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    configuration = configuration.replace("docs_dir: build/docs", f"docs_dir: {staged}").replace(
        "site_dir: build/site", f"site_dir: {tmp_path / 'site'}"
    )
    configuration = configuration.replace("paths: [.]", f"paths: [{ROOT}]")
    (tmp_path / "mkdocs.yml").write_text(configuration, encoding="utf-8")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", str(tmp_path / "mkdocs.yml")],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return tmp_path / "site"


@pytest.mark.slow
def test_the_site_is_whole_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(FAMILIES) + 10
    for page in pages:
        reader = _Loaded()
        reader.feed(page.read_text(encoding="utf-8"))
        assert not [address for address in reader.found if re.match(r"(https?:)?//", address)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text(encoding="utf-8")), style
    reference = (site / "docs" / "reference.html").read_text(encoding="utf-8")
    for name in ("evaluate", "samples", "barrier", "mix", "train", "paired_difference"):
        assert re.search(rf'<h\d id="[\w.]*\.{name}"', reference), name
    # Sections of docstrings became tables, and no heading is left as text.
    assert "doc-section-title" in reference and "Args:" not in reference


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package chromium")
def test_the_search_works_in_pages_that_are_opened_as_files(site: Path) -> None:
    browser = Browser()
    try:
        browser.open(site / "docs" / "report.html")
        query = "document.querySelector('[data-md-component=search-query]')"
        browser.run(f"{query}.focus()")
        browser.run(f"(() => {{{query}.value = 'placement'; {query}.dispatchEvent(new Event('keyup'))}})()")
        found = "[...document.querySelectorAll('.md-search-result__link')].map(link => link.href)"
        deadline = time.monotonic() + 120
        while not browser.run(found):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (site / "docs" / "concepts.html").as_uri() in browser.run(found)
        assert browser.problems == []
    finally:
        browser.close()
