from __future__ import annotations

import re

import pytest

from lm_eval_xling.mixing.detokenising import articles, detokenise


@pytest.mark.parametrize(
    ("tokenised", "printed"),
    [
        (" = = = Life cycle = = = \n", "=== Life cycle ==="),
        (" = = = = = <unk> 500 = = = = = ", "===== <unk> 500 ====="),
        (" = ... Later , he said = ", "= ... Later, he said ="),
        (" It has 20 @,@ 000 , and 3 @.@ 5 % of a hand @-@ made one . ", "It has 20,000, and 3.5% of a hand-made one."),
        ('only becoming " lobster red " on cooking .', 'only becoming "lobster red" on cooking.'),
        ("60 cm ( 24 in ) and [ 2 ] .", "60 cm (24 in) and [2]."),
        ("Graves ' henchmen weren 't James 's ; it 's so .", "Graves' henchmen weren't James's; it's so."),
        ("At 04 : 00 he paid $ 5 : too much ?", "At 04:00 he paid $5: too much?"),
        ("<unk> , a <unk> !", "<unk>, a <unk>!"),
    ],
)
def test_detokenise(tokenised, printed):
    assert detokenise(tokenised) == printed


def test_articles_begin_at_titles_between_blank_lines():
    lines = [
        "",
        " = A = ",
        "",
        " Text one . ",
        " = not a title = ",
        " More . ",
        " ",
        " = = B = = ",
        "",
        " Two . ",
        "",
        " = C = ",
        "",
    ]
    assert list(articles(lines)) == ["= A =\nText one.\n= not a title =\nMore.\n== B ==\nTwo.", "= C ="]


def test_the_published_file(raw_data):
    path = raw_data / "wikitext2/valid.txt"
    found = list(articles(path.read_text(encoding="utf-8").split("\n")))
    assert len(found) == len(re.findall(r"^ = [^=]+ = $", path.read_text(encoding="utf-8"), re.MULTILINE))
    whole = "\n".join(found)
    assert "@-@" not in whole and " ," not in whole and "\n\n" not in whole


def test_the_real_file(shared_data):
    with (shared_data / "wikitext2/valid.txt").open(encoding="utf-8") as lines:
        found = list(articles(lines))
    assert len(found) == 60
    assert found[0].startswith("= Homarus gammarus =\nHomarus gammarus, known as the European lobster")
    assert all(article.startswith("= ") for article in found)
    whole = "\n".join(found)
    assert "@-@" not in whole and " ," not in whole and "\n\n" not in whole
