"""Plugins are called here: what they raise, or return in place of what they promised, becomes a sentence with the place.

`constructing` is for what settings are given to, `hook_of` for what the engine calls later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_type_hints

from kdzoo.errors import Interrupted, KdzooError, PluginError, RecipeError, RunFailed

T = TypeVar("T")


class Data(Protocol):
    """See `kdzoo.protocol.roles.Data`."""

    def load(self, root: Path | None = None) -> Any: ...


def _nowhere(path: str) -> str:
    return ""


@contextmanager
def constructing(path: str, plugin: str, names: Collection[str], where: Callable[[str], str] = _nowhere) -> Iterator[None]:
    """Makes something of settings. Its ValueError is the user's mistake, and becomes a RecipeError in recipe words.

    Args:
        path: where the settings stand in the recipe; plugin: what is made of them.
        names: the settings, one of which the complaint may begin with.
        where: path -> ` (from FILE)`, or nothing.
    """
    try:
        yield
    except ValueError as error:
        raise RecipeError(worded(error, path, names, where)) from error
    except KdzooError as error:
        raise placed(error, path, where(path)) from error
    except Exception as error:
        raise PluginError(failed(f"{path}{where(path)}", plugin, error)) from error


@contextmanager
def hook_of(owner: str, hook: str) -> Iterator[None]:
    """Calls a hook: an exception of the plugin's own becomes a PluginError that names it, with the exception as its cause.

    Args: owner: in recipe words, such as `methods.kd`; a sentence of kdzoo's own that lacks it begins with it then.
    """
    try:
        yield
    except KdzooError as error:
        found = placed(error, owner)
        if found is error:
            raise
        raise found from error
    except AssertionError:  # an assertion is a test's, or says by itself what was taken for granted
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
            raise RunFailed(
                f"{owner}: {hook} ran out of memory ({_text(error)}); raise train.accumulate, or lower train.batch_size."
            ) from error
        raise PluginError(failed(owner, hook, error)) from error


def each_of(items: Iterable[T], owner: str, hook: str) -> Iterator[T]:
    """The items of a hook that is a generator; each of them is made under `hook_of`."""
    with hook_of(owner, hook):
        found = iter(items)
    while True:
        with hook_of(owner, hook):
            try:
                item = next(found)
            except StopIteration:
                return
        yield item


def placed(error: KdzooError, path: str, where: str = "") -> KdzooError:
    """The error, with the path that it is about, and where that was written."""
    if path in str(error) or isinstance(error, Interrupted):
        return error
    return type(error)(f"{path}{where}: {error}")


def worded(error: ValueError, path: str, names: Collection[str], where: Callable[[str], str]) -> str:
    """A constructor's complaint in recipe words: `temperature must be > 0` is about `methods.kd.temperature`."""
    text = _text(error)
    first = text.split(maxsplit=1)[0] if text else ""
    if first in names:
        return f"{path}.{text}{where(f'{path}.{first}')}."
    return f"{path}: {text}{where(path)}."


def failed(owner: str, hook: str, error: Exception) -> str:
    """What an exception in a hook is told as."""
    text = _text(error)
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{owner}: {hook} failed with {what}. --debug shows where."


def _text(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def returned(value: object, kind: type[T], owner: str, hook: str) -> T:
    """The value, if it is what the hook promises. Raises PluginError."""
    if isinstance(value, kind):
        return value
    raise PluginError(f"{owner}: {hook} must return {_article(kind.__name__)}, got {_shown(value)}; see docs/plugin.md.")


def loaded(data: Data, root: Path | None, kind: type[T], path: str = "task.data") -> T:
    """What a data source loads, `path` in the recipe. Raises RecipeError where that is another task's data.

    A source that declares what it loads is refused before its files are looked for.
    """
    promised = _declared(data.load)
    if promised is not None and not (issubclass(promised, kind) or issubclass(kind, promised)):
        raise RecipeError(_of_another_task(path, _article(promised.__name__), kind))
    with hook_of(path, "load"):
        found = data.load(root)
    if isinstance(found, kind):
        return found
    raise RecipeError(_of_another_task(path, _shown(found), kind))


def _declared(hook: Callable[..., object]) -> type | None:
    """The class that a hook is annotated to return, if it is one class that can be found."""
    try:
        promised = get_type_hints(hook).get("return")
    except Exception:  # an annotation may name what only a type checker imports
        return None
    return promised if isinstance(promised, type) and promised is not Any else None


def _of_another_task(path: str, found: str, kind: type) -> str:
    return f"{path} gives {found}, but what takes it needs {_article(kind.__name__)}; choose data that are made for it."


def _shown(value: object) -> str:
    return "None" if value is None else _article(type(value).__name__)


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
