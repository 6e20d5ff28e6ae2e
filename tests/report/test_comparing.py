"""The tables of a report, recomputed by hand from samples that the tests wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Interval
from lm_eval_xling.report.blocks import make_blocks
from lm_eval_xling.report.comparing import compare, resolve_baselines
from lm_eval_xling.report.findings import findings
from lm_eval_xling.report.reading import read_runs
from lm_eval_xling.report.schema import Report
from lm_eval_xling.report.tables import group_tables, scale_of
from lm_eval_xling.report.writing import make_report
from lm_eval_xling.statistics import mcnemar_exact, proportion, wilson
from tests.report.runs import document, flattened, right_or_wrong, sample, write_run

BASE = "pretrained=org/base"
ADAPTED = "pretrained=org/base,peft=runs/qa"
RNG = np.random.default_rng(8)
LANGUAGES = ("en", "de", "fr")


def cell(asked: str, answered: str, right: Sequence[bool], **more: Any) -> list[dict[str, Any]]:
    docs = [document(f"item:{i}", asked, answered, answer=i % 4, **more) for i in range(len(right))]
    return [right_or_wrong(doc, bool(mark)) for doc, mark in zip(docs, right, strict=True)]


def matrix(n: int = 60, boost: float = 0.0, seed: int = 0) -> dict[tuple[str, str], np.ndarray]:
    rng = np.random.default_rng(seed)
    hard = np.random.default_rng(99).uniform(size=n)
    share = {True: 0.8, False: 0.55 + boost}
    return {(q, a): rng.normal(share[q == a], 0.15, n) > hard for q in LANGUAGES for a in LANGUAGES}


def tasks(cells: dict[tuple[str, str], np.ndarray], **more: Any) -> dict[str, list[dict[str, Any]]]:
    return {f"xling_atlas_{q}_{a}": cell(q, a, right, **more) for (q, a), right in cells.items()}


def report_of(*folders: Path, baseline: str | None = None) -> Report:
    evaluations, notes = read_runs(folders)
    return compare(evaluations, notes, baselines=resolve_baselines(evaluations, baseline))[0]


def test_barriers_by_hand(tmp_path: Path) -> None:
    cells = matrix()
    write_run(tmp_path, tasks(cells), model_args=BASE)
    made = report_of(tmp_path)
    barriers = {row.condition: row for row in made.barriers}
    row = barriers["fr_de"]
    reference, other = cells["en", "en"], cells["fr", "de"]
    assert row.reference == "en_en" and row.paired is not None
    assert row.barrier == pytest.approx(reference.mean() - other.mean())
    assert (row.paired.only_first, row.paired.only_second) == ((reference & ~other).sum(), (other & ~reference).sum())
    assert row.paired.p_value == mcnemar_exact(row.paired.only_first, row.paired.only_second)
    assert row.paired.difference.low < row.barrier < row.paired.difference.high
    assert sum(r.scope == "task" for r in made.barriers) == 8
    mean = barriers["all other pairs (mean of 8)"]
    assert mean.score == pytest.approx(np.mean([r.mean() for key, r in cells.items() if key != ("en", "en")]))
    cross = barriers["different languages (mean of 6)"]
    same = np.mean([cells[c, c].mean() for c in LANGUAGES])
    different = np.mean([right.mean() for (q, a), right in cells.items() if q != a])
    assert (cross.reference_score, cross.score) == pytest.approx((same, different))


def test_changes_by_hand_and_the_default_baseline(tmp_path: Path) -> None:
    before, after = matrix(), matrix(boost=0.2, seed=1)
    write_run(tmp_path / "base", tasks(before), model_args=BASE)
    write_run(tmp_path / "adapted", tasks(after), model_args=ADAPTED)
    made = report_of(tmp_path)
    changes = {(row.what, row.condition): row for row in made.changes}
    assert {row.baseline for row in made.changes} == {"base"} and {row.model for row in made.changes} == {"base + qa"}
    score = changes["score", "fr_de"]
    assert score.change == pytest.approx(after["fr", "de"].mean() - before["fr", "de"].mean())
    barrier = changes["barrier", "fr_de"]
    gaps = [cells["en", "en"].astype(int) - cells["fr", "de"] for cells in (after, before)]
    assert barrier.change == pytest.approx(gaps[0].mean() - gaps[1].mean())
    assert (barrier.before, barrier.after) == pytest.approx((gaps[1].mean(), gaps[0].mean()))
    # An independent bootstrap of the same items gives the same interval.
    differences = gaps[0] - gaps[1]
    draws = differences[np.random.default_rng(3).integers(60, size=(20_000, 60))].mean(axis=1)
    assert barrier.paired is not None
    assert barrier.paired.difference.low == pytest.approx(np.quantile(draws, 0.023), abs=0.02)
    assert barrier.paired.difference.high == pytest.approx(np.quantile(draws, 0.977), abs=0.02)
    assert ("barrier", "different languages (mean of 6)") in changes
    german = changes["score", "answer de (mean of 3)"]
    means = [np.mean([cells[q, "de"].mean() for q in LANGUAGES]) for cells in (before, after)]
    assert (german.scope, german.before, german.after) == ("language", *(pytest.approx(mean) for mean in means))


def test_only_common_items_are_paired(tmp_path: Path) -> None:
    right = RNG.uniform(size=40) < 0.7
    write_run(tmp_path / "a", {"xling_atlas_en_en": cell("en", "en", right)}, model_args=BASE)
    write_run(
        tmp_path / "b", {"xling_atlas_de_en": cell("de", "en", right[:25])}, model_args=BASE, config={"limit": 25}
    )
    made = report_of(tmp_path)
    (row,) = made.barriers
    assert row.paired is not None and row.paired.n == 25 and row.barrier == 0
    assert row.reference_score == pytest.approx(right[:25].mean())
    assert any(note.kind == "marked" and "limit differs: 25; None" in note.text for note in made.notes)


def test_different_settings_are_refused(tmp_path: Path) -> None:
    right = np.ones(20, dtype=bool)
    write_run(tmp_path / "a", {"xling_atlas_en_en": cell("en", "en", right)}, model_args=BASE)
    write_run(tmp_path / "b", {"xling_atlas_de_en": cell("de", "en", right)}, model_args=BASE, shots=5)
    made = report_of(tmp_path)
    assert not made.barriers
    assert any(note.kind == "refused" and "0-shot, cloze; 5-shot, cloze" in note.text for note in made.notes)
    write_run(tmp_path / "c", {"xling_atlas_en_en": cell("en", "en", right)}, model_args=ADAPTED, shots=5)
    made = report_of(tmp_path / "a", tmp_path / "c")
    assert not made.changes
    assert any(note.kind == "refused" and "the baseline was run 0-shot" in note.text for note in made.notes)


def test_chat_template_and_system_instruction_are_settings(tmp_path: Path) -> None:
    right = np.ones(20, dtype=bool)
    write_run(tmp_path / "a", {"xling_atlas_en_en": cell("en", "en", right)}, model_args=BASE)

    def with_template(results: dict[str, Any]) -> None:
        results |= {"chat_template_sha": "ab12", "system_instruction_sha": "cd3456"}

    write_run(tmp_path / "b", {"xling_atlas_de_en": cell("de", "en", right)}, model_args=BASE, change=with_template)
    made = report_of(tmp_path)
    assert not made.barriers
    assert {row.setting for row in made.scores} == {
        "0-shot, cloze",
        "0-shot, cloze, chat template, system instruction cd3456",
    }


def test_other_prompts_are_refused_and_other_circumstances_marked(tmp_path: Path) -> None:
    right = RNG.uniform(size=30) < 0.6
    english, german = cell("en", "en", right), cell("de", "en", right)
    write_run(tmp_path / "a", {"xling_atlas_en_en": english, "xling_atlas_de_en": german}, model_args=BASE)
    changed = cell("de", "en", right)
    for row in changed[:7]:
        row["prompt_hash"] = "f" * 64

    def older(results: dict[str, Any]) -> None:
        results["lm_eval_version"] = "0.4.12"
        results["config"]["numpy_seed"] = 1

    other = {"xling_atlas_en_en": english, "xling_atlas_de_en": changed}
    write_run(tmp_path / "b", other, model_args=ADAPTED, change=older)
    made = report_of(tmp_path)
    assert [row.condition for row in made.changes] == ["en_en"]
    texts = {note.kind: [n.text for n in made.notes if n.kind == note.kind] for note in made.notes}
    assert any("7 of 30 prompts differ" in text for text in texts["refused"])
    assert any("harness version differs: 0.4.12; 0.4.13" in text for text in texts["marked"])
    assert any("seeds differs: 0, 1, 1234; 0, 1234, 1234" in text for text in texts["marked"])


def test_task_versions_are_refused(tmp_path: Path) -> None:
    right = np.ones(20, dtype=bool)
    write_run(tmp_path / "a", {"xling_atlas_en_en": cell("en", "en", right)}, model_args=BASE)

    def newer(results: dict[str, Any]) -> None:
        results["versions"]["xling_atlas_en_en"] = 2.0

    write_run(tmp_path / "b", {"xling_atlas_en_en": cell("en", "en", right)}, model_args=ADAPTED, change=newer)
    made = report_of(tmp_path)
    assert not made.changes and any("versions 1.0 and 2.0" in note.text for note in made.notes)


def test_scores_without_samples_have_intervals_inside_their_range(tmp_path: Path) -> None:
    docs = [document(f"item:{i}", "en", "en") for i in range(4)]
    graded = [right_or_wrong(doc, right) for doc, right in zip(docs, (True, True, True, False), strict=True)]
    for row, f1, loss in zip(graded, (1.0, 0.9, 1.0, 0.2), (3.0, 0.0, 9.0, 0.0), strict=True):
        row |= {"metrics": ["acc", "f1", "exact_match", "loss"], "f1": f1, "exact_match": 1.0, "loss": loss}
    write_run(tmp_path / "a", {"xling_atlas_en_en": graded}, samples=False)
    scores = {row.metric: row.score for row in report_of(tmp_path / "a").scores}
    assert scores["acc"] == wilson(3, 4) and scores["exact_match"] == wilson(4, 4)
    assert (scores["f1"].low, scores["f1"].high) == (pytest.approx(0.775 - 1.96 * 0.1931, abs=1e-3), 1.0)
    # The range of a metric that we do not know is not guessed.
    assert scores["loss"].low == pytest.approx(3 - 1.96 * 4.2426 / 2, abs=1e-3)

    def without_errors(results: dict[str, Any]) -> None:
        of_task = results["results"]["xling_atlas_en_en"]
        of_task |= {name: "N/A" for name in of_task if "_stderr" in name}

    write_run(tmp_path / "b", {"xling_atlas_en_en": graded}, samples=False, change=without_errors)
    scores = {row.metric: row.score for row in report_of(tmp_path / "b").scores}
    assert scores["acc"] == wilson(3, 4) and np.isnan(scores["f1"].low)


def test_aggregates_alone_say_the_difference_but_not_whether_it_is_real(tmp_path: Path) -> None:
    cells = {
        "xling_atlas_en_en": cell("en", "en", np.arange(20) < 16),
        "xling_atlas_de_en": cell("de", "en", np.arange(20) < 9),
    }
    older = {task: [flattened(row) for row in rows] for task, rows in cells.items()}
    write_run(tmp_path, older, model_args=BASE, samples=False)
    made = report_of(tmp_path)
    (row,) = made.barriers
    assert row.barrier == pytest.approx(0.35) and row.paired is None
    assert {score.source for score in made.scores} == {"aggregates"}
    assert any(note.kind == "missing" for note in made.notes)
    # Newer results name the leaf, of which the family knows the condition.
    write_run(tmp_path / "newer", cells, model_args=BASE, samples=False)
    assert report_of(tmp_path / "newer").barriers == made.barriers

    def with_parameters(results: dict[str, Any]) -> None:
        for config in results["configs"].values():
            config["metadata"]["xling"] = {"question_language": "sw"}

    # A parameter may have changed it, and then nothing is said of it.
    write_run(tmp_path / "changed", cells, model_args=BASE, samples=False, change=with_parameters)
    made = report_of(tmp_path / "changed")
    assert not made.barriers and [row.score.estimate for row in made.scores] == [0.45, 0.8]
    assert [note.kind for note in made.notes] == ["missing"] and "say what can be compared" in made.notes[0].text


def test_notes_on_many_files_are_gathered(tmp_path: Path) -> None:
    write_run(tmp_path, tasks(matrix(n=4)), model_args=BASE, samples=False)
    (note,) = report_of(tmp_path).notes
    assert note.kind == "missing" and note.where.endswith("and 6 more")


def test_one_cluster_alone_is_no_evidence(tmp_path: Path) -> None:
    made = tasks({("en", "en"): np.ones(8, dtype=bool), ("de", "en"): np.zeros(8, dtype=bool)}, cluster="7")
    write_run(tmp_path, made, model_args=BASE)
    report = report_of(tmp_path)
    assert report.barriers[0].paired is not None and report.barriers[0].paired.units == 1
    assert report.barriers[0].paired.p_value == 1.0
    assert "untested, because all 8 items depend on one another" in findings(report)[0].text


def test_clusters_widen_the_interval(tmp_path: Path) -> None:
    cells = {("en", "en"): np.ones(60, dtype=bool), ("de", "en"): np.repeat(np.arange(12) % 2 == 0, 5)}
    plain, grouped = tmp_path / "plain", tmp_path / "grouped"
    write_run(plain, tasks(cells), model_args=BASE)
    named = tasks(cells)
    for rows in named.values():
        for index, row in enumerate(rows):
            row["doc"]["cluster"] = f"author {index // 5}"
    write_run(grouped, named, model_args=BASE)
    (one,), (two,) = report_of(plain).barriers, report_of(grouped).barriers
    assert one.paired is not None and two.paired is not None
    assert (one.paired.units, two.paired.units) == (60, 12)
    width = [row.paired.difference.high - row.paired.difference.low for row in (one, two) if row.paired]
    assert width[1] > 1.8 * width[0]
    assert two.paired.p_value == mcnemar_exact(6, 0) > one.paired.p_value


def test_clusters_are_the_same_in_every_file(tmp_path: Path) -> None:
    """A file may lack items, name clusters in its own language, and have items that depend on no other."""
    made = tasks({pair: np.arange(12) % 2 == 0 for pair in product(("en", "de"), repeat=2)})
    for name, rows in made.items():
        for index, row in enumerate(rows):
            label = f"{'country' if '_en_' in name else 'Land'} {index // 3}"
            row["doc"]["cluster"] = "" if index == 11 else label
    made["xling_atlas_en_en"] = made["xling_atlas_en_en"][4:]
    write_run(tmp_path, made, model_args=BASE)
    (block,) = make_blocks(read_runs([tmp_path])[0])
    assert block.clusters is not None
    found = {item: int(number) for item, number in zip(block.ids, block.clusters, strict=True)}
    members = {frozenset(item for item in found if found[item] == number) for number in found.values()}
    threes = [{f"item:{i}" for i in range(start, start + 3)} for start in (0, 3, 6)]
    assert members == {*map(frozenset, threes), frozenset({"item:9", "item:10"}), frozenset({"item:11"})}


def test_intervals_of_scores_know_clusters(tmp_path: Path) -> None:
    right = np.repeat(np.arange(12) % 2 == 0, 5)
    for name, size in (("plain", 1), ("grouped", 5)):
        made = tasks({("en", "en"): right, ("de", "de"): right})
        for rows in made.values():
            for index, row in enumerate(rows):
                row["doc"]["cluster"] = f"author {index // size}"
        write_run(tmp_path / name, made, model_args=BASE)
    plain, grouped = report_of(tmp_path / "plain"), report_of(tmp_path / "grouped")
    assert plain.scores[0].score == wilson(30, 60)
    clusters = np.arange(60) // 5
    assert grouped.scores[0].score == proportion(right, clusters) != plain.scores[0].score
    assert grouped.consistency[0].all_right == proportion(right, clusters)
    assert grouped.agreement[0].same == proportion(np.ones(60), clusters) != plain.agreement[0].same


def test_adjusted_p_values_cover_the_table(tmp_path: Path) -> None:
    from statsmodels.stats.multitest import multipletests

    write_run(tmp_path, tasks(matrix()), model_args=BASE)
    rows = [row.paired for row in report_of(tmp_path).barriers if row.paired]
    expected = multipletests([row.p_value for row in rows], method="fdr_bh")[1]
    assert [row.adjusted_p for row in rows] == pytest.approx(list(expected))


def test_effects_by_hand(tmp_path: Path) -> None:
    cells = matrix()
    write_run(tmp_path, tasks(cells), model_args=BASE)
    effects = {(row.factor, row.language): row for row in report_of(tmp_path).effects}
    scores = np.array([[cells[q, a].mean() for a in LANGUAGES] for q in LANGUAGES])
    assert effects["question", "de"].effect.estimate == pytest.approx(scores[1].mean() - scores.mean())
    assert effects["answer", "fr"].effect.estimate == pytest.approx(scores[:, 2].mean() - scores.mean())
    fitted = scores.mean(axis=1, keepdims=True) + scores.mean(axis=0, keepdims=True) - scores.mean()
    residual = scores - fitted
    off = ~np.eye(3, dtype=bool)
    same = np.diag(residual).mean() - residual[off].mean()
    assert effects["same", ""].effect.estimate == pytest.approx(same)
    squares = ((scores - scores.mean()) ** 2).sum()
    assert effects["same", ""].share == pytest.approx(same**2 * (3 - 1) / squares)
    by_question = 3 * ((scores.mean(axis=1) - scores.mean()) ** 2).sum()
    assert effects["question", "de"].share == effects["question", "fr"].share == pytest.approx(by_question / squares)


def test_consistency_by_hand(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(3, 30, 4))
    docs = {a: [document(f"item:{i}", "en", a, answer=i % 4) for i in range(30)] for a in LANGUAGES}
    made = {
        f"xling_atlas_en_{a}": [sample(d, list(s)) for d, s in zip(docs[a], scores[k], strict=True)]
        for k, a in enumerate(LANGUAGES)
    }
    write_run(tmp_path, made, model_args=BASE)
    result = report_of(tmp_path)
    chosen = scores.argmax(axis=2)
    gold = np.arange(30) % 4
    agreement = {(row.first, row.second): row for row in result.agreement}
    row = agreement["en_de" if ("en_de", "en_fr") in agreement else "en_fr", "en_fr"]
    same = chosen[1] == chosen[2]
    assert row.same.estimate == pytest.approx(same.mean())
    assert row.same_if_first_right == pytest.approx(same[chosen[1] == gold].mean())
    assert row.same_if_second_right == pytest.approx(same[chosen[2] == gold].mean())
    (whole,) = result.consistency
    pairs = [(chosen[i] == chosen[j]).mean() for i in range(3) for j in range(i)]
    assert whole.pairwise == pytest.approx(np.mean(pairs))
    assert whole.all_same.estimate == pytest.approx(((chosen == chosen[0]).all(axis=0)).mean())
    assert whole.all_right.estimate == pytest.approx(((chosen == gold).all(axis=0)).mean())
    accuracy = (chosen == gold).mean()
    assert whole.ac3 == pytest.approx(2 * accuracy * whole.pairwise / (accuracy + whole.pairwise))


def test_avoiding_foreign_options_is_told_from_not_knowing(tmp_path: Path) -> None:
    """A model that never chooses the lone German option, right or wrong, but knows every answer in English."""

    def placed(placement: str, lone: int, chosen: int, item: int) -> dict[str, Any]:
        languages = ["de" if i == lone else "en" for i in range(4)]
        doc = document(
            f"item:{item}", "en", "en", answer=item % 4, family="mmlu", placement=placement, option_languages=languages
        )
        return sample(doc, [0.0 if i == chosen else -1.0 - i for i in range(4)])

    items = range(40)
    made = {
        "xling_mmlu_en": [placed("en", -1, i % 4, i) for i in items],
        "xling_mmlu_gt_de": [placed("gt", i % 4, (i + 1) % 4, i) for i in items],
        "xling_mmlu_onewrong_de": [placed("onewrong", (i + 2) % 4, i % 4, i) for i in items],
    }
    write_run(tmp_path, made, model_args=BASE)
    rows = {row.condition: row for row in report_of(tmp_path).lone_options}
    gt, wrong = rows["gt_de"], rows["onewrong_de"]
    assert (gt.right, wrong.right) == ("yes", "no")
    assert (gt.chosen.estimate, gt.reference, gt.chance) == (0.0, 1.0, 0.25)
    assert gt.difference is not None and gt.difference.difference.estimate == 1.0
    assert (wrong.chosen.estimate, wrong.reference) == (0.0, 0.0)
    assert gt.chance_p < 0.001
    # Eight passages of five questions are not forty chances to choose it.
    for samples in made.values():
        for index, row in enumerate(samples):
            row["doc"]["cluster"] = f"passage {index // 5}"
    write_run(tmp_path / "clusters", made, model_args=BASE)
    grouped = next(row for row in report_of(tmp_path / "clusters").lone_options if row.condition == "gt_de")
    assert grouped.chosen.estimate == 0.0 and grouped.chance_p > 0.05


def test_averages_macro_micro_resources_and_training(tmp_path: Path) -> None:
    sizes = {"en": (20, 18), "de": (20, 12), "sw": (10, 2), "so": (10, 1)}
    made = {
        f"xling_sentiment_{code}": [r for r in cell(code, code, np.arange(n) < k, family="sentiment", placement="")]
        for code, (n, k) in sizes.items()
    }
    card = tmp_path / "tuned" / "adapter"
    card.mkdir(parents=True)
    (card / "README.md").write_text("---\nbase_model: org/base\nlanguage: [de, en]\n---\n")
    write_run(tmp_path / "base", made, model_args=BASE)
    write_run(tmp_path / "adapted", made, model_args=f"{BASE},peft={card}")
    made_report = report_of(tmp_path)
    rows = {(row.model, row.grouping, row.group): row for row in made_report.averages}
    everything = rows["base", "all", "all tasks"]
    assert everything.macro == pytest.approx(np.mean([0.9, 0.6, 0.2, 0.1]))
    assert everything.micro.estimate == pytest.approx(33 / 60) and everything.n == 60
    assert rows["base", "resources", "low"].macro == pytest.approx(0.15)
    for model in ("base", "base + tuned"):
        assert rows[model, "training", "seen by base + tuned"].macro == pytest.approx(0.75)
        assert rows[model, "training", "unseen by base + tuned"].macro == pytest.approx(0.15)


def test_subjects_by_hand(tmp_path: Path) -> None:
    cells = {("en", "en"): np.ones(60, dtype=bool), ("de", "en"): np.arange(60) % 3 != 0}
    made = tasks(cells)
    for rows in made.values():
        for index, row in enumerate(rows):
            row["doc"]["group"] = "third" if index % 3 == 0 else "rest"
    write_run(tmp_path, made, model_args=BASE)
    subjects = {row.subject: row for row in report_of(tmp_path).subjects}
    assert subjects["third"].paired.difference.estimate == 1.0 and subjects["third"].n == 20
    assert subjects["rest"].paired.difference.estimate == 0.0


def test_less_is_better_turns_the_barrier(tmp_path: Path) -> None:
    def scored(asked: str, value: float) -> list[dict[str, Any]]:
        return [
            {**right_or_wrong(document(f"i{i}", asked, asked), True), "metrics": ["loss"], "loss": value + i / 100}
            for i in range(12)
        ]

    def lower(results: dict[str, Any]) -> None:
        results["higher_is_better"] = {task: {"loss": False} for task in results["results"]}

    made = {"xling_atlas_en_en": scored("en", 1.0), "xling_atlas_de_de": scored("de", 1.5)}
    write_run(tmp_path, made, model_args=BASE, change=lower)
    (row,) = [row for row in report_of(tmp_path).barriers if row.scope == "task"]
    assert row.barrier == pytest.approx(0.5) and row.metric == "loss"


def test_a_fine_tuned_model_is_compared_with_what_it_was_made_of(tmp_path: Path) -> None:
    tuned = tmp_path / "tuned"
    tuned.mkdir()
    (tuned / "provenance.json").write_text('{"model": "org/base", "languages": ["de", "en"]}')
    right = np.ones(12, dtype=bool)
    for name, source in (("a", "org/base"), ("b", tuned)):
        write_run(tmp_path / name, {"xling_atlas_en_en": cell("en", "en", right)}, model_args=f"pretrained={source}")
    evaluations, _ = read_runs([tmp_path])
    assert resolve_baselines(evaluations, None) == {"tuned": "base"}
    assert {e.model.label: e.model.trained_languages for e in evaluations} == {"base": (), "tuned": ("de", "en")}


@pytest.mark.parametrize(
    ("base", "of_adapter", "peft"),
    [
        ("weights/tiny/", "weights/tiny", True),
        ("weights/tiny", "./weights//tiny/", True),
        ("weights/tiny", "{here}/weights/tiny", True),
        ("/cache/xling/models/gemma-3-270m-0123456789ab", "gemma-3-270m", False),
        ("/one/models/gemma-3-270m-0123456789ab", "/other/models/gemma-3-270m-0123456789ab", True),
        ("weights/tiny", "{here}/weights/tiny/", False),
    ],
)
def test_a_base_is_found_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, of_adapter: str, peft: bool
) -> None:
    """By its name for an adapter, and by what the provenance says for a fine-tuned model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights" / "tiny").mkdir(parents=True)
    trained, source = tmp_path / "runs" / "tuned", of_adapter.format(here=tmp_path)
    trained.mkdir(parents=True)
    (trained / "provenance.json").write_text(f'{{"model": "{source}", "languages": ["de"]}}')
    tuned = f"pretrained={source},peft={trained}/" if peft else f"pretrained={trained}"
    for name, arguments in (("a", f"pretrained={base}"), ("b", tuned), ("c", "pretrained=org/other")):
        write_run(tmp_path / name, tasks({("en", "en"): np.ones(12, dtype=bool)}), model_args=arguments)
    evaluations, _ = read_runs([tmp_path / name for name in "abc"])
    (pair,) = resolve_baselines(evaluations, None).items()
    labels = {Path(e.path).parent.name: e.model.label for e in evaluations}
    assert pair == (labels["b"], labels["a"])


