"""Tables that ``datasets.save_to_disk`` wrote: folders of Arrow files, which no JSON reader sees."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.raw import Record
from lm_eval_xling.errors import UserError

__all__ = ["saved_name", "saved_records", "saved_table"]

_FILE = re.compile(r"data-\d+-of-(\d+)\.arrow")


def saved_table(folders: Sequence[Path], name: str, split: str = "train") -> tuple[Path, ...]:
    """Return the Arrow files of a saved table, in order; none if no folder holds it.

    Args:
        folders: where to look.
        name: path of the saved folder in its repository; any shorter end of it will do.
        split: which table, where several were saved together.

    Raises:
        UserError: if some of the table's files are missing.
    """
    pieces = name.split("/")
    for folder in folders:
        for start in range(len(pieces)):
            saved = folder.joinpath(*pieces[start:])
            for place in (saved / split, saved):
                files = sorted(path for path in place.glob("data-*.arrow") if _FILE.fullmatch(path.name))
                if files:
                    return _complete(files)
    return ()


def _complete(files: list[Path]) -> tuple[Path, ...]:
    count = int(_FILE.sub(r"\1", files[0].name))
    if len(files) != count:
        raise UserError(
            f"{len(files)} of the table's {count} files are there", where=files[0].parent, fix="copy the whole folder"
        )
    return tuple(files)


def saved_name(path: Path) -> str:
    """Return the name of the folder that a table was saved to, for one of its files."""
    # The folder of a single table has the files in it, that of several has a folder for each.
    alone = not (path.parent.parent / "dataset_dict.json").is_file() and path.parent.name != "train"
    return (path.parent if alone else path.parent.parent).name


def saved_records(paths: Sequence[Path]) -> Iterator[Record]:
    """Records of a saved table.

    Raises:
        UserError: if a file is no Arrow file.
    """
    import pyarrow

    index = 0
    for path in paths:
        try:
            with pyarrow.memory_map(str(path)) as stream:
                batches = pyarrow.ipc.open_stream(stream).read_all().to_batches()
                rows = [row for batch in batches for row in batch.to_pylist()]
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise UserError(
                f"the Arrow file cannot be read: {str(error).splitlines()[0]}", where=path, fix="copy it again"
            ) from error
        for row in rows:
            yield Record(row, f"{path}, row {index}")
            index += 1
