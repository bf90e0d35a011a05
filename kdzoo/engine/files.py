"""Writing files so that a kill at any moment leaves the old one or the new one, never half of one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from kdzoo.errors import MachineFailed, RecipeError


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn the operating system's refusals into sentences: an output folder is the user's choice, a full disk is not."""
    try:
        yield
    except PermissionError as error:
        raise RecipeError(f"cannot write to {error.filename or folder}: {error.strerror}; set runtime.out elsewhere.") from None
    except (NotADirectoryError, FileExistsError):
        file = next((path for path in [folder, *folder.parents] if path.is_file()), folder)
        raise RecipeError(f"cannot write to {folder}: {file} is a file, not a folder; set runtime.out elsewhere.") from None
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MachineFailed(
            f"writing to {folder} failed: {reason}; free some space or set runtime.out elsewhere, then start the same "
            "command again: it resumes from the last checkpoint."
        ) from None


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(beside)
        _sync(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    replace_file(path, lambda p: p.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n"))


def replace_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` fill a folder beside `path`, sync it, then move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        fill(beside)
        for file in beside.iterdir():
            _sync(file)
        if path.exists():
            shutil.rmtree(path)
        os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one process; another waits. The lock ends with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
