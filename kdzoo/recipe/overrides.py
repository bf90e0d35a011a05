"""Overrides as on the command line: `a.b=1` sets, `~a.b` removes, `a.b[0]=2` reaches into a list. Later ones win."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdzoo.errors import RecipeError, cut
from kdzoo.recipe.keys import keys_quoted
from kdzoo.recipe.layers import Layers, Origin


def apply(layers: Layers, overrides: Sequence[str]) -> None:
    """Lay overrides over a recipe. A mapping is merged, anything else replaces. Raises RecipeError for what is no override."""
    for text in overrides:
        path, equals, value = text.partition("=")
        if text.startswith("~") and path != "~" and not equals:
            layers.remove(text[1:].strip())
        elif equals and path.strip() and not text.startswith("~"):
            layers.put(path.strip(), parsed(value, text), Origin(f"override {cut(text)}", Path.cwd()))
        else:
            raise RecipeError(f"The override '{cut(text)}' cannot be read: write a.b=1 to set a value, ~a.b to remove one.")


def parsed(value: str, text: str) -> Any:
    """A value as it would be read in a recipe file: 1e-3 is a number."""
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={keys_quoted(value)}"]), resolve=False)["value"]  # type: ignore
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(
            f"The value in the override '{cut(text)}' cannot be read ({problem}): quote it if it is text."
        ) from None
