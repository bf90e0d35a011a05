"""A run in its folder, and the small modules that it is made of, each by itself."""

from __future__ import annotations

import fcntl
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kdzoo.engine import memory
from kdzoo.engine.again import AGAIN, is_run_folder, place_of, recipe_of
from kdzoo.engine.assemble import assemble
from kdzoo.engine.checkpoint_timing import CheckpointTimer
from kdzoo.engine.cost_watch import CostWatch
from kdzoo.engine.denominators import counts_of, counts_over, denominator, shares
from kdzoo.engine.leftovers import leftovers
from kdzoo.engine.method_view import view
from kdzoo.engine.names_check import check_names, check_run_name
from kdzoo.engine.observers import Observer
from kdzoo.engine.run_identity import identify
from kdzoo.engine.shared_feed import SharedFeed
from kdzoo.engine.stopwatch import Stopwatch
from kdzoo.engine.trainee import Place, Trainee, finished
from kdzoo.errors import Interrupted, PluginError, RecipeError
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Output, Progress, Rows, Step
from kdzoo.signals import Stop
from kdzoo.testing.tiny import first_window, tiny_recipe, tiny_run


def trainee(folder: Path) -> Trainee:
    recipe = tiny_recipe("hard_label", out=folder)
    return Trainee(recipe, identify(recipe.settings), folder / "run", assembled=lambda: assemble(recipe.settings))


# -- trainee, again, leftovers ---------------------------------------------------------------------------------------------


def test_a_trainee_yields_its_place_after_each_window_and_is_finished_in_the_end(tmp_path: Path) -> None:
    own = trainee(tmp_path)
    places = [place for _, place in own.steps()]
    assert places == sorted(places)
    assert {place.epoch for place in places} >= {0, 1}
    assert isinstance(places[0], Place)
    found = finished(own.folder, own.identity)
    assert found is not None
    assert finished(own.folder, "another identity") is None


def test_a_trainee_that_was_left_alone_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = trainee(tmp_path / "whole")
    for _ in whole.steps():
        pass
    steps = trainee(tmp_path / "parts").steps()
    while next(steps)[1].epoch == 0:
        pass
    steps.close()
    again = trainee(tmp_path / "parts")
    first = next(places := again.steps())[1]
    assert first.epoch == 1
    for _ in places:
        pass
    results = [finished(each.folder, each.identity) for each in (whole, again)]
    assert results[0] is not None
    assert results[1] is not None
    assert results[0].values["test"] == results[1].values["test"]


def test_a_run_folder_stands_in_the_place_of_a_recipe_and_repeats_beside_itself(tmp_path: Path) -> None:
    own = trainee(tmp_path)
    assert not is_run_folder(own.folder)
    steps = own.steps()
    next(steps)
    steps.close()
    assert is_run_folder(own.folder)
    assert recipe_of(own.folder) == own.folder / "recipe.yaml"
    assert place_of(own.folder, own.recipe, force=False) == own.folder, "something is left to do"
    for _ in trainee(tmp_path).steps():
        pass
    assert place_of(own.folder, own.recipe, force=False) == own.folder / AGAIN
    assert place_of(own.folder, own.recipe, force=True) == own.folder


