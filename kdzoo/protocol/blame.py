"""Sentences for what a plugin does wrong: an exception in one of its hooks, or a value of another type than promised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from kdzoo.errors import KdzooError, PluginError

T = TypeVar("T")


@contextmanager
def hook_of(owner: str, hook: str) -> Iterator[None]:
    """Calls a hook: an exception of the plugin's own becomes a PluginError that names it, with the exception as its cause.

    Args: owner: in recipe words, such as `methods.kd`.
    """
    try:
        yield
    except (KdzooError, AssertionError):  # an assertion is a test's, or says by itself what was taken for granted
        raise
    except Exception as error:
        raise PluginError(failed(owner, hook, error)) from error


def failed(owner: str, hook: str, error: Exception) -> str:
    """What an exception in a hook is told as."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{owner}: {hook} failed with {type(error).__name__}: {text}. --debug shows where."


def returned(value: object, kind: type[T], owner: str, hook: str) -> T:
    """The value, if it is what the hook promises. Raises PluginError."""
    if isinstance(value, kind):
        return value
    raise PluginError(f"{owner}: {hook} must return {_article(kind.__name__)}, got {_shown(value)}; see docs/plugin.md.")


def _shown(value: object) -> str:
    return "None" if value is None else _article(type(value).__name__)


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
