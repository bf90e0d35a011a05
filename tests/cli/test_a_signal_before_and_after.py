"""SIGTERM and SIGINT while a command starts: 130 and a sentence; while the interpreter shuts down: the end, in silence.

A light process forks a child for each moment of the start; the child signals itself at its n-th import.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, signal, sys

def status(number, name, arguments, errors):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    seen = 0
    def hook(event, _):
        nonlocal seen
        if event == "import":
            seen += 1
            if seen == number:
                os.kill(os.getpid(), getattr(signal, name))
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from kdzoo.cli import main
    sys.addaudithook(hook)
    code = main(arguments)
    os._exit(code if seen >= number else 99)

moments, arguments, errors = json.loads(sys.argv[1])
for number, name in moments:
    found = status(number, name, arguments, errors)
    print(json.dumps([number, name, os.waitstatus_to_exitcode(found), open(errors).read()]))
"""
SENTENCE = r"interrupted(\.|; a checkpoint is written, and the same command goes on from it\.)\n"
EARLY = [(1, "SIGTERM"), (40, "SIGINT"), (200, "SIGTERM")]
THROUGHOUT = [(number, name) for number in range(150, 2400, 300) for name in ("SIGINT", "SIGTERM")]


def outcomes(moments: list[tuple[int, str]], tmp_path: Path) -> list[tuple[int, str, int, str]]:
    arguments = ["run", "digits/kd", f"runtime.out={tmp_path}", "train.epochs=1", "--quiet"]
    given = json.dumps([moments, arguments, str(tmp_path / "errors.txt")])
    found = subprocess.run([sys.executable, "-c", SCRIPT, given], capture_output=True, text=True, check=True)
    return [tuple(json.loads(line)) for line in found.stdout.splitlines()]


def check(moments: list[tuple[int, str]], tmp_path: Path) -> None:
    found = outcomes(moments, tmp_path)
    assert len(found) == len(moments)
    wrong = [each for each in found if each[2] != 130 or not re.fullmatch(SENTENCE, each[3])]
    assert not wrong


def test_a_signal_in_the_first_moments(tmp_path: Path) -> None:
    check(EARLY, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_signal_anywhere_in_the_start(tmp_path: Path) -> None:
    check(THROUGHOUT, tmp_path)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("words", [["list", "methods"], ["run", "no-such-recipe"]])
def test_a_signal_after_the_command_shows_nothing(words: list[str], name: str, tmp_path: Path) -> None:
    late = f"import atexit, os, signal; signal.signal(signal.{name}, signal.SIG_DFL); "  # tests may run with it off
    late += f"atexit.register(os.kill, os.getpid(), signal.{name})"
    program = f"{late}; import runpy, sys; sys.argv[1:] = {words!r}; runpy.run_module('kdzoo', run_name='__main__')"
    by_itself = subprocess.run([sys.executable, "-m", "kdzoo", *words], cwd=tmp_path, capture_output=True, text=True)
    found = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == -getattr(signal, name)
    assert (found.stdout, found.stderr) == (by_itself.stdout, by_itself.stderr)


def test_a_signal_that_the_parent_switched_off_stays_so(tmp_path: Path) -> None:
    late = "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT)"
    program = f"{late}; import runpy, sys; sys.argv[1:] = ['list', 'methods']; runpy.run_module('kdzoo', run_name='__main__')"
    line = f"trap '' INT TERM; {sys.executable} -c \"{program}\""
    assert subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True).returncode == 0
