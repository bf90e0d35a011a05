"""References in a recipe: `${paths.teachers}/resnet.safetensors`. Plain paths only, so that nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kdzoo.errors import RecipeError
from kdzoo.recipe.paths import child, join, keys

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_PLAIN = re.compile(r"[\w\-]+([.\w\-]|\[\d+\])*")


@dataclass(frozen=True)
class References:
    """Replaces references by the values that they name.

    Attributes:
        tree: the recipe; defaults: where what it does not set is looked up.
        where: a half-sentence for messages, on where the value at a path was written.
    """

    tree: Mapping[str, Any]
    defaults: Mapping[str, Any]
    where: Callable[[str], str]

    def resolve(self, value: Any, path: str = "", stack: tuple[str, ...] = ()) -> Any:
        """A value with every reference in it replaced; a value that is only a reference keeps its type.

        Raises RecipeError for a reference to nothing, to itself, to the environment or to code.
        """
        if isinstance(value, dict):
            return {key: self.resolve(item, join(path, key), stack) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, join(path, number), stack) for number, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        rest = _REFERENCE.sub("", value)
        if "${" in rest:
            raise RecipeError(self._refused(rest[rest.index("${") :], path))
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return self._value(whole[1], path, stack)
        return _REFERENCE.sub(lambda found: self._text(found[1], path, stack), value)

    def _value(self, name: str, path: str, stack: tuple[str, ...]) -> Any:
        if not _PLAIN.fullmatch(name):
            raise RecipeError(self._refused(f"${{{name}}}", path))
        if name in stack:
            raise RecipeError(f"{path} refers to itself, by way of {' -> '.join((*stack, name))}{self.where(path)}.")
        found = _at(self.tree, name)
        found = _at(self.defaults, name) if found is None else found
        if found is None:
            raise RecipeError(f"{path} refers to ${{{name}}}, which the recipe does not set{self.where(path)}.")
        return self.resolve(found, name, (*stack, name))

    def _refused(self, reference: str, path: str) -> str:
        return (
            f"{path} refers to {reference}{self.where(path)}: only plain references such as ${{paths.data}} are allowed, "
            "for a recipe neither reads the environment nor runs code. Write the value, or set it by an override."
        )

    def _text(self, name: str, path: str, stack: tuple[str, ...]) -> str:
        found = self._value(name, path, stack)
        if isinstance(found, dict | list):
            raise RecipeError(f"{path} puts ${{{name}}} into a text, but that is no single value{self.where(path)}.")
        return str(found)


def _at(tree: Any, path: str) -> Any:
    for key in keys(tree, path):
        tree = child(tree, key)
    return tree
