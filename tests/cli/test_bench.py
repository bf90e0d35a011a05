import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark import BenchStarted, CellDone, CellFailed, CellProgress, CellStarted, TeacherDone
from kdzoo.terminal.bench_progress import Bars

BENCH = """\
extends: tiny.yaml
bench:
  seeds: [0, 1]
  methods:
    alone: {}
    low: {methods: {hard_label: {weights: {hard_label: 0.1}}}}
"""


@pytest.fixture
def bench(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> Callable[..., Any]:
    """`bench(...)` runs the small bench in this process."""
    (tmp_path / "small.yaml").write_text(BENCH)
    return lambda *words: kdzoo("bench", "small.yaml", "--workers", "1", *words)


def rows(out: Any) -> dict[str, Any]:
    return {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}


def test_a_bench_prints_its_leaderboard_and_names_its_report(bench: Callable[..., Any], tmp_path: Path) -> None:
    code, out, err = bench()
    assert code == 0
    assert set(rows(out)) == {"alone (baseline)", "low"}
    assert rows(out)["low"][0] == "2"
    assert err.splitlines()[0] == "runs/small: 4 runs, in 1 process"
    assert err.splitlines()[-1] == "report: runs/small/report.html"
    assert (tmp_path / "runs" / "small" / "report.html").is_file()


def test_progress_is_a_line_per_run(bench: Callable[..., Any]) -> None:
    lines = [line.split("  ")[0] for line in bench()[2].splitlines() if line.startswith("[")]
    assert sorted(line.split("] ")[1] for line in lines) == ["alone, seed 0", "alone, seed 1", "low, seed 0", "low, seed 1"]
    assert [line.split("]")[0] for line in lines] == ["[1/4", "[2/4", "[3/4", "[4/4"]


def test_what_is_finished_is_not_done_again(bench: Callable[..., Any]) -> None:
    first = bench()
    code, out, err = bench()
    assert (code, out) == first[:2]
    assert err.splitlines()[0] == "runs/small: 4 runs, 4 of them finished before, in 1 process"
    assert not [line for line in err.splitlines() if line.startswith("[")]


def test_seeds_and_rows_can_be_chosen(bench: Callable[..., Any]) -> None:
    board = json.loads(bench("--seeds", "1", "--methods", "alone", "--json")[1])
    assert {row["label"]: list(row["values"]) for row in board["rows"]} == {"alone": ["0"]}
    board = json.loads(bench("--seeds", "5,7", "--methods", "low", "--json", "train.epochs=1")[1])
    assert {row["label"]: list(row["values"]) for row in board["rows"]} == {"alone": ["5", "7"], "low": ["5", "7"]}


@pytest.mark.parametrize("seeds", ["x", "1.5", "1,a"])
def test_seeds_that_are_none_are_the_users_mistake(bench: Callable[..., Any], seeds: str) -> None:
    code, _, err = bench("--seeds", seeds)
    assert code == 2
    assert err.startswith(f"error: kdzoo bench: argument --seeds: expected how many (3) or which ones (0,1,2), got '{seeds}'.")


def test_a_failed_run_is_1_and_the_others_are_there(bench: Callable[..., Any], tmp_path: Path) -> None:
    huge = "{optimizers: {student: {lr: 1e30, weight_decay: 0}}, methods: {hard_label: {targets: []}}, train: {epochs: 3}}"
    code, out, err = bench(f"bench.methods.broken={huge}", "--seeds", "1")
    assert code == 1
    assert rows(out)["broken"][0] == "0 (1 failed)"
    assert rows(out)["low"][0] == "1"
    assert "failed: a loss is no longer a number" in err


def test_a_recipe_without_bench_is_the_users_mistake(kdzoo: Callable[..., Any], tiny: Any) -> None:
    code, _, err = kdzoo("bench", tiny)
    assert code == 2
    assert "is no bench recipe: it lacks `bench.methods`" in err


def test_a_bench_recipe_is_not_run(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "only.yaml").write_text(BENCH + "methods: null\n")
    code, _, err = kdzoo("run", "only.yaml")
    assert (code, err) == (
        2,
        "error: only.yaml names no method, so there is nothing to train for: `kdzoo bench only.yaml` trains its rows.\n",
    )


def test_a_report_is_written_anew_from_what_is_there(
    bench: Callable[..., Any], kdzoo: Callable[..., Any], tmp_path: Path
) -> None:
    out = bench()[1]
    (tmp_path / "runs" / "small" / "report.html").unlink()
    code, again, err = kdzoo("report", "runs/small")
    assert (code, again) == (0, out)
    assert err.startswith("\nControls that are not among the rows\n- ")
    assert err.endswith("\nreport: runs/small/report.html\n")
    assert (tmp_path / "runs" / "small" / "report.html").is_file()


def test_what_is_no_bench_is_named(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    code, _, err = kdzoo("report", tmp_path)
    assert code == 2
    assert "is not the folder of a bench" in err


def test_on_a_terminal_each_run_has_a_bar_until_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console
    from rich.progress import Progress

    progress = Progress(console=Console(file=sys.stderr))
    bars = Bars(progress)
    shown = lambda: [(task.description, task.completed) for task in progress.tasks]  # noqa: E731
    for event in [BenchStarted("out", 3, 1, 2), CellStarted("teacher", None), CellStarted("kd", 0), CellProgress("kd", 0, 0.5)]:
        bars(event)
    assert shown() == [("all runs", 1), ("teacher", 0), ("kd, seed 0", 0.5)]
    bars(TeacherDone("teacher", "top1", 90.0))
    bars(CellDone("kd", 0, "top1", 80.0))
    assert shown() == [("all runs", 2)]
    bars(CellFailed("kd", 1, "no luck"))
    assert shown() == [("all runs", 3)]
    assert "kd, seed 1  failed: no luck" in capsys.readouterr().err
