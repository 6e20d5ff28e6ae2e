"""What ``--metadata`` changed of a task: the form of the answer, and the parameters that are not the leaf's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lm_eval_xling.errors import UserError
from lm_eval_xling.report.conditions import condition_of_leaf

if TYPE_CHECKING:
    from lm_eval_xling.families import Leaf

__all__ = ["Given", "given_of", "of_setting"]

_FORM = "form"


class Given(NamedTuple):
    """What was asked for beside the task's name."""

    form: str
    """The form, by name; empty for the leaf's own."""
    parameters: Mapping[str, Any]
    """The other parameters, without those that say what the leaf does without them."""


def given_of(results: Mapping[str, Any], task: str) -> Given:
    """Return the parameters of a task in a results file."""
    config = results["configs"][task]
    metadata = config.get("metadata") or {}
    said = metadata.get("xling")
    if not isinstance(said, Mapping):
        return Given("", {})
    parameters = {name: value for name, value in said.items() if name != _FORM}
    place = config.get("dataset_kwargs") or {}
    if parameters:
        parameters = (
            _beyond_description(place, metadata, parameters)
            if "description" in place
            else _beyond_leaf(place, (results.get("versions") or {}).get(task), parameters)
        )
    return Given(str(said.get(_FORM) or ""), parameters)


def of_setting(family: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the parameters that have to be equal in a comparison.

    What says in which languages an item is shown, or has no effect on a leaf in English, makes a condition: English,
    which refuses such a parameter, is its reference.
    """
    from lm_eval_xling.families.switching import SWITCHING

    known = _english_parameters(family)
    # A family of one's own draws languages and options by its seed, and code-switches by the other ones.
    used = set(parameters) - set(SWITCHING) if known is None else known or set(parameters)
    return {name: value for name, value in parameters.items() if name in used and "language" not in name}


@cache
def _english_parameters(family: str) -> frozenset[str] | None:
    """Parameters that leaves in English use; empty where a family has no such leaf, None for one of one's own."""
    from lm_eval_xling.families import FAMILIES

    if family not in FAMILIES:
        return None
    leaves = FAMILIES[family].leaves
    english = [leaf for leaf in leaves if condition_of_leaf({**leaf.condition, "form": leaf.form})[0].is_english]
    return frozenset(name for leaf in english for name in leaf.parameters)


def _beyond_leaf(place: Mapping[str, Any], version: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    from lm_eval_xling.families import FAMILIES
    from lm_eval_xling.families.parameters import configure

    family = FAMILIES.get(str(place.get("family")))
    leaf = next((leaf for leaf in family.leaves if leaf.name == place.get("leaf")), None) if family else None
    # What a leaf of another version did by itself is not known here.
    if family is None or leaf is None or version != family.version:
        return dict(given)
    try:
        said, default = (configure(family, leaf, parameters)[1] for parameters in (given, None))
    except UserError:
        return dict(given)
    return {
        name: value
        for name, value in given.items()
        if getattr(said, name) not in (getattr(default, name), _language_of(leaf, name))
    }


def _language_of(leaf: Leaf, parameter: str) -> Any:
    """What a leaf has where a parameter for its languages says nothing."""
    from lm_eval_xling.families.placed import FIVE

    condition = leaf.condition
    if parameter == "languages":
        return FIVE if condition.get("placement") == "mixup" else (condition.get("language"),)
    if "language" not in parameter:
        return None
    return condition.get(parameter, condition.get(parameter.removesuffix("_language")))


def _beyond_description(
    place: Mapping[str, Any], metadata: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The same of own data, without its rows, which may be elsewhere."""
    from lm_eval_xling.families.own_data import read_description
    from lm_eval_xling.families.parameters import parse
    from lm_eval_xling.families.placed import PlacedParameters
    from lm_eval_xling.languages import identify

    try:
        said, default = (parse(PlacedParameters, parameters, task="").resolved() for parameters in (given, None))
        own = {name for name in given if name != "base_language" and getattr(said, name) == getattr(default, name)}
        if "base_language" in given:
            path = Path(str(metadata.get("config_source"))).parent / str(place["description"])
            own |= (
                {"base_language"}
                if said.base_language == identify(read_description(path).base_language).code
                else set()
            )
    except (UserError, ValueError):
        return dict(given)
    return {name: value for name, value in given.items() if name not in own}
