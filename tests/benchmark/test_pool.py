"""Worker processes: they are slow to start, so everything about them is asked of one bench."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark import CellDone, CellFailed, CellStarted, bench
from kdzoo.errors import RunFailed

PLUGIN = """
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import term

class Halved(Method):
    '''The labels' loss at half weight.'''

    @term(weight=0.5)
    def halved(self, step):
        return step.supervise(step.student)

class Wrong(Method):
    '''Not even a number.'''

    @term()
    def wrong(self, step):
        raise RuntimeError("this is wrong")
"""


KILLED = """
import os
import signal

from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import term

class Killed(Method):
    '''Its process is killed by the system in the first step, while the environment says so.'''

    @term()
    def killed(self, step):
        if "MEMORY_IS_SHORT" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return step.supervise(step.student)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Any:
    path = tmp_path / "pool_plugin.py"
    path.write_text(textwrap.dedent(PLUGIN))
    return path


def numbers(board: Any) -> dict[tuple[Any, Any], Any]:
    cells = json.loads((board.folder / "results.json").read_text())["cells"]
    return {(cell["row"], cell["seed"]): cell["test"] for cell in cells}


def test_two_processes_give_the_same_numbers_as_none_with_plugin_files_and_failures(
    tiny: Any, plugin: Any, tmp_path: Path
) -> None:
    tiny["bench"]["methods"] |= {
        "halved": {"teacher": None, "methods": {"halved": {}}},
        "wrong": {"teacher": None, "methods": {"wrong": {}}},
    }
    events = []
    board = bench(tiny, workers=2, plugins=[plugin], on_event=events.append)
    alone = bench(tiny, workers=1, plugins=[plugin], out=tmp_path / "other")
    assert numbers(board) == numbers(alone)
    assert sum(isinstance(event, CellDone) for event in events) == 8
    assert sum(isinstance(event, CellStarted) for event in events) == 11
    assert {event.sentence.split(" (")[0] for event in events if isinstance(event, CellFailed)} == {
        "methods.wrong: a term failed with RuntimeError: this is wrong. --debug shows where."
    }
    assert next(row for row in board.rows if row.label == "halved").unpackaged == ["halved"]


def test_a_worker_that_the_system_kills_ends_the_bench_in_a_sentence_and_nothing_finished_is_lost(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "killed_plugin.py"
    plugin.write_text(textwrap.dedent(KILLED))
    bench(tiny, workers=1, seeds=[0])
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    assert len(kept) == 4
    tiny["bench"]["methods"]["killed"] = {"teacher": None, "methods": {"killed": {}}}
    tiny["bench"]["seeds"] = [0, 1]
    monkeypatch.setenv("MEMORY_IS_SHORT", "yes")
    with pytest.raises(RunFailed, match=r"a worker process died, .* start again with fewer workers, or with --cohort 1"):
        bench(tiny, workers=2, cohort=1, plugins=[plugin])
    monkeypatch.delenv("MEMORY_IS_SHORT")
    board = bench(tiny, workers=1, plugins=[plugin])
    assert board.failures == {}
    assert {row.label: row.last.n for row in board.rows if row.kind != "teacher"} == dict.fromkeys(
        ("student alone", "kd", "dist", "killed"), 2
    )
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
