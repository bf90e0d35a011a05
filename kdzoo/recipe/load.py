"""A recipe, ready to run: read, overridden, checked, and with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kdzoo.errors import RecipeError, did_you_mean
from kdzoo.recipe.interpolate import References
from kdzoo.recipe.layers import Layers, Origin
from kdzoo.recipe.overrides import apply
from kdzoo.recipe.paths import USE, child, join, keys, leaves, within
from kdzoo.recipe.read import EXTENDS, GIVEN, RECIPE, read
from kdzoo.recipe.schema import REQUIRED, schema_of
from kdzoo.recipe.sections import Layout, Paths
from kdzoo.recipe.seeds import with_seeds
from kdzoo.recipe.validate import Checker
from kdzoo.recipe.values import holds_object

DEFAULT = "default"
DEEPEST = 32
OF_THIS_MACHINE = ("paths", "runtime")
SHORT, TEACHERS = "teacher", "teachers"


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        settings: everything that may be set, as plain data (and the user's own Python objects).
        source: the file or name that it was loaded from.
        provenance: path of each leaf -> the file or override that set it, or `default`.
    """

    settings: dict[str, Any]
    source: str = ""
    provenance: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Any:
        """The setting at a path such as `train.epochs`. Raises RecipeError if there is none."""
        found: Any = self.settings
        for key in keys(self.settings, path):
            names = found if isinstance(found, dict) else range(len(found)) if isinstance(found, list) else ()
            if key not in names:
                raise RecipeError(f"There is no setting {path} in {self.source}; {did_you_mean(str(key), map(str, names))}")
            found = child(found, key)
        return found

    def yaml(self) -> str:
        """The settings as a recipe file that loads to the same; Python objects are only named."""
        return dump(self.settings)


def load(recipe: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe by path, by name or as a mapping, whose values may be Python objects (a model for `student`).

    Args:
        overrides: `a.b=1` and `~a.b`, in order.

    Raises:
        RecipeError: with the path in the recipe, what is wrong there, and the file or override that says so.
        PluginError: a plugin that the recipe names is broken.
    """
    layers = read(recipe, folder=Path.cwd())
    apply(layers, overrides)
    return resolved(layers, GIVEN if isinstance(recipe, Mapping) else str(recipe))


def resolved(layers: Layers, source: str, *, depth: int = 0) -> Recipe:
    """The recipe that merged layers amount to, checked. Recipes inside it are resolved, too, `depth` levels down already."""
    schema = schema_of(Layout, owner="a recipe")
    defaults = {name: f.default for name, f in schema.fields.items() if f.default is not REQUIRED and not f.slot}
    written = with_seeds(_completed(layers.tree))
    tree = References(written, defaults, layers.where).resolve(written)
    inner: dict[str, str] = {}

    def nested(value: Any, path: str) -> Any:
        found = value if isinstance(value, Recipe) else _nested(value, path, layers, tree, depth + 1)
        inner.update({join(path, leaf): text for leaf, text in found.provenance.items()})
        return found.settings

    settings = Checker(_with_teachers(tree), layers, nested).section(schema, tree, "")
    settings = _with_teachers(settings)
    return Recipe(settings, source, _provenance(settings, layers, inner))


def dump(settings: Mapping[str, Any]) -> str:
    """Settings as YAML; Python objects are only named."""
    return OmegaConf.to_yaml(OmegaConf.create(named(settings)))


def objects_in(settings: Mapping[str, Any]) -> list[str]:
    """The paths of the settings that are Python objects, which no file holds."""
    return [path for path, value in leaves(settings) if holds_object(value)]


def portable(tree: Any) -> Any:
    """A resolved recipe without the sections that are about this machine, inner recipes included."""
    if isinstance(tree, list):
        return [portable(item) for item in tree]
    if not isinstance(tree, Mapping):
        return tree
    dropped = OF_THIS_MACHINE if "student" in tree and "task" in tree else ()
    return {key: portable(value) for key, value in tree.items() if key not in dropped}


def _completed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with `~` expanded in its folders, which references may use, and with an optimizer for the student."""
    if tree.get(SHORT) is not None and tree.get(TEACHERS):
        raise RecipeError(f"The recipe has both `{SHORT}` and `{TEACHERS}`: write all teachers in `{TEACHERS}`.")
    tree = dict(tree)
    if isinstance(tree.get("paths", {}), dict):
        paths = {name: f.default for name, f in schema_of(Paths).fields.items()} | tree.get("paths", {})
        tree["paths"] = {k: str(Path(v).expanduser()) if isinstance(v, str) else v for k, v in paths.items()}
    if isinstance(tree.get("optimizers"), dict):
        tree["optimizers"] = {"student": "sgd"} | tree["optimizers"]
    return tree


def _with_teachers(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The same with `teacher` written as `teachers: {teacher: ...}`."""
    rest = {key: value for key, value in tree.items() if key != SHORT}
    return rest if tree.get(SHORT) is None else rest | {TEACHERS: {SHORT: tree[SHORT]}}


def _nested(value: Any, path: str, layers: Layers, tree: Mapping[str, Any], depth: int) -> Recipe:
    """A recipe inside a recipe. It runs on the same machine, so it shares the outer one's folders and runtime.

    What it extends is looked for beside the file that says so.
    """
    written = layers.origin(path) or Origin(GIVEN, Path.cwd())
    origin = next((found for key in (EXTENDS, RECIPE) if (found := layers.origins.get(join(path, key)))), written)
    if depth > DEEPEST:
        raise RecipeError(f"{path}: recipes are nested more than {DEEPEST} deep (from {origin.text}); is one inside itself?")
    if not isinstance(value, str | dict):
        raise RecipeError(f"{path} must be the name or path of a recipe, or a recipe, got {value!r}{layers.where(path)}.")
    if isinstance(value, dict) and USE in value:  # an override inside a recipe that was given by its name
        value = {"extends" if key == USE else key: item for key, item in value.items()}
    namer = layers.namer(path)
    shared = {key: tree[key] for key in OF_THIS_MACHINE if key in tree}
    try:
        inner = read(value, folder=origin.folder, text=origin.text, distribution=namer.distribution if namer else "")
        inner.merge(shared, Origin("the recipe around it", origin.folder))
        return resolved(inner, value if isinstance(value, str) else path, depth=depth)
    except RecipeError as error:
        raise type(error)(f"{path}: {error}" if depth == 1 else str(error)) from None


def _provenance(settings: Mapping[str, Any], layers: Layers, inner: Mapping[str, str]) -> dict[str, str]:
    short = f"{TEACHERS}.{SHORT}" if layers.tree.get(SHORT) is not None else None
    found = {}
    for path, _ in leaves(settings):
        written = SHORT + path[len(short) :] if short and within(path, short) else path
        origin = layers.origins.get(written) or layers.origins.get(written.removesuffix(f".{USE}"))
        found[path] = inner.get(written) or (origin.text if origin else DEFAULT)
    return found


def named(value: Any) -> Any:
    """Settings as plain data, Python objects as their class in brackets."""
    if isinstance(value, Mapping):
        return {key: named(item) for key, item in value.items()}
    if isinstance(value, list):
        return [named(item) for item in value]
    return f"<{type(value).__qualname__}>" if holds_object(value) else value
