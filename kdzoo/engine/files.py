"""Writing files so that a kill at any moment leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from kdzoo import digests
from kdzoo.command_line import command
from kdzoo.errors import MachineFailed, RecipeError

LOCK = ".lock"
OF_THE_PLACE = (errno.EROFS, errno.ENAMETOOLONG, errno.EISDIR, errno.ELOOP, errno.EINVAL)
"""What the operating system says of a place where nothing can be written, however much space is free."""
LEFTOVER = re.compile(r"\..+\.\d+")
"""Names that `_beside` and `remove_folder` give."""


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
        if getattr(error, "errno", None) in OF_THE_PLACE or _nowhere(error, folder):
            raise RecipeError(
                f"cannot write to {getattr(error, 'filename', None) or folder}: {reason}; set runtime.out elsewhere."
            ) from None
        raise MachineFailed(
            f"writing to {folder} failed: {reason}; free some space or set runtime.out elsewhere, then start the same "
            "command again: it resumes from the last checkpoint."
        ) from None


def _nowhere(error: Exception, folder: Path) -> bool:
    """Whether a folder cannot be made where it should be, as below /proc."""
    return isinstance(error, FileNotFoundError) and not folder.exists()


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        beside.touch()
        mode = beside.stat().st_mode
        write(beside)
        beside.chmod(mode)  # as the umask says, whatever wrote it: safetensors makes files that only their owner reads
        _sync(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """The mapping in a JSON file; None where there is no such file, or it is damaged."""
    try:
        return mapping_in(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None


def mapping_in(text: str) -> dict[str, Any] | None:
    """The mapping that a text in JSON is; None where it is none, or no JSON."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):  # what is nested too deep
        return None
    return values if isinstance(values, dict) else None


def write_json(path: Path, value: Any) -> None:
    replace_file(path, lambda p: p.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n"))


def replace_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` fill a folder beside `path`, sync it, then move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        fill(beside)
        for file in beside.iterdir():
            file.chmod(beside.stat().st_mode & 0o666)
            _sync(file)
        remove_folder(path)
        os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it is there, so that it never stands half removed under its name."""
    if path.exists():
        away = path.with_name(f".{path.name}.old.{os.getpid()}")
        os.replace(path, away)
        shutil.rmtree(away)


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left of `replace_file` and the like; for whoever has locked the folder."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if LEFTOVER.fullmatch(entry.name):
            _remove(entry)


@contextmanager
def locked(folder: Path, tell: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold a folder for one process; another waits. The lock ends with the process, however it ends.

    Args: tell: hears whom this process waits for, and when it goes on.
    """
    tell = tell or (lambda sentence: None)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            tell(f"Waiting for {file.read().strip() or 'another command'}, which works in {folder}.")
            fcntl.flock(file, fcntl.LOCK_EX)
            tell(f"{folder} is free now; going on.")
        try:
            file.truncate(0)
            file.write(_this_command())
            file.flush()
            yield
        finally:
            file.truncate(0)


def _this_command() -> str:
    """This process in words that mean something to whoever waits for it."""
    return f"process {os.getpid()} on {platform.node()} (`{command()}`, since {time.strftime('%Y-%m-%d %H:%M')})"


def _beside(path: Path) -> Path:
    """A name of this process's own beside `path`; what processes of this machine left under such names and ended is removed."""
    start = f".{path.name}.{_machine()}."
    for entry in path.parent.glob(f"{glob.escape(start)}*"):
        process = entry.name.removeprefix(start)
        if process.isdigit() and not _lives(int(process)):
            _remove(entry)
    return path.with_name(f"{start}{os.getpid()}")


def _machine() -> str:
    """Short for this machine's name: a folder may be that of several machines, whose processes have equal numbers."""
    return digests.of_text(platform.node())[:6]


def _lives(process: int) -> bool:
    """Whether a process of this number is running here."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _remove(entry: Path) -> None:
    shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
