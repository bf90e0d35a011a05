"""Whatever takes its time says so first: no command imports torch before something is on the screen."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdzoo.cli.dispatch import BUILT_IN

ARGUMENTS = {
    "run": ["nowhere"],
    "bench": ["nowhere"],
    "report": ["nowhere"],
    "compare": ["nowhere", "elsewhere"],
    "analyze": ["stability", "nowhere"],
    "list": [],
    "show": ["model", "resnet20"],
    "check": ["digits/kd"],
    "cp": ["digits/kd", "mine.yaml"],
    "eval": ["nowhere"],
    "export": ["nowhere"],
    "new": ["plugin", "kdzoo-mine"],
    "data": [],
    "tune": ["nowhere"],
    "leaderboard": ["nowhere"],
    "cache": ["digits/kd"],
    "clean": ["nowhere"],
    "doctor": [],
}
PROGRAM = """
import sys
import kdzoo.terminal.console as console

console.on_terminal = lambda stream: True


class Watcher:
    '''Ends the process where torch is imported: 0 if something was said before, else 1.'''

    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "torchvision"):
            sys.stderr.flush()
            import os
            os._exit(0 if said else 1)


said = []
for stream in (sys.stdout, sys.stderr):
    stream.write = lambda text, write=stream.write: (said.append(text), write(text))[1]
sys.meta_path.insert(0, Watcher())
from kdzoo.cli import main

main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", BUILT_IN)
def test_something_is_said_before_torch_is_imported(command: Any, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, command, *ARGUMENTS[command]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, "it imported torch, and had said nothing"
    assert done.stdout + done.stderr