def test_one_model_is_one_whatever_follows_its_name(tmp_path: Path) -> None:
    for name, end in (("a", ""), ("b", "/")):
        code = {"a": "en", "b": "de"}[name]
        made = tasks({(code, code): np.ones(12, dtype=bool)})
        write_run(tmp_path / name, made, model_args=f"pretrained=/x/tiny{end},peft=/x/qa{end}")
    assert [model.label for model in report_of(tmp_path).models] == ["tiny + qa"]


def test_a_base_with_other_arguments_is_compared_and_marked(tmp_path: Path) -> None:
    right = np.ones(12, dtype=bool)
    for name, arguments in (("a", f"{BASE},dtype=float32"), ("b", f"{ADAPTED},dtype=bfloat16")):
        write_run(tmp_path / name, {"xling_atlas_en_en": cell("en", "en", right)}, model_args=arguments)
    made = report_of(tmp_path)
    assert {row.baseline for row in made.changes} == {"base"}
    assert any(note.kind == "marked" and "dtype=bfloat16; dtype=float32" in note.text for note in made.notes)


def test_baseline_by_name_folder_or_error(tmp_path: Path) -> None:
    right = np.ones(12, dtype=bool)
    for name in ("first", "second"):
        write_run(tmp_path / name, {"xling_atlas_en_en": cell("en", "en", right)}, model_args=f"pretrained=org/{name}")
    evaluations, _ = read_runs([tmp_path])
    assert resolve_baselines(evaluations, None) == {}
    assert resolve_baselines(evaluations, "second") == {"first": "second"}
    assert resolve_baselines(evaluations, tmp_path / "first") == {"second": "first"}
    with pytest.raises(UserError, match="did you mean second"):
        resolve_baselines(evaluations, "secnd")
    with pytest.raises(UserError, match="of 2 models"):
        resolve_baselines(evaluations, tmp_path)


