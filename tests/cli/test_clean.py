"""What `kdzoo clean` would remove, and what it leaves."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OWN = "extends: tiny.yaml\nteacher: {use: frozen, recipe: tiny.yaml}\nmethods: {kd: {}}\ntrain: {epochs: 1}\n"


def values(out: Any) -> Any:
    return dict(line.split("\t") for line in out.splitlines())


@pytest.fixture
def runs(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> Path:
    """A finished run with its teacher, and what a killed process left; the run's folder."""
    (tmp_path / "own.yaml").write_text(OWN)
    folder = Path(values(kdzoo("run", "own.yaml", "--quiet")[1])["run folder"])
    (folder / ".student.safetensors.4711").write_text("half")
    return folder


def shown(kdzoo: Any, *words: Any) -> set[tuple[Any, Any]]:
    return {(row["kind"], row["path"]) for row in json.loads(kdzoo("clean", "--json", *words)[1])}


def test_nothing_is_removed_unless_said(kdzoo: Callable[..., Any], runs: Path) -> None:
    before = sorted(Path("runs").rglob("*"))
    found = shown(kdzoo)
    assert {kind for kind, _ in found} == {"checkpoints", "temporary"}
    assert sorted(Path("runs").rglob("*")) == before
    assert "with --yes does it" in kdzoo("clean")[2]


def test_yes_removes_what_was_shown_and_results_stay(kdzoo: Callable[..., Any], runs: Path) -> None:
    found = shown(kdzoo)
    assert kdzoo("clean", "--yes")[0] == 0
    assert not any(Path(path).exists() for _, path in found)
    assert (runs / "result.json").is_file()
    assert (runs / "student.safetensors").is_file()
    assert kdzoo("clean")[2] == "Nothing in runs can go.\n"
    assert kdzoo("eval", runs)[2] == "exactly what the run said.\n"


def test_a_teacher_goes_once_no_run_uses_it(kdzoo: Callable[..., Any], runs: Path) -> None:
    (teacher,) = Path("runs/teachers").iterdir()
    assert "teachers" not in {kind for kind, _ in shown(kdzoo)}
    for file in sorted(runs.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert ("teachers", str(teacher)) in shown(kdzoo)
    assert shown(kdzoo, "runs/teachers", "--only", "teachers") == set(), "who uses them is not below that folder"


def test_a_teachers_own_teacher_stays_with_it(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "middle.yaml").write_text(OWN)
    (tmp_path / "last.yaml").write_text(OWN.replace("recipe: tiny.yaml", "recipe: middle.yaml"))
    assert kdzoo("run", "last.yaml", "--quiet")[0] == 0
    assert len(list(Path("runs/teachers").iterdir())) == 2
    assert "teachers" not in {kind for kind, _ in shown(kdzoo)}


def test_a_run_of_ones_own_that_is_called_teachers_stays(kdzoo: Callable[..., Any], tiny: Any) -> None:
    assert kdzoo("run", "tiny.yaml", "--quiet", "name=teachers")[0] == 0
    assert len(list(Path("runs/teachers").iterdir())) == 1
    assert "teachers" not in {kind for kind, _ in shown(kdzoo)}


def test_a_teacher_whose_file_a_run_reads_stays(kdzoo: Callable[..., Any], runs: Path, tmp_path: Path) -> None:
    (teacher,) = Path("runs/teachers").iterdir()
    frozen = f"{{use: frozen, model: {{use: mlp, hidden: [16]}}, checkpoint: {tmp_path / teacher / 'student.safetensors'}}}"
    (tmp_path / "by_file.yaml").write_text(OWN.replace("{use: frozen, recipe: tiny.yaml}", frozen))
    assert kdzoo("run", "by_file.yaml", "--quiet")[0] == 0
    for file in sorted(runs.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert "teachers" not in {kind for kind, _ in shown(kdzoo)}


def test_an_unfinished_runs_checkpoints_stay(kdzoo: Callable[..., Any], runs: Path) -> None:
    (runs / "result.json").unlink()
    assert ("checkpoints", str(runs / "checkpoints")) not in shown(kdzoo)


def test_what_a_command_works_on_stays(kdzoo: Callable[..., Any], runs: Path) -> None:
    with (runs / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not any(path.startswith(str(runs)) for _, path in shown(kdzoo))


def test_only_one_kind(kdzoo: Callable[..., Any], runs: Path) -> None:
    assert {kind for kind, _ in shown(kdzoo, "--only", "temporary")} == {"temporary"}


def test_no_folder_is_a_sentence(kdzoo: Callable[..., Any]) -> None:
    code, _, err = kdzoo("clean", "nowhere")
    assert code == 2
    assert "There is no folder nowhere" in err
