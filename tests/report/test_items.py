"""Which items are shown, and that their texts are those of the samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lm_eval_xling.report.blocks import make_blocks
from lm_eval_xling.report.items import ItemGroup, item_groups
from lm_eval_xling.report.reading import read_runs
from tests.report.runs import document, generated, right_or_wrong, write_run


def groups(folder: Path) -> list[ItemGroup]:
    return item_groups(make_blocks(read_runs([folder])[0]))


def test_a_sample_of_many_items_half_of_them_contested(tmp_path: Path) -> None:
    contested = {f"item:{i}" for i in range(100, 220)}
    made: dict[str, list[dict[str, Any]]] = {}
    for asked in ("en", "de"):
        docs = [document(f"item:{i}", asked, "en", answer=i % 4) for i in range(500)]
        made[f"xling_atlas_{asked}_en"] = [right_or_wrong(d, asked == "en" or d["id"] not in contested) for d in docs]
    write_run(tmp_path, made)
    (group,) = groups(tmp_path)
    assert (group.shown, group.total) == (200, 500) == (len(group.data["items"]), 500)
    shown = [item["id"] for item in group.data["items"]]
    assert set(shown[:100]) <= contested and len(set(shown)) == 200
    # The rest is no sample of the contested ones: their share is that among the items that were left.
    assert len(contested & set(shown[100:])) < 20
    item = group.data["items"][0]
    german = item["conditions"][group.data["conditions"].index("question in German, answer in English · de_en")]
    assert german["question"] == f"de question of {item['id']}:" and german["language"] == "de"
    assert german["options"][1] == [f"en option 1 of {item['id']}", "en"]
    number = int(item["id"].split(":")[1])
    assert german["answer"] == number % 4
    assert german["answers"][0] == {"chosen": (number % 4 + 1) % 4, "score": 0.0}
    # The same files give the same sample.
    assert [item["id"] for item in groups(tmp_path)[0].data["items"]] == shown


def test_generated_text_is_shown_with_its_score(tmp_path: Path) -> None:
    rows = []
    for index, (said, score) in enumerate([("forty-two", 1.0), ("x" * 2000, 0.0)]):
        doc = document(f"g:{index}", "en", "fa", family="math", placement="", form="generate", options=0)
        doc |= {"prompt": f"question {index}", "target": "42"}
        del doc["choices"], doc["answer"]
        rows.append(generated(doc, said, exact_match=score))
    write_run(tmp_path, {"xling_math_en": rows})
    (group,) = groups(tmp_path)
    first, second = group.data["items"]
    assert first["conditions"][0]["answers"][0] == {"chosen": -1, "score": 1.0, "text": "forty-two"}
    assert first["conditions"][0]["target"] == "42" and first["conditions"][0]["target_language"] == "fa"
    long = second["conditions"][0]["answers"][0]["text"]
    assert len(long) < 1600 and long.endswith(" …")
