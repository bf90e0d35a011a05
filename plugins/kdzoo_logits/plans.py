"""What the plan teachers share: the recipe of an earlier run, made from the recipe of the last one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OF_THE_LAST_RUN = ("name", "description", "seed", "reference", "bench", "paths", "runtime")
USE = "use"


def earlier(recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that an earlier run has in common with the last one, with some of them changed.

    The seed is not among them, so that all seeds of the last run share one earlier run; machine and folders come by themselves.
    """
    return {key: section for key, section in recipe.items() if key not in OF_THE_LAST_RUN} | dict(changes)


def with_teacher(recipe: Mapping[str, Any], use: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's teachers, with other settings for the plan `use` among them."""
    teachers: Mapping[str, Any] = recipe["teachers"]
    return {name: dict(settings) if _used(spec) == use else spec for name, spec in teachers.items()}


def _used(spec: Any) -> Any:
    return spec.get(USE) if isinstance(spec, Mapping) else spec
