"""What a terminal shows, and what happens when nobody reads any more."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdzoo.terminal import console
from kdzoo.terminal.run_progress import Lines

KDZOO = [sys.executable, "-m", "kdzoo.cli"]
FOLDER = "runs/a/" + "very_long_" * 20 + "name"
COMMAND = "mkdir -p ~/.cache/kdzoo && curl -L -o ~/.cache/kdzoo/data.tar.gz https://example.org/" + "x" * 60


@pytest.mark.parametrize("width", [1, 20, 80, 200])
@pytest.mark.parametrize("cell", [FOLDER, COMMAND, "several words " * 20])
def test_nothing_of_a_table_is_cut(width: int, cell: str) -> None:
    lines = console.drawn(("what", "value"), [("folder", cell), ("b", "c")], width)
    assert "…" not in "".join(lines)
    assert "".join("".join(lines).split()).count("".join(cell.split())) == 1


@pytest.mark.parametrize("cell", [FOLDER, COMMAND])
def test_what_somebody_may_copy_stands_on_one_line(cell: str) -> None:
    assert any(cell in line for line in console.drawn(("what", "value"), [("folder", cell)], 80, whole=True))


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\x07b", "a\rb", "\x00", "\x9b2J", "\x7f"])
def test_a_label_cannot_move_the_cursor(text: str) -> None:
    shown = console.visible(text)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    assert "\\x" in shown


class Gone(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_message_that_nobody_can_read_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (Gone(), None, open(os.devnull, "w")):  # noqa: SIM115
        if stream is not None and not isinstance(stream, Gone):
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        console.say("first")
        console.say("second")
        if sys.stderr is not None and sys.stderr is not stream:
            sys.stderr.close()


def test_the_epochs_are_those_of_the_recipe_whatever_the_step() -> None:
    said: list[str] = []
    lines = Lines(said.append, "images")
    record = {"event": "step", "stage": "main", "epoch": 6, "epochs": 20, "step": 1, "steps": 300, "loss": 1.0}
    lines({**record, "samples_per_second": 5.0})
    lines.flush()
    assert said[0].startswith("epoch 7/20")


@pytest.mark.parametrize("words", [["list", "methods"], ["--help"], ["data"]])
@pytest.mark.parametrize("close", ["| head -1", ">&-", "2>&-", ">&- 2>&-", "2>&1 | head -1", ">/dev/full"])
def test_a_closed_stream_gives_no_traceback(words: list[str], close: str, tmp_path: Path) -> None:
    if words != ["list", "methods"] and "head" not in close:
        pytest.skip("one command is enough for streams that are closed from the start")
    line = f"{sys.executable} -m kdzoo.cli {' '.join(words)} {close}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stdout + done.stderr
    assert "should not happen" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
def test_a_run_whose_reader_goes_is_finished_all_the_same(tiny: Path, tmp_path: Path) -> None:
    line = f"{sys.executable} -m kdzoo.cli run {tiny} train.epochs=30 2>&1 | head -1"
    subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=True)
    assert len(list(tmp_path.rglob("result.json"))) == 1


def started(words: list[str], folder: Path) -> subprocess.Popen[str]:
    """A command that hears signals, whoever runs these tests with signals switched off."""

    def hear() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipe = subprocess.PIPE
    return subprocess.Popen([*KDZOO, *words], cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=hear)


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.3])
def test_a_very_early_interrupt_gives_no_traceback_of_ours(after: float, tmp_path: Path) -> None:
    process = started(["list"], tmp_path)
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert 'kdzoo/cli/__init__.py", line' not in err


@pytest.mark.slow
@pytest.mark.parametrize("after", [3.0, 6.0, 9.0])
def test_two_interrupts_one_after_the_other_end_a_bench(after: float, tmp_path: Path) -> None:
    words = ["bench", "quickstart", "--workers", "2", "--out", str(tmp_path), "--quiet"]
    process = started(words, tmp_path)
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in err
