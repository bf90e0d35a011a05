"""Where the quiz comes from, and how the moved teacher is watched; both survive a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from kdzoo_meta.quiz import draw
from meta_cases import SmoothMLP, meta_gradient, objective, recipe
from safetensors.torch import load_file
from torch import Tensor, nn

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.checkpoint import Checkpoints
from kdzoo.engine.feed import Feed
from kdzoo.engine.launch import DEPLOYED, launch
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.protocol.outputs import Batch
from kdzoo.recipe.load import Recipe
from kdzoo.testing.laws.helpers import Killed, Killer, logged_losses

ADAMW = {"use": "adamw", "lr": 0.01}


def drawn(run: Run, place: Batch, size: int | None = 9, label: str = "metadistil") -> Tensor:
    found = [micro.index for micro, _ in draw(run, label, place, size=size, augment=True)]
    return torch.cat([index for index in found if index is not None])


# -- the quiz --------------------------------------------------------------------------------------------------------


def test_the_quiz_is_disjoint_from_everything_else_stratified_and_seeded() -> None:
    places = assemble(recipe().settings).task.places
    for other in ("train", "validation"):
        assert not torch.isin(places["quiz"], places[other]).any()
    task = assemble(recipe().settings).task
    counts = [torch.bincount(task.set.train.labels[places[part]], minlength=10) for part in ("quiz", "train")]
    share = 0.3 * (counts[0] + counts[1])
    assert (counts[0] - share).abs().max() <= 1
    assert torch.equal(task.places["quiz"], places["quiz"])
    other = assemble({**recipe().settings, "seed": 1}).task.places
    assert not torch.equal(other["quiz"], places["quiz"])


def test_a_draw_depends_on_seed_method_and_place_alone_and_has_no_sample_twice() -> None:
    with objective() as (run, (batch,)):
        first = drawn(run, batch)
        torch.rand(5)
        assert torch.equal(drawn(run, batch), first)
        assert len(first.unique()) == 9
        later = Batch(batch.inputs, batch.size, epoch=0, number=1)
        assert not torch.equal(drawn(run, later), first)
        assert not torch.equal(drawn(run, batch, label="other"), first)
        run.streams.seed = 1
        assert not torch.equal(drawn(run, batch), first)


def test_a_quiz_is_by_default_as_large_as_a_training_batch_and_zero_means_all() -> None:
    with objective() as (run, (batch,)):
        assert len(drawn(run, batch, None)) == 12
        assert torch.equal(drawn(run, batch, 0).sort().values, torch.arange(30))
        pieces = draw(run, "metadistil", batch, size=0, augment=False)
        assert [micro.size for micro, _ in pieces] == [10, 10, 10]
        assert sum(share for _, share in pieces) == pytest.approx(1)


def test_the_quiz_is_augmented_only_if_that_is_wanted() -> None:
    with objective() as (run, (batch,)):
        plain, moved = (draw(run, "metadistil", batch, size=9, augment=augment)[0][0] for augment in (False, True))
        assert torch.equal(plain.target, moved.target)
        assert not torch.equal(plain.inputs, moved.inputs)


def test_the_students_mode_on_the_quiz_matters_to_batchnorm() -> None:
    found = []
    for mode in ("train", "eval"):
        with objective("batchnorm", settings={"quiz_mode": mode}) as (run, batches):
            found.append(meta_gradient(run, batches)["fc.weight"])
    assert not torch.allclose(*found)


# -- monitor ----------------------------------------------------------------------------------------------------------


def logged(folder: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [r for r in records if r["event"] == "notes"]


def taught(out: Path, rate: float, **sections: Any) -> list[dict[str, Any]]:
    """The notes of a run whose teacher has learned the task a little, or not at all."""
    own = {"student": {"use": "sgd", "lr": 0.1}, "teacher": {"use": "sgd", "lr": rate}}
    settings = {"inner_lr": 1.0, **sections.pop("settings", {})}
    made = recipe("mlp", "kl", settings, optimizers=own, runtime={"device": "cpu", "out": str(out)}, **sections)
    return logged(launch(made).folder)


def test_the_teachers_accuracy_and_the_meta_gradients_norm_are_logged_each_epoch(tmp_path: Path) -> None:
    notes = taught(tmp_path, 0.05, settings={"alarm": 0.0}, train={"epochs": 3, "batch_size": 12})
    assert [note["epoch"] for note in notes] == [1, 2, 3]
    assert all(note["metadistil.meta_gradient_norm"] > 0 for note in notes)
    assert all(0 <= note["metadistil.teacher_top1"] <= 100 for note in notes)


def test_a_teacher_that_never_moved_is_not_measured(tmp_path: Path) -> None:
    assert taught(tmp_path, 0.0) == []


def good_teacher(tmp_path: Path) -> dict[str, Any]:
    inner = {
        "task": {"data": "digits", "train_size": 200, "validation": 1000, "crop": 1},
        "student": {"use": "mlp", "hidden": [20]},
        "methods": {"hard_label": {}},
        "train": {"epochs": 8, "batch_size": 20},
        "optimizers": {"student": {"use": "sgd", "lr": 0.1}},
    }
    return {"use": "trainable", "recipe": inner}


def test_a_collapsing_teacher_raises_the_alarm_once(tmp_path: Path) -> None:
    """A rate a thousand times too large: what the released default does to a real teacher."""
    teacher = good_teacher(tmp_path)
    with pytest.warns(
        UserWarning, match=r"teacher 'teacher' collapses, its top1 went from \d\d\.\d to .*; lower opt"
    ) as caught:
        notes = taught(tmp_path, 300.0, teacher=teacher, train={"epochs": 3, "batch_size": 12})
    assert len([w for w in caught if "collapses" in str(w.message)]) == 1
    assert notes[-1]["metadistil.teacher_top1"] < 60


def test_a_healthy_teacher_raises_no_alarm(tmp_path: Path) -> None:
    notes = taught(tmp_path, 0.001, teacher=good_teacher(tmp_path), train={"epochs": 1, "batch_size": 12})
    assert notes[0]["metadistil.teacher_top1"] > 60


# -- restart ---------------------------------------------------------------------------------------------------------


def entered(settings: dict[str, Any]) -> tuple[Run, Any]:
    run = assemble(settings)
    entry = StagePlan.of(run, 2, {}).entered(run, 0)
    entry.__enter__()
    return run, entry


@pytest.mark.parametrize("settings", [{}, {"pilot": False}], ids=str)
def test_teacher_optimizers_and_record_come_back_from_a_checkpoint(settings: dict[str, Any], tmp_path: Path) -> None:
    made = recipe("batchnorm", "features", settings, optimizers={"student": ADAMW, "teacher": ADAMW}).settings
    run, entry = entered(made)
    windows = list(Feed(run).windows(0, start=0, size=1))
    checkpoints = Checkpoints(tmp_path, keep=1, identity="a", run=run)

    def go(run: Run, window: list[Batch]) -> None:
        update_teacher(run, window)
        train_step(run, window[0])

    for window in windows[:2]:
        go(run, window)
    checkpoints.save(run, Position(0, 0, 2), Observer())
    costs = run.costs.state()
    for window in windows[2:4]:
        go(run, window)
    again, other = entered(made)
    checkpoints = Checkpoints(tmp_path, keep=1, identity="a", run=again)
    place, _ = checkpoints.load(again, Observer())
    checkpoints.restore_stage(again)
    again.costs.restore(costs)  # by an observer in a whole run
    assert place.batch == 2
    for window in Feed(again).windows(0, start=2, size=1):
        go(again, window)
        if window[0].number == 3:
            break
    for name in ("student", "teacher"):
        ours, theirs = run.model(name).state_dict(), again.model(name).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        mine, restored = (r.optimizers[name].state_dict()["state"] for r in (run, again))
        assert all(torch.equal(mine[p][key], restored[p][key]) for p in mine for key in mine[p])
    record = run.methods["metadistil"].state_dict()
    assert all(torch.equal(record[key], value) for key, value in again.methods["metadistil"].state_dict().items())
    assert record["monitor.start"][1] > 0
    other.__exit__(None, None, None)
    entry.__exit__(None, None, None)


def test_two_runs_end_with_the_same_teacher(tmp_path: Path) -> None:
    """The quiz is not in any state: it is drawn from the place in the run."""
    folders = []
    for every in (None, 1):
        runtime = {"device": "cpu", "out": str(tmp_path / str(every)), "checkpoint_every": every}
        folders.append(launch(recipe("mlp", "kl", runtime=runtime)).folder)
    ends = [load_file(sorted((folder / "checkpoints").iterdir())[-1] / "weights.safetensors") for folder in folders]
    common = {key for key in ends[0] if key.startswith("teachers.")}
    assert common
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in common)


class WithSiLU(SmoothMLP):
    """A first derivative has forward mode here, a second one has not."""

    def __init__(self, *, classes: int, channels: int = 1, size: int) -> None:
        super().__init__(classes=classes, channels=channels, size=size)
        self.act = nn.SiLU()  # type: ignore[assignment]


@pytest.mark.filterwarnings("ignore:the student has no forward-mode differentiation")
def test_a_run_that_fell_back_to_finite_differences_resumes_with_them(tmp_path: Path) -> None:
    registry.register("models", "meta_test_silu", WithSiLU)

    def made(out: Path) -> Recipe:
        runtime = {"device": "cpu", "out": str(out), "checkpoint_every": 1, "log_every": 1}
        student = {"use": "meta_test_silu"}
        return recipe("mlp", "kl", {"window": 2}, student=student, runtime=runtime, train={"epochs": 1, "batch_size": 8})

    whole = launch(made(tmp_path / "whole"))
    with pytest.raises(Killed):
        launch(made(tmp_path / "broken"), listeners=[Killer(5)])
    resumed = launch(made(tmp_path / "broken"))
    assert logged_losses(whole.folder) == logged_losses(resumed.folder)
    assert (whole.folder / DEPLOYED).read_bytes() == (resumed.folder / DEPLOYED).read_bytes()
