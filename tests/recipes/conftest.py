"""The recipes that ship with kdzoo, and miniatures of them: the same methods and models, on eight made-up images."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from kdzoo.benchmark.plan.grid import expand
from kdzoo.data.tensors import Tensors
from kdzoo.recipe.load import Recipe

SHAPES = {"cifar100": (100, (3, 32, 32)), "fashion_mnist": (10, (1, 28, 28)), "digits": (10, (1, 8, 8))}


def _images(name: str) -> Tensors:
    """Eight images of as many classes, as large as those of a data set."""
    classes, shape = SHAPES[name]
    images = torch.randint(0, 256, (8, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels, names = torch.arange(8), [str(number) for number in range(classes)]
    return Tensors(train_images=images, train_labels=labels, test_images=images, test_labels=labels, class_names=names)


def _untrained(teacher: Any) -> Any | dict[str, Any]:
    """A teacher as its recipe builds it."""
    recipe = teacher.get("recipe")
    return teacher if recipe is None else {**teacher, "recipe": None, "model": recipe["student"]}


@pytest.fixture(scope="session")
def cells() -> Any:
    """`cells(name)`: those of a bench recipe at one seed."""
    return functools.cache(lambda name: expand(name, seeds=[0]).cells)


@pytest.fixture(scope="session")
def miniature() -> Callable[..., Any]:
    """`miniature(recipe, folder)`: the recipe for one epoch of two steps, with an untrained teacher."""

    def make(recipe: Any, out: str = "runs") -> Recipe:
        given = recipe.settings
        changed = {
            "task": {**given["task"], "data": _images(given["task"]["data"]["use"]), "train_size": None, "validation": 0},
            "train": {**given["train"], "epochs": 1, "batch_size": 4},
            "teachers": {name: _untrained(teacher) for name, teacher in given["teachers"].items()},
            "runtime": {**given["runtime"], "device": "cpu", "out": str(out), "log_every": 1},
        }
        return Recipe({**given, **changed}, recipe.source)

    return make
