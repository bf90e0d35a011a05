"""Worker processes: they are slow to start, so everything about them is asked of one bench."""

import json
import textwrap

import pytest

from kdzoo.benchmark import CellDone, CellFailed, CellStarted, bench

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


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "pool_plugin.py"
    path.write_text(textwrap.dedent(PLUGIN))
    return path


def numbers(board):
    cells = json.loads((board.folder / "results.json").read_text())["cells"]
    return {(cell["row"], cell["seed"]): cell["test"] for cell in cells}


def test_two_processes_give_the_same_numbers_as_none_with_plugin_files_and_failures(tiny, plugin, tmp_path):
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
