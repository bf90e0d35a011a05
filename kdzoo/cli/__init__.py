"""The command line: `kdzoo COMMAND [arguments]`, one file per command.

Data go to standard output, messages to standard error. Exit codes: 0 ok, 1 the run failed, 2 the user's mistake, 3 something
has to be installed or fetched first, 130 interrupted. Nothing here imports torch before a command needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from kdzoo import signals

__all__ = ["main", "program"]


def program() -> int:
    """`main` as the whole of this process: an interrupt shows no traceback, also before and after the command itself."""
    signals.ending_silently()
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command; the exit code. `argv` is without the program's name, by default the process's own."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Read when torch is imported; on a CPU one thread is several times faster than many for models of this size.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        with signals.interrupting():  # before anything that takes its time, so that a start can be interrupted as well
            from kdzoo.cli.dispatch import dispatch
            from kdzoo.cli.exit_codes import guarded

            return guarded(lambda: dispatch(arguments), debug="--debug" in arguments)
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        return 130
