"""From exceptions to sentences and exit codes: a user never sees a traceback for a mistake of their own."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from typing import TextIO

from kdzoo import signals
from kdzoo.errors import Interrupted, KdzooError, MissingError, RecipeError
from kdzoo.terminal.console import complain, say, warn

FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO})
"""What it says of a disk that takes no more."""
OF_THE_USER = frozenset(
    {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EROFS, errno.ELOOP, errno.EINVAL}
)
"""What the operating system says of a path that somebody gave."""


def guarded(action: Callable[[], int], *, debug: bool = False) -> int:
    """The exit code of `action`, whatever happens in it; Python's warnings become one-line ones on the way.

    Args:
        debug: show the traceback of any error.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _one_line
        try:
            return action()
        except SystemExit as end:  # argparse, after --help
            return end.code if isinstance(end.code, int) else 0
        except BrokenPipeError:  # `kdzoo list | head`: the reader has seen enough
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            return 0
        except BaseException as error:
            if debug:
                say(traceback.format_exc().rstrip())
            # What an import that was cut short says of itself is not about the user's command.
            cut = signals.interrupted() and not isinstance(error, Interrupted)
            return _told(KeyboardInterrupt() if cut else error)


def _told(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt | Interrupted):
        say(str(error) or "interrupted.")
        return Interrupted.exit_code
    if isinstance(error, KdzooError):
        complain(str(error))
        return error.exit_code
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("kdzoo"):
        complain(f"The Python module {error.name!r} is not installed. Run: {_installing()}, which brings what kdzoo requires.")
        return MissingError.exit_code
    if isinstance(error, OSError) and error.errno == errno.EBADF:
        complain("standard output is closed, so the result cannot be shown; do not close it, or redirect it to /dev/null.")
        return 1
    if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
        complain(f"writing the result failed: {error.strerror}; free some space, or redirect standard output elsewhere.")
        return 1
    if isinstance(error, OSError) and error.errno in OF_THE_USER and error.filename is not None:
        complain(f"{error.filename} cannot be used: {error.strerror}; give another path.")
        return RecipeError.exit_code
    complain(unexpected(error))
    return 1


def _installing() -> str:
    from kdzoo.extras import checkout

    top = checkout()
    return f"pip install -e '{top}'" if top else "pip install kdzoo, from its repository as there is no release yet"


def unexpected(error: BaseException) -> str:
    """The sentence for an error that nobody foresaw, whose traceback is kept; called where it was caught."""
    return f"{' '.join(f'{type(error).__name__}: {error}'.split()).rstrip('.')}. This should not happen; {_kept()}."


def _kept() -> str:
    """Where the traceback of the current exception is, after writing it."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="kdzoo-error-", suffix=".txt", delete=False) as file:
            file.write(traceback.format_exc())
    except OSError:
        return "its traceback could not be saved: start the command again with --debug"
    return f"its traceback is in {file.name}: please report it, or start the command again with --debug"


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    warn(str(message) if issubclass(category, UserWarning) else f"{category.__name__}: {message}")
