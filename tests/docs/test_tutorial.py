"""docs/tutorial.md, carried out to the letter: its files are written, and its commands run one after the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_documents import blocks

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
ABSENT = 'raise ImportError("kdzoo is not here")\n'


def commands() -> list[Any]:
    """The lines of the shell blocks, in order."""
    return [line for block in blocks(PAGE, "sh") for line in block.text.replace("\\\n", "").splitlines() if line]


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    """The folder after all of it, and what each command printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    for block in blocks(PAGE, "python", "yaml"):
        if block.file:
            (folder / block.file).write_text(block.text)
    # Whatever uses the export finds a kdzoo that cannot be imported.
    (folder / "without" / "kdzoo").mkdir(parents=True)
    (folder / "without" / "kdzoo" / "__init__.py").write_text(ABSENT)
    said = {}
    for command in commands():
        alone = "exported/example.py" in command
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "without") if alone else "",
        }
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        said[command] = done.stdout
    return folder, said


pytestmark = pytest.mark.slow


def test_a_table_of_three_methods_with_three_seeds(carried_out: tuple[Any, dict[str, Any]]) -> None:
    folder, _ = carried_out
    board = json.loads((folder / "runs" / "compare" / "results.json").read_text())
    rows = {row["label"]: row for row in board["rows"]}
    assert {label: len(row["values"]) for label, row in rows.items() if row["kind"] != "teacher"} == {
        "kd": 3,
        "dkd": 3,
        "dist": 3,
        "student alone": 3,
    }
    assert board["failures"] == {}
    assert min(row["last"]["mean"] for row in rows.values()) > 50  # of ten classes
    text = (folder / "runs" / "compare" / "leaderboard.md").read_text()
    assert all(label in text for label in rows)
    assert (folder / "runs" / "compare" / "report.html").is_file()


def test_the_exported_model_is_used_without_kdzoo(carried_out: tuple[Any, dict[str, Any]]) -> None:
    folder, said = carried_out
    (command,) = [command for command in said if "exported/example.py" in command]
    answers = [
        re.fullmatch(r"(pictures/test/three/\d+\.png): (\w+) \(\d+\.\d %\)", line) for line in said[command].splitlines()
    ]
    assert len(answers) == len(list((folder / "pictures" / "test" / "three").iterdir()))
    assert all(answers)
    assert sum(found[2] == "three" for found in answers) > len(answers) / 2
    card = json.loads((folder / "exported" / "model.json").read_text())
    assert len(card["class_names"]) == 10
    assert {"mean", "std"} <= card["data"].keys()


def test_the_example_has_no_kdzoo_in_it(carried_out: tuple[Any, dict[str, Any]]) -> None:
    text = (carried_out[0] / "exported" / "example.py").read_text()
    assert not re.search(r"^\s*(?:import|from) kdzoo", text, re.MULTILINE)
