from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.runs import document

_TASK = """
task: xling_atlas_{asked}_{answered}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
_GENERATION = """
task: xling_math_{code}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: target
generation_kwargs: {{until: ["."]}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
  - {{metric: bleu, aggregation: bleu, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
_GROUP = """
group: crosslingual_demo
task: [xling_atlas_en_en, xling_atlas_de_en]
aggregate_metric_list: [{metric: acc}]
metadata: {version: 1.0}
"""


def _write_tasks(folder: Path) -> None:
    import json

    for asked, answered in (("en", "en"), ("de", "en")):
        rows = folder / f"{asked}_{answered}.jsonl"
        docs = [document(f"item:{i}", asked, answered, answer=i % 4, group="capital") for i in range(12)]
        rows.write_text("\n".join(json.dumps(doc) for doc in docs), encoding="utf-8")
        (folder / f"{asked}_{answered}.yaml").write_text(_TASK.format(asked=asked, answered=answered, rows=rows))
    for code in ("en", "de"):
        rows = folder / f"math_{code}.jsonl"
        docs = [
            {"id": str(i), "family": "math", "question_language": code, "answer_language": code, "prompt": f"{i}?"}
            | {"target": "lol" if i < 2 else "no"}
            for i in range(4)
        ]
        rows.write_text("\n".join(json.dumps(doc) for doc in docs), encoding="utf-8")
        (folder / f"math_{code}.yaml").write_text(_GENERATION.format(code=code, rows=rows))
    (folder / "group.yaml").write_text(_GROUP)


@pytest.fixture(scope="session")
def harness_output(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What both supported releases of the harness write for its dummy model: release to output folder."""
    root = tmp_path_factory.mktemp("harness")
    tasks = root / "tasks"
    tasks.mkdir()
    _write_tasks(tasks)
    # The release before the installed one needs nothing but itself in front of the path.
    older = root / "0.4.12"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(older), "lm_eval==0.4.12"]
    fetched = subprocess.run(pip, capture_output=True, text=True)
    if fetched.returncode:
        # A virtual environment may have no pip of its own.
        base = Path(sys.base_prefix, "bin", "python3")
        fetched = subprocess.run([str(base), *pip[1:]], capture_output=True, text=True)
    releases = {"installed": "", **({"0.4.12": str(older)} if not fetched.returncode else {})}
    command = [
        sys.executable,
        "-m",
        "lm_eval",
        "run",
        "--model",
        "dummy",
        "--include_path",
        str(tasks),
        "--log_samples",
    ]
    command += ["--tasks", "crosslingual_demo,xling_math_en,xling_math_de"]
    running = {}
    for release, path in releases.items():
        environment = {**os.environ, "PYTHONPATH": path, "HF_DATASETS_CACHE": str(root / f"cache{release}")}
        arguments = [*command, "--output_path", str(root / "out" / release)]
        running[release] = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    for release, process in running.items():
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, f"{release}: {said[-2000:]}"
    return {release: root / "out" / release for release in running}