def test_what_is_left_over_goes_but_not_while_a_command_holds_its_folder(tmp_path: Path) -> None:
    own = trainee(tmp_path)
    for _ in own.steps():
        pass
    temporary = own.folder / ".result.json.99"
    temporary.write_text("{")
    with (own.folder / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert leftovers(tmp_path) == []
    found = leftovers(tmp_path)
    assert {each.path for each in found} == {own.folder / "checkpoints", temporary}
    assert [each.path for each in leftovers(tmp_path, ["temporary"])] == [temporary]
    assert all(each.remove() for each in found)
    assert finished(own.folder, own.identity) is not None
    assert not temporary.exists()


# -- observers -------------------------------------------------------------------------------------------------------------


class Kept:
    """Stands for the checkpoints of a run."""

    def __init__(self) -> None:
        self.saved = 0

    def save(self, *_: object) -> None:
        self.saved += 1

    def restore_stage(self, run: object) -> None:
        pass


@pytest.mark.parametrize(("every", "after"), [(2, [0, 1, 1, 2]), (None, [0, 0, 0, 0])])
def test_checkpoints_are_written_every_so_many_windows(every: int | None, after: list[int]) -> None:
    kept, position = Kept(), None
    with tiny_run(tiny_recipe("kd")) as run:
        timer = CheckpointTimer(kept, Observer(), every, Stop())  # type: ignore[arg-type]
        found = []
        for _ in after:
            timer.window_done(run, position)  # type: ignore[arg-type]
            found.append(kept.saved)
        assert found == after
        timer.epoch_done(run, position)  # type: ignore[arg-type]
        assert kept.saved == after[-1] + (every is None)


def test_a_signal_brings_a_checkpoint_and_ends_the_run() -> None:
    kept, stop = Kept(), Stop()
    with tiny_run(tiny_recipe("kd")) as run:
        timer = CheckpointTimer(kept, Observer(), None, stop)  # type: ignore[arg-type]
        stop.signal = 15
        with pytest.raises(Interrupted, match="a checkpoint is written"):
            timer.window_done(run, None)  # type: ignore[arg-type]
    assert kept.saved == 1


def test_training_time_leaves_out_what_is_between_epochs_and_survives_a_restart() -> None:
    now = [0.0]
    with tiny_run(tiny_recipe("kd")) as run:
        watch = CostWatch(run, clock=lambda: now[0])
        for event, seconds in (("stage_started", 0), ("window_done", 3), ("epoch_done", 1), ("evaluated", 10)):
            now[0] += seconds
            if event != "evaluated":
                getattr(watch, event)(run, None)
        assert (watch.seconds, watch.training) == (14.0, 4.0)
        again = CostWatch(run, clock=lambda: now[0])
        again.restore(json.loads(json.dumps(watch.state())))
        now[0] += 1
        assert (again.seconds, again.training) == (15.0, 4.0)
        assert again.figures()["training_seconds"] == 4.0


def test_a_stopwatch_counts_own_turns_and_an_equal_part_of_the_common_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with tiny_run(tiny_recipe("kd")) as run:
        run.source.runs = 2
        watch = Stopwatch(run.source)
        now[0] += 1  # its own
        with watch.paused():
            now[0] += 5  # another's
        with run.source.common():
            now[0] += 4  # for both
        assert watch.seconds() == 1 + 4 / 2


# -- the feed and the step -------------------------------------------------------------------------------------------------


def test_runs_at_one_place_get_the_same_batches_and_one_elsewhere_its_own() -> None:
    with tiny_run(tiny_recipe("kd")) as run:
        feed = SharedFeed(run)
        first = next(feed.windows(0, start=0, size=1))
        assert next(feed.windows(0, start=0, size=1)) is first
        second = next(feed.windows(0, start=1, size=1))
        assert not torch.equal(second[0].inputs, first[0].inputs)
        assert torch.equal(next(feed.windows(0, start=0, size=1))[0].inputs, first[0].inputs)


def test_micro_batches_are_cut_once_and_numbered() -> None:
    with tiny_run(tiny_recipe("kd", recipe={"train": {"epochs": 1, "batch_size": 12, "accumulate": 3}})) as run:
        (batch,) = first_window(run)
        parts = run.source.micros(replace(batch, micros=()))
        assert [part.part for part in parts] == [0, 1, 2]
        assert sum(part.size for part in parts) == batch.size
        assert torch.equal(torch.cat([part.inputs for part in parts]), batch.inputs)


def test_shares_of_an_optimizer_step_sum_to_one_over_its_parts() -> None:
    with tiny_run(tiny_recipe("kd", recipe={"train": {"epochs": 1, "batch_size": 12, "accumulate": 3}})) as run:
        (batch,) = first_window(run)
        parts = run.source.micros(replace(batch, micros=()))
        whole = counts_over(run.task, parts, run.processes)
        needs = {label: Needs() for label in run.methods}
        found = [shares(run.methods, needs, counts_of(run.task, part), whole, 1) for part in parts]
        assert sum(own["kd"]["kd"] for own in found) == pytest.approx(1.0)
        joined = shares(run.methods, {label: Needs(whole_batch=True) for label in run.methods}, whole, whole, 4)
        assert joined["kd"]["kd"] == 0.25
        with pytest.raises(PluginError, match=r"methods\.kd has a term over 'smaples'.*'samples'"):
            denominator(run.methods["kd"], "smaples", whole)


def test_a_method_sees_what_it_declared_and_nothing_else() -> None:
    with tiny_run(tiny_recipe("kd")) as run:
        rows = Rows(torch.zeros(2, 10))
        output = Output(rows, {"shown": torch.ones(2), "hidden": torch.ones(2)}, {})
        (batch,) = first_window(run)
        batch = replace(batch, index=torch.arange(batch.size))
        step = Step(
            batch=batch,
            student=output,
            teachers={"teacher": output},
            peers={"other": output},
            learner="student",
            progress=Progress(0, 1, 0, 1),
            stage="main",
            streams=run.source.streams,
            supervise=lambda output: output.rows.logits.sum(),
        )
        seen = view(step, run.methods["kd"], Needs(teacher=True), {("kd", "student"): {"mine": "shown"}})
        assert (set(seen.student.features), set(seen.teachers), seen.peers, seen.batch.index) == (
            {"mine"},
            {"teacher"},
            {},
            None,
        )
        blind = view(step, run.methods["kd"], Needs(index=True, learners=2), {})
        assert (blind.teachers, set(blind.peers)) == ({}, {"other"})
        assert blind.batch.index is not None


# -- names and memory ------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an optimizer of nobody": (
        {"optimizers": {"studnet": {}}},
        r"optimizers\.studnet: there is no learner or teacher 'studnet'",
    ),
    "a schedule of no method": ({"schedules": {"methods.dk.temperature": {}}}, r"there is no methods\.dk; did you mean 'kd'"),
    "a schedule of no term": ({"schedules": {"methods.kd.weights.soft": {}}}, r"there is no term 'soft'"),
    "a learner called student": ({"learners": {"student": {}}}, r"learners\.student would replace the student"),
    "a name that leaves its folder": ({"name": "../up"}, r"name is '\.\./up', but runs are kept in a folder of that name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_name_that_means_nothing_is_refused(case: str) -> None:
    changes, sentence = WRONG[case]
    with tiny_run(tiny_recipe("kd")) as run:
        settings = {**run.settings, **changes}
        with pytest.raises(RecipeError, match=sentence):
            check_names(settings, run.methods, run.teachers, learners=1)


def test_names_of_folders_are_letters_that_any_file_system_has() -> None:
    check_run_name("a/b-1_2", "name")
    for name in ("/etc", "~x", "a\\b", "a\nb", "x" * 201):
        with pytest.raises(RecipeError, match="letters, digits"):
            check_run_name(name, "name")


def test_free_memory_is_the_least_of_machine_and_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    monkeypatch.setattr(memory, "_of_the_machine", lambda: 900)
    for name, text in (("memory.max", "1000"), ("memory.current", "700"), ("memory.stat", "anon 1\ninactive_file 50\n")):
        (tmp_path / name).write_text(text)
    assert memory.free(torch.device("cpu")) == 350
    (tmp_path / "memory.max").write_text("max")
    assert memory.free(torch.device("cpu")) == 900


def test_a_run_keeps_four_numbers_for_each_that_is_trained_and_its_buffers() -> None:
    with tiny_run(tiny_recipe("kd")) as run:
        trained = sum(p.numel() for p in run.student.parameters())
        buffers = sum(b.numel() * b.element_size() for b in run.student.buffers())
        assert memory.kept(run) == 4 * 4 * trained + buffers
