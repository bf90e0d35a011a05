"""What a failed run leaves: `error.txt` for people, `failure.json` for the next bench, which does not try it again unasked."""

from __future__ import annotations

import contextlib
import json
import traceback
from dataclasses import dataclass
from pathlib import Path

from kdzoo.engine.files import mapping_in, read_json
from kdzoo.errors import KdzooError, MachineFailed

ERROR = "error.txt"
FAILURE = "failure.json"
LINES = 3
"""Lines of a traceback that are shown beside its sentence."""


@dataclass(frozen=True)
class Failure:
    """Why a run failed.

    Attributes:
        sentence: what is told; details: the traceback, where the cause is not the user's; last: the last lines to show.
        lasting: whether the same run would fail again, as far as one can know; it would not where the machine was at fault.
    """

    sentence: str
    details: str = ""
    last: tuple[str, ...] = ()
    lasting: bool = True


def failure_of(error: BaseException, folder: Path) -> Failure:
    """A failure from the exception that ended a run in `folder`."""
    details = "".join(traceback.format_exception(error))
    lasting = not (isinstance(error, MachineFailed) or _lacked_memory(error))
    if isinstance(error, KdzooError):
        # Behind a plugin's failure is an exception of its own, which whoever mends it wants to see.
        shown = "".join(traceback.format_exception(error.__cause__)) if error.__cause__ else ""
        return Failure(str(error), details if error.__cause__ else "", (*_logged(folder), *_tail(shown)), lasting)
    sentence = f"{type(error).__name__}: {error} (traceback in {folder / ERROR})"
    return Failure(sentence, details, (*_logged(folder), *_tail(details)), lasting)


def record(failure: Failure, folder: Path, identity: str) -> None:
    """Leave a failure where the report and the next bench find it."""
    with contextlib.suppress(OSError):  # where the disk is full, the sentence is told all the same
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ERROR).write_text(f"{' '.join(failure.sentence.split())}\n\n{failure.details}".rstrip() + "\n")
        if failure.lasting:
            (folder / FAILURE).write_text(
                json.dumps({"identity": identity, "sentence": failure.sentence, "last": failure.last}) + "\n"
            )


def recorded(folder: Path, identity: str) -> Failure | None:
    """The lasting failure of the run with this identity, if one is on record."""
    try:
        found = read_json(folder / FAILURE) or {}
        return Failure(found["sentence"], "", tuple(found["last"])) if found["identity"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(folder: Path) -> None:
    """The run is going to be tried."""
    for name in (ERROR, FAILURE):
        (folder / name).unlink(missing_ok=True)


def _lacked_memory(error: BaseException) -> bool:
    from kdzoo.engine.cohort import lacked_memory

    return lacked_memory(error)


def _tail(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip(" ^~")][-LINES:]


def _logged(folder: Path) -> list[str]:
    """The last losses of a run's log."""
    try:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        steps = [r for line in lines[-20:] if (r := mapping_in(line)) and r["event"] == "step"][-1:]
    except (OSError, ValueError, KeyError):
        return []
    return [f"last logged: stage {r['stage']}, epoch {r['epoch']}, step {r['step']}, loss {r['loss']:.4g}" for r in steps]
