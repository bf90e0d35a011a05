"""This process's command, as one would type it again."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def command() -> str:
    """The program and its arguments, quoted for a shell; of a program in a terminal's search path its name alone."""
    program = Path(sys.argv[0] or "python")
    if program.name == "__main__.py":
        words = ["python", "-m", program.parent.name]
    else:
        words = ["python", str(program)] if program.suffix == ".py" else [program.name]
    return shlex.join([*words, *sys.argv[1:]])
