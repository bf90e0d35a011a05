"""A model's settings are tried before the data are there: what its constructor refuses whatever the data is told early.

The data's own numbers (`Task.tells`) are not known then, so the model is built for usual ones, on torch's `meta` device, where
nothing is computed. A complaint that speaks of one of them, and any other failure, is left to the run; so is a model that is
made of files (its constructor has `files`, see docs/plugin.md), which may have to be fetched.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import torch
from torch import nn

from kdzoo.errors import RecipeError

_tried: set[str] = set()
"""Constructors with settings that were tried before."""


class Builder(Protocol):
    """A model that is not built yet, as `kdzoo.recipe.build.ModelBuilder`."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def factory(self) -> Any: ...

    def __call__(self, **context: int) -> nn.Module: ...


def try_settings(model: Builder, told: Mapping[str, Any]) -> None:
    """Build a model once for the settings' sake. Raises RecipeError for a setting that its constructor refuses.

    Args: told: the data's numbers, each with a usual value.
    """
    trial = f"{model.factory!r} {dict(model.settings)!r}"
    if not model.settings or hasattr(model.factory, "files") or trial in _tried:
        return
    try:
        with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]), torch.device("meta"):
            model(**told)
    except RecipeError as error:
        if _about_settings(error, model.settings, told):
            raise
    except Exception:
        pass
    _tried.add(trial)


def _about_settings(error: RecipeError, settings: Collection[str], told: Mapping[str, Any]) -> bool:
    """Whether a complaint is about what the recipe says; a ValueError may come from anywhere, unless it names a setting."""
    words = re.findall(r"\w+", str(error.__cause__))
    named = isinstance(error.__cause__, RecipeError) or (bool(words) and words[0] in settings)
    return named and not set(words) & set(told)
