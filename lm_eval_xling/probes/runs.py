"""The folder of a run: what made it, its numbers as JSON lines and Parquet, then pictures and the page."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import atomic_file, check_folder, write_atomically
from lm_eval_xling.probes.probe import Findings, Probe, Prompt

if TYPE_CHECKING:
    from lm_eval_xling.probes.probe import Picture

__all__ = ["Run", "observation_rows"]

_LIBRARIES = ("lm-eval-xling", "lm_eval", "torch", "transformers", "peft", "numpy", "scipy", "scikit-learn")
_ROWS_AT_ONCE = 20_000


class Run:
    """One probe of one model on one set of texts, in one folder.

    Args:
        folder: made if it does not exist; a killed run is continued by the same call with the same folder.
        probe: its name.
        model: what ``ProbedModel.describe`` says.
        prompts: the texts.
        settings: everything else that the numbers depend on.

    Raises:
        UserError: if the folder holds another run.
    """

    def __init__(
        self,
        folder: Path,
        probe: str,
        *,
        model: Mapping[str, Any],
        prompts: Sequence[Prompt],
        settings: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.probe = probe
        digest = hashlib.sha256()
        for prompt in prompts:
            digest.update(json.dumps(asdict(prompt), sort_keys=True, default=dict).encode())
        languages: dict[str, int] = {}
        for prompt in prompts:
            languages[prompt.language] = languages.get(prompt.language, 0) + 1
        identity = {
            "probe": probe,
            **model,
            "texts": {"sha256": digest.hexdigest(), "per_language": languages},
            "settings": dict(settings),
        }
        self.manifest: dict[str, Any] = {**identity, "versions": {name: version(name) for name in _LIBRARIES}}
        check_folder(folder, "--out")
        path = folder / "run.json"
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            changed = [name for name, value in _plain(identity).items() if known.get(name) != value]
            if changed:
                raise UserError(
                    f"the folder holds another run: {', '.join(changed)} differ",
                    where=folder,
                    fix="choose another --out, or remove that folder",
                )
        elif folder.exists() and any(folder.iterdir()):
            raise UserError("the folder is not empty and holds no run", where=folder, fix="choose another --out")
        self.describe()

    @property
    def activations(self) -> Path:
        """Where the memory-mapped files stand; they can be removed when the run is finished."""
        return self.folder / "activations"

    @property
    def figures(self) -> Path:
        """Where the pictures stand."""
        return self.folder / "figures"

    def describe(self, **found: Any) -> None:
        """Write ``run.json``, with what the run found out besides its numbers."""
        self.manifest |= found
        text = json.dumps(_plain(self.manifest), indent=2, ensure_ascii=False)
        write_atomically(self.folder / "run.json", f"{text}\n".encode())

    def save(self, findings: Findings) -> None:
        """Write the numbers, in both formats: ``measures``, and where there are any ``points`` and ``observations``."""
        _write_table(self.folder / "measures", (asdict(measure) for measure in findings.measures))
        _write_table(self.folder / "points", (asdict(point) for point in findings.points))
        _write_table(self.folder / "observations", observation_rows(findings))
        if findings.facts:
            self.describe(**findings.facts)

    def show(self, probe: Probe, findings: Findings, pictures: Sequence[Picture]) -> Path:
        """Write the page, and return where it stands."""
        from lm_eval_xling.probes.run_page import write_page

        page = self.folder / "index.html"
        write_page(page, probe, findings.measures, pictures, self.manifest)
        return page


def observation_rows(findings: Findings) -> Iterator[dict[str, Any]]:
    """Yield one row a variant, text and layer."""
    for variant, array in findings.values.items():
        for row, (id, language) in enumerate(zip(findings.ids, findings.languages, strict=True)):
            for layer, numbers in enumerate(np.asarray(array[row])):
                yield {
                    "variant": variant,
                    "id": id,
                    "language": language,
                    "layer": layer,
                    **dict(zip(findings.columns, map(float, numbers), strict=True)),
                }


def _write_table(stem: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as ``.jsonl`` and ``.parquet``, a block at a time; nothing if there are no rows."""
    import pyarrow as pa
    from pyarrow import parquet

    rest = _blocks(rows)
    first = next(rest, None)
    if first is None:
        return
    # A column that is empty in the first block may have values in a later one.
    texts = {"minus", "other"}
    schema = pa.schema(
        pa.field(field.name, pa.string() if field.name in texts else pa.float64())
        if pa.types.is_null(field.type)
        else field
        for field in pa.Table.from_pylist(first).schema
    )
    with (
        atomic_file(stem.with_suffix(".jsonl")) as lines,
        atomic_file(stem.with_suffix(".parquet")) as table,
        parquet.ParquetWriter(table, schema) as writer,
    ):
        for block in chain([first], rest):
            lines.writelines(f"{json.dumps(_plain(row), ensure_ascii=False)}\n".encode() for row in block)
            writer.write_table(pa.Table.from_pylist(block, schema=schema))


def _blocks(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    block: list[dict[str, Any]] = []
    for row in rows:
        block.append(row)
        if len(block) == _ROWS_AT_ONCE:
            yield block
            block = []
    if block:
        yield block


def _plain(value: Any) -> Any:
    """Return JSON's own types; NaN, which JSON has not, becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
