"""Seeds that follow the run's: `each` in the place of a seed, and the `seed` of a teacher, which its recipe gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdzoo.recipe.paths import USE
from kdzoo.recipe.schema import RECIPE

EACH = "each"
SEED = "seed"
TEACHER, TEACHERS = "teacher", "teachers"


def with_seeds(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's tree with the run's own seed for every `each`, so that a bench over seeds varies what says so.

    `teacher.seed` is short for `teacher.recipe.seed`; a teacher without a recipe keeps it, which its own settings may have.
    """
    found = dict(tree)
    if isinstance(found.get(TEACHER), dict):
        found[TEACHER] = _moved(found[TEACHER])
    if isinstance(found.get(TEACHERS), dict):
        found[TEACHERS] = {name: _moved(spec) for name, spec in found[TEACHERS].items()}
    own = found.get(SEED, 0)
    return {key: item if key == SEED else _followed(item, own) for key, item in found.items()}


def _moved(spec: Any) -> Any:
    if not isinstance(spec, dict) or SEED not in spec or spec.get(RECIPE) is None:
        return spec
    recipe = spec[RECIPE]
    own = {**recipe, SEED: spec[SEED]} if isinstance(recipe, dict) else {USE: recipe, SEED: spec[SEED]}
    return {key: item for key, item in spec.items() if key != SEED} | {RECIPE: own}


def _followed(value: Any, own: Any) -> Any:
    if isinstance(value, list):
        return [_followed(item, own) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: own if isinstance(item, str) and item == EACH and _is_seed(key) else _followed(item, own)
        for key, item in value.items()
    }


def _is_seed(key: Any) -> bool:
    return isinstance(key, str) and (key == SEED or key.endswith(f"_{SEED}"))
