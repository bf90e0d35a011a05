import builtins
import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kdzoo
from kdzoo.benchmark import (
    BenchStarted,
    CellDone,
    CellFailed,
    CellProgress,
    CellStarted,
    CohortStarted,
    Said,
    TeacherDone,
    bench,
    write_report,
)
from kdzoo.benchmark.plan.bench_plan import BenchPlan, make_plan
from kdzoo.engine import files
from kdzoo.errors import Interrupted, RecipeError
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import term
from kdzoo.registry import register


class Failing(Method):
    """Fails in the first step while the machine is broken, which changes nothing of its identity."""

    @term()
    def failing(self, step: Any) -> Any:
        if not hasattr(builtins, "broken"):
            return step.supervise(step.student)
        raise ZeroDivisionError("there is nothing to divide by")


@pytest.fixture
def failing(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    # Not in the environment or a global of this file, which would be part of the cells' identity.
    monkeypatch.setattr(builtins, "broken", True, raising=False)
    register("methods", "failing", Failing)
    tiny["bench"]["methods"]["failing"] = {"teacher": None, "methods": {"hard_label": {}, "failing": {}}}
    tiny["bench"]["seeds"] = [0]
    return tiny


def ran(recipe: Any, *overrides: Any, **arguments: Any) -> tuple[Any, list[Any]]:
    """The leaderboard and all events but progress."""
    events = []
    board = bench(recipe, overrides, workers=1, on_event=events.append, **arguments)
    return board, [event for event in events if not isinstance(event, CellProgress | CellStarted)]


def once(number: Any) -> Callable[..., Any]:
    """Sends a signal when the first cell is done."""
    left = [number]

    def hear(event: Any) -> None:
        if isinstance(event, CellDone) and left:
            os.kill(os.getpid(), left.pop())

    return hear


def of(events: Any, kind: Any) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_every_row_is_trained_with_every_seed_and_the_teacher_once(tiny: Any) -> None:
    board, events = ran(tiny)
    assert events[0] == BenchStarted(board.folder, 6, 0, 1, 0)
    assert [event.name for event in of(events, TeacherDone)] == ["elder"]
    assert sorted((e.row, e.seed) for e in of(events, CellDone)) == sorted(
        (row, seed) for row in ("student alone", "kd", "dist") for seed in (0, 1)
    )
    assert {row.label for row in board.rows} == {"teacher", "student alone", "kd", "dist"}
    assert len(list((board.folder.parent / "teachers").iterdir())) == 1


def test_the_numbers_of_the_board_are_those_of_the_saved_predictions(tiny: Any) -> None:
    board, _ = ran(tiny)
    for row in (row for row in board.rows if row.kind != "teacher"):
        for seed, value in row.values.items():
            (own,) = (board.folder / "cells" / row.label.replace(" ", "_")).glob(f"seed{seed}-*")
            with np.load(own / "predictions.npz") as saved:
                assert 100 * (saved["last.logits"].argmax(1) == saved["last.target"]).mean() == pytest.approx(value)


def test_the_folder_holds_what_people_and_machines_read(tiny: Any) -> None:
    board, _ = ran(tiny, methods=["kd"])
    assert {"results.json", "results.csv", "leaderboard.md", "report.html", "samples.npz"} <= set(os.listdir(board.folder))
    assert json.loads((board.folder / "results.json").read_text())["metric"] == "top1"
    page = (board.folder / "report.html").read_text()
    assert page.count('alt="a test image of class') == 12


def test_a_larger_training_set_of_the_teacher_is_said(tiny: Any) -> None:
    board, _ = ran(tiny, methods=["kd"], seeds=[0])
    assert board.notes[0].startswith("The teacher was trained on 1,140 samples, the students on 60: part of what")


def test_what_is_finished_is_not_done_again(tiny: Any) -> None:
    board, _ = ran(tiny)
    stamps = {path: path.stat().st_mtime_ns for path in board.folder.parent.rglob("result.json")}
    again, events = ran(tiny)
    assert len(stamps) == 7
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert events[0].finished == 6
    assert all(event.again for event in of(events, CellDone) + of(events, TeacherDone))
    assert again.rows == board.rows


def test_a_further_seed_is_all_that_is_trained(tiny: Any) -> None:
    ran(tiny)
    _, events = ran(tiny, seeds=[0, 1, 2])
    assert {event.seed for event in of(events, CellDone) if not event.again} == {2}


def test_other_settings_are_trained_anew(tiny: Any) -> None:
    ran(tiny, methods=["kd"], seeds=[0])
    _, events = ran(tiny, "train.epochs=2", methods=["kd"], seeds=[0])
    assert not any(event.again for event in of(events, CellDone))


def test_force_trains_everything_again(tiny: Any) -> None:
    board, _ = ran(tiny, methods=["kd"], seeds=[0])
    stamps = {path: path.stat().st_mtime_ns for path in board.folder.parent.rglob("result.json")}
    ran(tiny, methods=["kd"], seeds=[0], force=True)
    assert all(path.stat().st_mtime_ns > stamp for path, stamp in stamps.items())


def test_a_failing_cell_is_reported_and_the_others_go_on(failing: Any) -> None:
    board, events = ran(failing)
    failed = of(events, CellFailed)
    assert [(event.row, event.seed) for event in failed] == [("failing", 0)]
    assert "ZeroDivisionError: there is nothing to divide by" in failed[0].sentence
    assert board.failures == {"failing, seed 0": failed[0].sentence}
    assert len(of(events, CellDone)) == 3
    (own,) = board.folder.glob("cells/failing/seed0-*")
    assert "raise ZeroDivisionError" in (own / "error.txt").read_text()


def test_a_method_without_a_package_is_marked(failing: Any) -> None:
    board, _ = ran(failing)
    assert next(row for row in board.rows if row.label == "failing").unpackaged == ["failing"]
    assert "failing (failing)" in board.markdown()


def test_a_failed_cell_is_tried_again_when_that_is_asked_for(failing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    board, first = ran(failing)
    monkeypatch.delattr(builtins, "broken")
    again, events = ran(failing)
    assert (events[0].finished, events[0].failed) == (3, 1)
    assert [event.again for event in of(events, CellFailed)] == [True]
    assert of(events, CellFailed)[0].last == of(first, CellFailed)[0].last
    assert again.failures == board.failures
    mended, events = ran(failing, retry=True)
    assert [event.row for event in of(events, CellDone) if not event.again] == ["failing"]
    assert mended.failures == {}


def test_a_failure_shows_the_last_lines_that_it_left(failing: Any) -> None:
    _, events = ran(failing)
    last = of(events, CellFailed)[0].last
    assert last[-1] == "ZeroDivisionError: there is nothing to divide by"
    assert last[-2] == 'raise ZeroDivisionError("there is nothing to divide by")'


def test_other_settings_or_code_of_a_failed_cell_are_tried(failing: Any) -> None:
    ran(failing)
    _, events = ran(failing, "train.epochs=2")
    assert not any(event.again for event in of(events, CellFailed))


def test_a_cell_that_the_machine_failed_is_tried_again_unasked(failing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, step: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Failing, "failing", full)
    ran(failing)
    _, events = ran(failing)
    assert [(event.row, event.again) for event in of(events, CellFailed)] == [("failing", False)]


def test_a_failed_teacher_fails_the_cells_that_need_it(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "broken", True, raising=False)
    register("methods", "failing", Failing)
    tiny["teacher"]["recipe"]["methods"] = {"failing": {}}
    tiny["bench"]["seeds"] = [0]
    board, events = ran(tiny)
    assert {(e.row, e.seed) for e in of(events, CellFailed)} == {("elder", None), ("kd", 0), ("dist", 0)}
    assert "its teacher elder-" in board.failures["kd, seed 0"]
    assert [row.label for row in board.rows if row.last.n] == ["student alone"]


def test_nothing_is_trained_if_one_row_is_wrong(tiny: Any, tmp_path: Path) -> None:
    tiny["bench"]["methods"]["dist"]["methods"]["dits"] = {}
    with pytest.raises(RecipeError, match=r"bench\.methods\.dist: methods\.dits"):
        ran(tiny)
    assert not (tmp_path / "out").exists()


def test_a_signal_stops_the_bench_and_the_same_call_goes_on(tiny: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="the same command goes on from here"):
        bench(tiny, workers=1, on_event=once(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is before
    board, events = ran(tiny)
    assert events[0].finished == 3
    assert all(row.last.n == row.expected for row in board.rows)


def test_the_report_of_an_interrupted_bench_says_what_is_missing(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        bench(tiny, workers=1, on_event=once(signal.SIGTERM))
    assert "**Not finished yet**" in write_report(tmp_path / "out" / "tiny").markdown()


def test_the_report_can_be_written_again_from_the_cells(tiny: Any) -> None:
    board, _ = ran(tiny, methods=["kd"], seeds=[0])
    written = (board.folder / "report.html").read_bytes()
    (board.folder / "report.html").unlink()
    assert write_report(board.folder) == board
    assert (board.folder / "report.html").read_bytes() == written


def test_kdzoo_bench_can_be_called(tiny: Any) -> None:
    assert kdzoo.bench(tiny, methods=["kd"], seeds=[0], workers=1).name == "tiny"


def test_runs_that_see_the_same_train_together_and_the_bench_says_so(tiny: Any, tmp_path: Path) -> None:
    events = []
    board = bench(tiny, workers=1, on_event=events.append)
    assert of(events, CohortStarted) == [CohortStarted(3, 0), CohortStarted(3, 0)]
    apart = []
    other = bench(tiny, workers=1, on_event=apart.append, cohort=1, out=tmp_path / "apart")
    assert of(apart, CohortStarted) == []
    assert [(row.label, row.values) for row in board.rows] == [(row.label, row.values) for row in other.rows]


def test_the_recipe_may_limit_cohorts(tiny: Any) -> None:
    tiny["bench"]["cohort"] = 1
    _, events = ran(tiny, seeds=[0])
    assert of(events, CohortStarted) == []


def test_a_cohort_of_none_is_refused(tiny: Any) -> None:
    with pytest.raises(RecipeError, match="cohort must be at least 1, got 0"):
        bench(tiny, cohort=0)
    tiny["bench"]["cohort"] = 0
    with pytest.raises(RecipeError, match=r"bench\.cohort must be > 0, got 0"):
        bench(tiny)


def test_two_cells_that_are_the_same_run_are_refused(tiny: Any) -> None:
    tiny["bench"]["methods"]["kd again"] = {}
    with pytest.raises(RecipeError, match=r"kd, seed 0 and kd again, seed 0 are the same run: .* Remove one of the rows"):
        bench(tiny)


def stamps(board: Any) -> dict[str, Any]:
    return {path: path.stat().st_mtime_ns for path in board.folder.rglob("result.json")}


def test_a_full_disk_fails_its_cell_alone_and_the_next_bench_tries_it_again(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        if "/kd/" in str(path) and path.name == "weights.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tiny["bench"]["seeds"] = [0]
    with monkeypatch.context() as patch:
        patch.setattr(files, "_sync", full)
        board, events = ran(tiny)
    assert [event.row for event in of(events, CellFailed)] == ["kd"]
    assert "No space left on device; free some space" in board.failures["kd, seed 0"]
    kept = stamps(board)
    assert len(kept) == 2
    again, events = ran(tiny)
    assert again.failures == {}
    assert [event.row for event in of(events, CellDone) if not event.again] == ["kd"]
    assert {path: stamp for path, stamp in stamps(again).items() if path in kept} == kept


def test_no_workers_is_refused(tiny: Any) -> None:
    with pytest.raises(RecipeError, match="workers must be at least 1, got 0"):
        bench(tiny, workers=0)


def test_results_of_other_settings_are_kept_and_said_to_be_there(tiny: Any) -> None:
    tiny["bench"]["seeds"] = [0]
    first, _ = ran(tiny)
    results = {path: path.read_bytes() for path in first.folder.glob("cells/*/*/result.json")}
    assert len(results) == 3
    board, events = ran(tiny, "train.batch_size=20")
    assert len(of(events, CellDone)) == 3, "the cells are other ones"
    assert not any(event.again for event in of(events, CellDone))
    assert {path: path.read_bytes() for path in results} == results
    (sentence,) = [event.sentence for event in of(events, Said) if "other settings" in event.sentence]
    assert sentence.startswith(f"{board.folder / 'cells'} also holds 3 finished runs of other settings, which are kept")
    back, events = ran(tiny)
    assert all(event.again for event in of(events, CellDone))
    assert [row.values for row in back.rows] == [row.values for row in first.rows]


def test_what_all_cells_say_is_said_once(tiny: Any) -> None:
    _, events = ran(tiny)
    sentences = [event.sentence for event in of(events, Said)]
    assert any("normalized" in sentence for sentence in sentences)
    assert len(sentences) == len(set(sentences))


def test_a_comparison_is_declared_beforehand_or_not_at_all(tiny: Any) -> None:
    tiny["bench"] |= {"declared": ["dist"], "seeds": [0]}
    board, _ = ran(tiny)
    tiny["bench"]["declared"] = ["dist", "student alone"]
    again, _ = ran(tiny)
    for found in (board, again):
        rows = {row.label: row.comparison for row in found.rows if row.comparison}
        assert (rows["dist"].declared, rows["student alone"].declared) == (True, False)


def declared(plan: BenchPlan) -> dict[str, bool]:
    """Label -> whether the plan that is written says that all its rows were declared beforehand."""
    plan.save()
    said = json.loads((plan.folder / "plan.json").read_text())
    return {row["label"]: row["identity"] in said["declared"].get(row["label"], ()) for row in said["rows"]}


def test_what_was_seen_cannot_be_declared_by_way_of_another_plan(tiny: Any) -> None:
    """Neither at other seeds, nor while the row is left out, nor with other settings."""
    tiny["bench"]["seeds"] = [0]
    ran(tiny)
    assert declared(make_plan(tiny, ["bench.declared=[dist]", "bench.seeds=[7]"])) == dict.fromkeys(
        ["student alone", "kd", "dist"], False
    )
    make_plan(tiny, ["bench.declared=[dist]"], methods=["kd"]).save()
    assert not declared(make_plan(tiny, ["bench.declared=[dist]", "bench.seeds=[0,7]"]))["dist"]
    assert not declared(make_plan(tiny, ["bench.declared=[dist]", "train.epochs=2"]))["dist"]


def test_what_was_declared_stays_so_while_the_row_is_the_same(tiny: Any) -> None:
    tiny["bench"]["seeds"] = [0]
    honest = ["bench.declared=[dist]"]
    assert declared(make_plan(tiny, honest))["dist"]
    ran(tiny)
    assert declared(make_plan(tiny, []))["dist"]
    assert declared(make_plan(tiny, [*honest, "bench.seeds=[0,1]"]))["dist"]
    assert not declared(make_plan(tiny, [*honest, "train.epochs=2"]))["dist"]
    assert not declared(make_plan(tiny, [*honest, "bench.baseline=student alone"]))["dist"]


def test_a_declared_row_must_exist(tiny: Any) -> None:
    tiny["bench"]["declared"] = ["dits"]
    with pytest.raises(RecipeError, match=r"bench\.declared: there is no row 'dits'; did you mean 'dist'"):
        ran(tiny)


def test_seeds_may_vary_the_teacher_and_the_split(tiny: Any) -> None:
    tiny["teacher"]["seed"] = tiny["task"]["subset_seed"] = "each"
    board, _ = ran(tiny)
    assert len(list((board.folder.parent / "teachers").iterdir())) == 2
    teacher = next(row for row in board.rows if row.kind == "teacher")
    assert (teacher.last.n, teacher.expected) == (2, 2)
    assert any("and task.subset_seed, teachers.teacher.recipe.seed: the intervals" in note for note in board.notes)
    assert all(row.gap is not None for row in board.rows if row.label in ("kd", "dist"))
