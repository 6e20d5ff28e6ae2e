"""The package's structure: what may import what, and that every name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lm_eval_xling

ROOT = Path(lm_eval_xling.__file__).parent
PACKAGE = "lm_eval_xling"

# Each may import those above it, and itself.
LAYERS = (
    "errors",
    "cache_folder",
    "files",
    "hashing",
    "on_demand",
    "languages",
    "records",
    "drawing",
    "literals",
    "splitting",
    "statistics",
    "linear_models",
    "models",
    "harness",
    "catalog",
    "composing",
    "translation",
    "mixing",
    "metrics",
    "families",
    "leaf_dataset",
    "leaf_task",
    "pairs",
    "scoring",
    "training",
    "probes",
    "trainers",
    "report",
    "cost",
    "servers",
    "upstream",
    "evaluating",
    "(root)",
    "_cli",
    "__main__",
)

# File names that several modules may have, and why.
SHARED_FILE_NAMES = {
    "__init__": "every package has one",
    "atlas": "the dataset in the catalog, the family that asks it",
    "hp": "the dataset in the catalog, the family that asks it",
    "ledger": "the dataset in the catalog, the family that asks it",
    "mmlu": "the dataset in the catalog, the family that asks it",
    "tofu": "the dataset in the catalog, the family that asks it, its published formulas",
    "translation": "the family of that name, and the translators",
    "report": "a command is called like what it runs",
    "probe": "a command is called like what it runs",
}


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = (PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imported(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports: at its top, inside functions, and for type checking."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in MODULES:
                    yield inner
                elif node.module in MODULES:
                    yield str(node.module)


IMPORTS = {name: set(_imported(path)) - {name} for name, path in MODULES.items()}


def _layer(module: str) -> str:
    return (module.split(".") + ["(root)"])[1]


def test_every_module_has_its_layer() -> None:
    assert {_layer(module) for module in MODULES} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_down(layer: str) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    wrong = [
        f"{module} imports {imported}"
        for module, found in IMPORTS.items()
        if _layer(module) == layer
        for imported in found
        if _layer(imported) in above
    ]
    assert not wrong


def test_no_circle_of_modules() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" ▸ ".join(error.args[1]))


def test_a_file_name_means_one_thing() -> None:
    found = defaultdict(list)
    for module, path in MODULES.items():
        found[path.stem].append(module)
        if path.stem == "__init__":
            found[path.parent.name].append(module)
    shared = {name: modules for name, modules in found.items() if len(modules) > 1}
    assert {name: modules for name, modules in shared.items() if name not in SHARED_FILE_NAMES} == {}
    assert set(SHARED_FILE_NAMES) <= set(shared), "a reason for a name that is no longer shared"


def test_a_class_name_means_one_thing() -> None:
    found = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(module)
    assert {name: modules for name, modules in found.items() if len(modules) > 1} == {}


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__main__")])
def test_a_module_says_what_is_public(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    defined = [node for node in tree.body if not isinstance(node, ast.Expr)]
    assert "__all__" in names or not defined