def test_a_baseline_may_be_called_like_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights stand in folders, and models are called like them."""
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        made = tasks({("en", "en"): np.ones(12, dtype=bool)})
        write_run(tmp_path / "runs" / name, made, model_args=f"pretrained=weights/{name}")
    (tmp_path / "first").mkdir()
    (tmp_path / "second").write_text("no results")
    for baseline, other in (("first", "second"), ("second", "first")):
        made_report, _ = make_report("runs", tmp_path / f"of_{baseline}", baseline)
        assert {(row.baseline, row.model) for row in made_report.changes} == {(baseline, other)}
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no results_.*in this folder"):
        make_report("runs", tmp_path / "out", "empty")


def given(parameters: dict[str, Any]) -> Any:
    """Results of a run with these parameters."""

    def change(results: dict[str, Any]) -> None:
        for config in results["configs"].values():
            config["metadata"]["xling"] = parameters

    return change


def test_parameters_that_change_languages_make_a_condition(tmp_path: Path) -> None:
    """English refuses them, and is the reference all the same."""
    right = np.arange(40)

    def placed(code: str, mark: Any) -> list[dict[str, Any]]:
        return cell(code, code, mark, family="mmlu", placement="en" if code == "en" else "full")

    runs: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
        ("xling_mmlu_en", placed("en", right < 30), {}),
        ("xling_mmlu_full_de", placed("de", right < 25), {}),
        ("xling_mmlu_full_de", placed("sw", right < 15), {"languages": ["sw"]}),
        ("xling_mmlu_full_de", placed("te", right < 10), {"languages": ["te"], "seed": 3}),
    ]
    for number, (task, rows, parameters) in enumerate(runs):
        write_run(tmp_path / str(number), {task: rows}, model_args=BASE, change=given(parameters))
    made = report_of(tmp_path)
    barriers = {row.condition: row.barrier for row in made.barriers if row.scope == "task"}
    assert barriers == pytest.approx(
        {"full_de": 0.125, "full_de languages=[sw]": 0.375, "full_de languages=[te] seed=3": 0.5}
    )
    assert {row.setting for row in made.barriers} == {"0-shot, cloze"}
    words = {row.condition: row.words for row in made.conditions}
    assert words["full_de languages=[sw]"] == "all in Swahili"
    assert not [note for note in made.notes if note.kind in ("superseded", "refused")]
    assert {row.language for row in made.languages} == {"de", "sw", "te"}


@pytest.mark.parametrize("family", ["mmlu", "own"])
def test_code_switched_texts_make_a_condition_of_their_own(tmp_path: Path, family: str) -> None:
    right = np.arange(40)

    def placed(code: str, mark: Any, matrix: str = "", embedded: str = "") -> list[dict[str, Any]]:
        rows = cell(code, code, mark, family=family, placement="en" if code == "en" else "full")
        for row in rows if matrix else ():
            how = {"matrix": matrix, "embedded": embedded, "share": 30, "unit": "chunk"}
            languages = {**row["doc"]["condition"]["languages"], "question": "mul"}
            # As the harness's datasets log a part that another document of the leaf has.
            row["doc"]["condition"] |= {"switched": {"question": how, "context": None}, "languages": languages}
        return rows

    thirty = {"switched": 30}
    runs: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
        ("en", placed("en", right < 30), {}),
        ("full_de", placed("de", right < 25), {}),
        ("full_fr", placed("fr", right < 24), {}),
        ("full_de", placed("de", right < 20, "de", "en"), thirty),
        ("full_fr", placed("fr", right < 18, "fr", "en"), thirty),
        ("full_de", placed("de", right < 15, "en", "de"), {**thirty, "matrix": "base", "unit": "sentence", "seed": 2}),
    ]
    for number, (leaf, rows, parameters) in enumerate(runs):
        write_run(tmp_path / str(number), {f"xling_{family}_{leaf}": rows}, model_args=BASE, change=given(parameters))
    made = report_of(tmp_path)
    found = {row.condition: (row.reference, row.barrier) for row in made.barriers if row.scope == "task"}
    other_way = "full_de matrix=base seed=2 switched=30 unit=sentence"
    assert found == {
        "full_de": ("en", 0.125),
        "full_fr": ("en", pytest.approx(0.15)),
        "full_de switched=30": ("en", 0.25),
        "full_fr switched=30": ("en", pytest.approx(0.3)),
        other_way: ("en", 0.375),
    }
    assert {row.setting for row in made.barriers} == {"0-shot, cloze"}
    words = {row.condition: row.words for row in made.conditions}
    assert words["full_de switched=30"] == "question in German with 30 % English, answer in German"
    assert words[other_way] == "question in English with 30 % German, answer in German"
    assert words["full switched=30 (mean of 2)"] == (
        "question in another language with 30 % English, answer in another language (mean of 2)"
    )
    # The matrix of question and answer languages has a place for texts in one language only.
    assert {(row.question_language, row.answer_language) for row in made.conditions if "switched" in row.condition} <= {
        ("mul", "de"), ("mul", "fr"), ("", "")
    }  # fmt: skip
    assert not [note for note in made.notes if note.kind in ("superseded", "refused", "damaged")]


def test_other_parameters_make_a_setting(tmp_path: Path) -> None:
    every: list[dict[str, Any]] = [{}, {"demos": "placement"}, {"demos": "placement", "languages": ["sw"]}]
    for number, parameters in enumerate(every):
        code = "sw" if "languages" in parameters else "de"
        made = {"xling_mmlu_full_de": cell(code, code, np.arange(9) < 4, family="mmlu", placement="full")}
        if number < 2:
            made["xling_mmlu_en"] = cell("en", "en", np.arange(9) < 8, family="mmlu", placement="en")
        write_run(tmp_path / str(number), made, model_args=BASE, change=given(parameters))
    found = report_of(tmp_path).barriers
    assert {(row.setting, row.condition) for row in found if row.scope == "task"} == {
        ("0-shot, cloze", "full_de"),
        ("0-shot, cloze, demos=placement", "full_de"),
        ("0-shot, cloze, demos=placement", "full_de languages=[sw]"),
    }


@pytest.mark.parametrize(("metric", "shown"), [("acc", "40.0"), ("bleu", "0.4"), ("chrf++", "0.4")])
def test_a_low_score_in_a_unit_of_its_own_is_no_share(metric: str, shown: str, tmp_path: Path) -> None:
    write_run(tmp_path, {"xling_atlas_en_en": cell("en", "en", [True, False])}, model_args=BASE)
    made = report_of(tmp_path)
    row = replace(made.scores[0], metric=metric, score=Interval(0.4, 0.3, 0.5))
    made = replace(made, scores=(row,))
    assert scale_of(made, row.family, row.setting) == (100.0 if metric == "acc" else 1.0)
    (scores,) = (table for table in group_tables(made, row.family, row.setting) if table.name == "scores")
    assert shown in [found.text for found in scores.lines[0].cells]
