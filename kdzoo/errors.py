"""What can go wrong, by who has to act. Every message is one or two sentences: what, where, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class KdzooError(Exception):
    """Base of every error that the command line prints as a sentence; `exit_code` is what the shell sees."""

    exit_code = 1


class RunFailed(KdzooError):
    """A run that started correctly could not finish (a loss became NaN, the disk filled up)."""


class MachineFailed(RunFailed):
    """The machine could not carry on (a full disk, no memory): the same command may well succeed later."""


class RecipeError(KdzooError):
    """The user's recipe, override or argument is wrong."""

    exit_code = 2


class CapabilityError(RecipeError):
    """A method was given a task, teacher or pair of models that it cannot serve."""


class PluginError(KdzooError):
    """A plugin is broken, ambiguous or does not keep to the protocol."""

    exit_code = 2


class MissingError(KdzooError):
    """Something has to be installed or fetched first; the message names the exact command."""

    exit_code = 3


class Interrupted(KdzooError):
    """The run was stopped by a signal after writing a checkpoint."""

    exit_code = 130


class WeakTeacherWarning(UserWarning):
    """A frozen teacher is no better than guessing."""


def cut(text: str, most: int = 200) -> str:
    """A text of any length as a sentence quotes it."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def no_such(place: Path | str) -> str:
    """The sentence about a file or folder that is not there, with where it was looked for."""
    return f"There is no file or folder {place}; {looked(place)}."


def looked(*places: Path | str) -> str:
    """A half-sentence that says where a file was looked for: whole paths, as one may be in another folder than one thinks."""
    return "looked for " + " and ".join(dict.fromkeys(str(Path(place).expanduser().absolute()) for place in places))


def nearest(name: str, names: Iterable[str], *, most: int = 3) -> list[str]:
    """The names most like `name`, best first; empty if nothing is close."""
    return difflib.get_close_matches(name, list(names), n=most, cutoff=0.5)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A half-sentence for an error message: the nearest names, or all of them where none is near."""
    known = sorted(names)
    close = nearest(name, known)
    if close:
        return f"did you mean {' or '.join(repr(c) for c in close)}?"
    return f"known: {', '.join(known)}." if known else "none is known."
