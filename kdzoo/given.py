"""What is given in Python in the place of a recipe's sections: one's own modules, tensors and data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from kdzoo.data.datasets import are_datasets, tensors_of
from kdzoo.errors import RecipeError

Setting = str | Mapping[str, Any]
Data = Setting | Sequence[Any]
TENSORS = ("train_images", "train_labels", "test_images", "test_labels")


def sections_of(*, student: Any = None, teacher: Any = None, data: Any = None, methods: Any = None) -> dict[str, Any]:
    """What the arguments of `run` and `bench` say, as sections of a recipe; those that say nothing are left out."""
    sections = {"student": student, "teacher": _teacher(teacher), "task": _task(data), "methods": methods}
    return {name: value for name, value in sections.items() if value is not None}


def _teacher(teacher: Any) -> Any:
    """A module stands in the place of whatever model, recipe and checkpoint the recipe names."""
    if not isinstance(teacher, nn.Module):
        return teacher
    return {"use": "frozen", "model": teacher, "recipe": None, "checkpoint": None}


def _task(data: Any) -> Any:
    if data is None:
        return None
    if are_datasets(data):
        return {"use": "image_classification", "data": {"use": "tensors", **tensors_of(data)}}
    if isinstance(data, str | Mapping):
        return {"data": data}
    if not isinstance(data, Sequence) or len(data) != len(TENSORS):
        raise RecipeError(
            f"data must be a name, a mapping, two data sets or loaders (train, test), or the four ({', '.join(TENSORS)})."
        )
    return {"use": "image_classification", "data": {"use": "tensors", **dict(zip(TENSORS, data, strict=True))}}
