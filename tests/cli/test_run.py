import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.engine.launch import launch
from kdzoo.recipe.load import load


class Killed(Exception):
    """Raised in the middle of a run, as a kill would end it."""


def kill_at(event: Any, epoch: Any) -> Callable[..., Any]:
    def listener(record: Any) -> None:
        if record["event"] == event and record.get("epoch") == epoch:
            raise Killed

    return listener


def epochs(err: Any) -> list[Any]:
    """The lines of progress, by what they start with; what is said of data and folders left out."""
    return [line for line in err.splitlines() if line.startswith("epoch ")]


def values(out: Any) -> Any:
    return dict(line.split("\t") for line in out.splitlines())


def test_a_run_prints_its_metrics_and_its_folder(kdzoo: Callable[..., Any], tiny: Any) -> None:
    code, out, _ = kdzoo("run", tiny)
    shown = values(out)
    result = json.loads((Path(shown["run folder"]) / "result.json").read_text())
    assert code == 0
    assert shown["test top1, last epoch"] == f"{result['test']['last']['top1']:.4g}"
    assert shown["test top1, best epoch on validation, 2"] == f"{result['test']['best']['top1']:.4g}"


def test_off_a_terminal_progress_is_a_line_per_epoch_on_standard_error(kdzoo: Callable[..., Any], tiny: Any) -> None:
    lines = epochs(kdzoo("run", tiny, "train.epochs=3")[2])
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("loss " in line and "top1 " in line and line.endswith(" images/s") for line in lines)


def test_epochs_without_validation_have_their_line(kdzoo: Callable[..., Any], tiny: Any) -> None:
    lines = epochs(kdzoo("run", tiny, "train.epochs=4", "train.evaluate_every=2", "runtime.log_every=5")[2])
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/4", "epoch 2/4", "epoch 3/4", "epoch 4/4"]
    assert ["top1" in line for line in lines] == [False, True, False, True]


def test_on_a_terminal_progress_is_a_bar_with_remaining_time_and_speed(tiny: Any) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    env.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "kdzoo.cli", "run", tiny], stderr=theirs, stdout=subprocess.PIPE, stdin=theirs, env=env
    )
    os.close(theirs)
    shown = b""
    while piece := _read(ours):
        shown += piece
    out, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 0
    assert b"34/34" in shown
    assert b"0:00:00" in shown
    assert b"images/s" in shown
    assert b"\x1b" not in out


def _read(descriptor: Any) -> Any:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is closed
        return b""


def test_quiet_shows_nothing_but_the_result(kdzoo: Callable[..., Any], tiny: Any) -> None:
    code, out, err = kdzoo("run", tiny, "--quiet")
    assert (code, err) == (0, "")
    assert "run folder" in values(out)


def test_json_is_the_result_with_its_folder(kdzoo: Callable[..., Any], tiny: Any) -> None:
    result = json.loads(kdzoo("run", tiny, "--json", "--quiet")[1])
    assert json.loads((Path(result.pop("folder")) / "result.json").read_text()) == result


def test_overrides_may_stand_anywhere_after_the_recipe(kdzoo: Callable[..., Any], tiny: Any) -> None:
    result = json.loads(kdzoo("run", "--json", tiny, "train.epochs=1", "--quiet", "seed=3", "--force", "name=other")[1])
    assert (result["seed"], result["name"], result["validation"]["best_epoch"]) == (3, "other", 1)


def test_a_finished_run_is_not_repeated_unless_forced(kdzoo: Callable[..., Any], tiny: Any) -> None:
    first = kdzoo("run", tiny)
    folder = Path(values(first[1])["run folder"])
    written = (folder / "result.json").stat().st_mtime_ns
    code, out, err = kdzoo("run", tiny)
    assert (code, out) == first[:2]
    assert err == f"This run is finished already: {folder}. Train it again by --force.\n"
    assert (folder / "result.json").stat().st_mtime_ns == written
    forced = kdzoo("run", tiny, "--force")
    assert epochs(forced[2])[0].startswith("epoch 1/2")
    assert (folder / "result.json").stat().st_mtime_ns > written


def test_an_interrupted_run_goes_on_and_says_so(kdzoo: Callable[..., Any], tiny: Any) -> None:
    with pytest.raises(Killed):
        launch(load(tiny), listeners=[kill_at("step", 1)])
    code, _, err = kdzoo("run", tiny)
    assert code == 0
    assert err.splitlines()[0].startswith("Going on from the last checkpoint in runs/tiny/")
    assert [line.split("  ")[0] for line in epochs(err)] == ["epoch 2/2"]


def test_a_method_in_a_file_can_be_run(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from kdzoo import Method, Step, term\n\n\n"
        "class Quiet(Method):\n"
        "    @term()\n"
        "    def quiet(self, step: Step):\n"
        "        return step.student.rows.logits.square().mean()\n"
    )
    code, out, _ = kdzoo("run", tiny, "methods.quiet.weights.quiet=0.1", "--plugin", "mine.py", "--json")
    folder = Path(json.loads(out)["folder"])
    losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert code == 0
    assert "quiet.quiet" in next(line for line in losses if line["event"] == "step")["terms"]


def test_under_torchrun_only_the_first_process_prints(
    kdzoo: Callable[..., Any], tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kdzoo("run", tiny)
    monkeypatch.setenv("RANK", "1")
    assert kdzoo("run", tiny) == (0, "", "")


def test_a_teacher_that_is_a_recipe_is_trained_first_and_seen(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("extends: tiny.yaml\nteacher: {use: frozen, recipe: tiny.yaml}\nmethods: {kd: {}}\n")
    err = kdzoo("run", "own.yaml")[2]
    assert err.startswith("First the teacher tiny: runs/teachers/tiny-")
    assert [line.split("  ")[0] for line in epochs(err)] == ["epoch 1/2", "epoch 2/2"] * 2
    assert err.count("Images are normalized by") == 1, "what both runs say is said once"
    again = kdzoo("run", "own.yaml", "--force")[2]
    assert [line.split("  ")[0] for line in epochs(again)] == ["epoch 1/2", "epoch 2/2"]
