"""Answers on disk: by the number of a sample, whatever the order; stale ones refused; half filled stores gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kdzoo_text.models.registered import bert
from text_cases import DISTILLED, TEACHER, TEXT
from torch import Tensor

import kdzoo.engine.results
from kdzoo import registry
from kdzoo.cli import main
from kdzoo.engine.components import make
from kdzoo.engine.launch import DEPLOYED, launch
from kdzoo.engine.run import Run
from kdzoo.engine.selection import save_weights
from kdzoo.errors import CapabilityError, MissingError, RecipeError
from kdzoo.models.tiny import LinearNet
from kdzoo.recipe.load import load
from kdzoo.testing import tiny_recipe, tiny_run
from kdzoo.testing.laws.helpers import Killed, Killer, logged_losses
from kdzoo.testing.tiny import first_window

CACHED: dict[str, Any] = {**TEXT, "teacher": {"use": "cached", "model": TEACHER}}
Change = Callable[..., dict[str, Any]]


def losses(run: Run) -> list[Tensor]:
    return [run.objective(batch)[0].detach() for batch in first_window(run)]


def test_cached_answers_are_those_of_the_teacher(tmp_path: Path) -> None:
    with tiny_run(tiny_recipe("kd", recipe=DISTILLED, out=tmp_path)) as live, torch.no_grad():
        expected = losses(live)
    with tiny_run(tiny_recipe("kd", recipe=CACHED, out=tmp_path)) as cached, torch.no_grad():
        torch.testing.assert_close(losses(cached), expected)


def test_shuffling_does_not_change_a_cached_answer(tmp_path: Path) -> None:
    with tiny_run(tiny_recipe("kd", recipe=CACHED, out=tmp_path)) as run, torch.no_grad():
        for index in (torch.tensor([3, 1, 40]), torch.tensor([40, 3, 0, 1])):
            (batch,) = run.task.batches("train", [index], epoch=1, train=True)
            cached = run.answer("teacher", batch).rows.logits
            torch.testing.assert_close(cached, run.forward("teacher", batch).rows.logits)


def test_tapped_vectors_are_kept_beside_the_logits(tmp_path: Path) -> None:
    recipe = tiny_recipe("patient_kd", {"projection": "linear"}, recipe={**CACHED, "methods": {"kd": {}}}, out=tmp_path)
    with tiny_run(recipe) as run, torch.no_grad():
        batch = first_window(run)[0]
        cached, live = run.answer("teacher", batch), run.forward("teacher", batch)
        assert cached.features.keys() == {"cls2"}
        torch.testing.assert_close(cached.features["cls2"], live.features["cls2"])


def test_a_teacher_of_other_code_with_the_same_weights_is_asked_anew(tmp_path: Path) -> None:
    class Scaled(LinearNet):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.factor

    def scaled(*, factor: float, classes: int, channels: int, size: int) -> LinearNet:
        model = Scaled(classes=classes, channels=channels, size=size)
        model.factor = factor
        return model

    registry.register("models", "scaled", scaled)
    for factor in (1.0, 3.0):
        teacher = {"use": "cached", "model": {"use": "scaled", "factor": factor}}
        settings = {"teacher": teacher, "task": {"data": "digits", "crop": 0}}
        with tiny_run(tiny_recipe("kd", recipe=settings, out=tmp_path)) as run, torch.no_grad():
            batch = first_window(run)[0]
            torch.testing.assert_close(
                run.answer("teacher", batch).rows.logits, run.forward("teacher", batch).rows.logits, msg=str(factor)
            )


def test_the_teacher_is_asked_once_for_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tiny_recipe("kd", recipe=CACHED, out=tmp_path)
    with tiny_run(first) as run, torch.no_grad():
        expected = losses(run)
    with tiny_run(first) as run, torch.no_grad():
        asked: list[str] = []
        forward = run.forward

        def counted(role: str, *args: Any, **kwargs: Any) -> Any:
            asked.append(role)
            return forward(role, *args, **kwargs)

        monkeypatch.setattr(run, "forward", counted)
        assert all(torch.equal(a, b) for a, b in zip(losses(run), expected, strict=True))
    assert asked.count("teacher") == 1  # the example, to find out which vectors are tapped


def test_a_half_filled_store_is_gone_on_with(tmp_path: Path) -> None:
    recipe = tiny_recipe("minilm", recipe={**CACHED, "methods": {"kd": {}}}, out=tmp_path)
    with tiny_run(recipe) as run, torch.no_grad():
        run.task.evaluation_batch = 16
        teacher: Any = run.teachers["teacher"]
        whole = {kind: own.rows.copy() for kind, own in teacher.fill(run).items()}
        store = teacher.store(run)
        card = json.loads((store.folder / "store.json").read_text())
        card["filled"] = dict.fromkeys(whole, 20)  # the files themselves keep what the first process wrote
        (store.folder / "store.json").write_text(json.dumps(card))
        for kind in whole:
            rows = np.load(store.folder / f"{kind}.npy", mmap_mode="r+")
            rows[20 if kind == "logits" else store.starts[20] :] = 0
            rows.flush()
        again = teacher.fill(run)
        assert {store.filled(kind) for kind in whole} == {store.samples}
        assert all((again[kind].rows == expected).all() for kind, expected in whole.items())


def test_answers_of_another_teacher_are_refused(tmp_path: Path) -> None:
    mine = {**CACHED, "teacher": {**CACHED["teacher"], "folder": str(tmp_path / "mine")}}
    with tiny_run(tiny_recipe("kd", recipe=mine, out=tmp_path)) as run, torch.no_grad():
        losses(run)
    other = {**mine, "teacher": {**mine["teacher"], "model": {**TEACHER, "width": 16}}}
    with tiny_run(tiny_recipe("kd", recipe=other, out=tmp_path)) as run, pytest.raises(RecipeError, match="are stale"):
        losses(run)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "task.crop changes the"),
        ({"crop": 0, "flip": True}, "task.flip changes the"),
        ({"crop": 0, "cutout": 2, "rand_augment": 1}, "task.cutout and task.rand_augment change the"),
        ({"crop": 0, "mixup": 0.2}, "task.mixup changes the"),
        ({"data": {"use": "fashion_mnist"}}, "task.crop and task.flip change the"),
    ],
)
def test_inputs_that_change_are_refused_before_anything_is_read(changes: dict[str, Any], named: str) -> None:
    task = {"use": "image_classification", "data": {"use": "digits"}, **changes}
    teacher = {"use": "cached", "model": {"use": "tiny_cnn", "widths": [4, 8]}}
    recipe = load({"task": task, "student": "linear", "teacher": teacher, "methods": {"kd": {}}})
    with pytest.raises(CapabilityError, match=rf"teachers\.teacher keeps its answers, but {named}"):
        make(recipe.settings)
    task |= {"crop": 0, "flip": False, "cutout": 0, "rand_augment": 0, "mixup": 0}
    make(load({"task": task, "student": "linear", "teacher": teacher, "methods": {"kd": {}}}).settings)


MATCHINGS: dict[str, dict[str, Any]] = {
    "layer_matching": {"on": "hidden", "mapping": "uniform", "embeddings": True, "projection": "linear"},
    "patient_kd": {"projection": "linear"},
    "distilbert": {"projection": "linear"},
    "tinybert": {"intermediate_epochs": 0, "weights": {"hidden": 1, "attention": 1}},
    "minilm": {},
    "minilm_v2": {"relation_heads": 4},
    "mobilebert": {"projection": "linear"},
}


def values_and_gradients(recipe: Any) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The losses of micro-batches of texts of all lengths, and the gradient of their sum."""
    with tiny_run(recipe) as run, run.mode(training=False):
        (batch,) = run.task.batches("train", [torch.tensor([50, 0, 3, 40, 20])], epoch=0, train=True)
        values = [run.objective(micro)[0] for micro in run.task.split(batch, 2)]
        torch.stack(values).sum().backward()
        found = {name: p.grad for name, p in run.trainable().items() if p.grad is not None}
    return [value.detach() for value in values], found


@pytest.mark.parametrize("method", MATCHINGS)
def test_layers_are_matched_from_the_cache_as_with_the_teacher_itself(method: str, tmp_path: Path) -> None:
    alone = {"methods": {"hard_label": {"weights": {"hard_label": 0}}}}
    live, cached = (
        values_and_gradients(tiny_recipe(method, MATCHINGS[method], recipe={**recipe, **alone}, out=tmp_path))
        for recipe in (DISTILLED, CACHED)
    )
    assert all(value > 0 for value in live[0])
    torch.testing.assert_close(cached[0], live[0], rtol=1e-5, atol=1e-7)
    assert cached[1].keys() == live[1].keys()
    for name, gradient in live[1].items():
        torch.testing.assert_close(cached[1][name], gradient, rtol=1e-4, atol=1e-6)


def test_states_of_tokens_are_kept_without_padding(tmp_path: Path) -> None:
    with tiny_run(tiny_recipe("minilm", recipe=CACHED, out=tmp_path)) as run, torch.no_grad():
        (batch,) = run.task.batches("train", [torch.tensor([50, 0, 3])], epoch=0, train=True)
        cached, live = run.answer("teacher", batch), run.forward("teacher", batch)
        teacher: Any = run.teachers["teacher"]
        rows = teacher.answers["query4"].rows
        task: Any = run.task
        assert rows.shape == (int(task.encoded["train"][""].lengths.sum()), TEACHER["width"])
        assert isinstance(rows, np.memmap)
        mask = batch.inputs["attention_mask"].bool()
        assert cached.features["query4"].shape == live.features["query4"].shape
        assert cached.features["query4"][~mask].abs().max() == 0
        torch.testing.assert_close(cached.features["query4"][mask], live.features["query4"][mask])


def test_a_run_that_taps_more_asks_for_that_alone(tmp_path: Path) -> None:
    with tiny_run(tiny_recipe("kd", recipe=CACHED, out=tmp_path)) as run, torch.no_grad():
        losses(run)
        first: Any = run.teachers["teacher"]
        logits = first.store(run).folder / "logits.npy"
        written = logits.stat().st_mtime_ns
    recipe = tiny_recipe("minilm", recipe={**CACHED, "methods": {"kd": {}}}, out=tmp_path)
    with tiny_run(recipe) as run, torch.no_grad():
        losses(run)
        teacher: Any = run.teachers["teacher"]
        assert teacher.store(run).folder == logits.parent
        assert teacher.answers.keys() == {"logits", "query4", "key4", "value4"}
    assert logits.stat().st_mtime_ns == written


def test_features_that_are_of_no_position_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tiny_run(tiny_recipe("minilm", recipe=CACHED, out=tmp_path)) as run:
        monkeypatch.setattr(run.task, "positions", lambda batch, model: torch.ones(len(batch.target), 3).bool())
        with pytest.raises(CapabilityError, match=r"taps query4 \(2, 5, 12\), .* of 2 samples; use teacher"):
            losses(run)


def test_maps_of_images_are_kept_too(tmp_path: Path) -> None:
    task = {"data": "digits", "train_size": 44, "validation": 1000, "crop": 0, "flip": False}
    seen = {}
    for kind in ("frozen", "cached"):
        images = {"task": task, "teacher": {"use": kind, "model": {"use": "tiny_cnn", "widths": [4, 8]}}}
        with tiny_run(tiny_recipe("at", recipe=images, out=tmp_path)) as run, torch.no_grad():
            seen[kind] = losses(run)
    assert all(loss > 0 for loss in seen["frozen"])
    torch.testing.assert_close(seen["cached"], seen["frozen"])


def test_answers_that_the_disk_has_no_room_for_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tiny_run(tiny_recipe("minilm", recipe=CACHED, out=tmp_path)) as run:
        monkeypatch.setattr("shutil.disk_usage", lambda folder: shutil._ntuple_diskusage(2000, 1500, 500))
        with pytest.raises(MissingError, match=r"logits of all samples take 0\.0 GB, and .* has room for 0\.0 GB; name"):
            losses(run)


def test_a_teacher_is_the_same_wherever_its_files_are(tmp_path: Path) -> None:
    made: Any = bert(vocabulary=60, pad=0, classes=3, layers=1, width=8, heads=2, intermediate=12, positions=16)
    found = set()
    for place in ("here", "there"):
        made.save_pretrained(str(tmp_path / place))
        recipe = {**CACHED, "teacher": {"use": "cached", "model": {"use": "hf", "name": str(tmp_path / place)}}}
        with tiny_run(tiny_recipe("kd", recipe=recipe, out=tmp_path)) as run:
            teacher: Any = run.teachers["teacher"]
            found.add(teacher.fingerprint(run))
    assert len(found) == 1


def test_equal_weights_with_other_heads_are_another_teacher(tmp_path: Path) -> None:
    found = []
    for heads in (2, 4):
        recipe = {**CACHED, "teacher": {"use": "cached", "model": {**TEACHER, "heads": heads}}}
        with tiny_run(tiny_recipe("kd", recipe=recipe, out=tmp_path)) as run:
            teacher: Any = run.teachers["teacher"]
            found.append((teacher.fingerprint(run), teacher.model.state_dict()))
    (first, weights), (second, others) = found
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert first != second


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_an_evaluation_of_the_teacher_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for seed in (0, 1):
        recipe = tiny_recipe("kd", recipe={**CACHED, "seed": seed, "teacher": {**CACHED["teacher"]}}, out=tmp_path)
        recipe.settings["teachers"]["teacher"]["checkpoint"] = str(weights_of_teacher(tmp_path))
        results.append(launch(recipe).values["teachers"]["teacher"]["test"])
        monkeypatch.setattr("kdzoo.engine.results.evaluate", only_students(kdzoo.engine.results.evaluate))
    assert results[0] == results[1]


def weights_of_teacher(folder: Path) -> Path:
    """A file with the weights of a tiny teacher, the same for every seed."""
    file = folder / "teacher.safetensors"
    if not file.is_file():
        with tiny_run(tiny_recipe("kd", recipe=DISTILLED, out=folder)) as run:
            save_weights(run.model("teacher"), file)
    return file


def only_students(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """Fails where the teacher's model is evaluated."""

    def checked(run: Run, model: Any, split: str) -> Any:
        assert model is not run.model("teacher"), "the teacher is evaluated again"
        return evaluate(run, model, split)

    return checked


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_a_run_resumes_to_the_bit_from_answers_that_are_there(tmp_path: Path) -> None:
    whole = launch(tiny_recipe("kd", recipe=CACHED, out=tmp_path / "whole"))
    broken = tiny_recipe("kd", recipe=CACHED, out=tmp_path / "broken")
    broken.settings["runtime"]["checkpoint_every"] = 1
    with pytest.raises(Killed):
        launch(broken, listeners=[Killer(3)])
    resumed = launch(broken)
    assert logged_losses(whole.folder) == logged_losses(resumed.folder)
    assert (whole.folder / DEPLOYED).read_bytes() == (resumed.folder / DEPLOYED).read_bytes()


@pytest.mark.parametrize("file", ["logits", "query4", "sample-starts"])
@pytest.mark.parametrize("harm", ["gone", "cut off", "empty"])
def test_answers_whose_file_is_harmed_are_asked_for_again(harm: str, file: str, tmp_path: Path) -> None:
    recipe = tiny_recipe("minilm", recipe={**CACHED, "methods": {"kd": {}}}, out=tmp_path)
    with tiny_run(recipe) as run, torch.no_grad():
        teacher: Any = run.teachers["teacher"]
        batch = first_window(run)[0]
        expected = run.answer("teacher", batch)
        place = teacher.store(run).folder / f"{file}.npy"
        kept = {"gone": None, "cut off": place.read_bytes()[:200], "empty": b""}[harm]
        place.unlink()
        if kept is not None:
            place.write_bytes(kept)
        teacher.known = 0  # as in a new process
        batch.answers.clear()
        again = run.answer("teacher", batch)
    assert torch.equal(again.rows.logits, expected.rows.logits)
    assert all(torch.equal(again.features[name], value) for name, value in expected.features.items())


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    with tiny_run(tiny_recipe("kd", recipe=CACHED, out=tmp_path)) as run, torch.no_grad():
        teacher: Any = run.teachers["teacher"]
        store = teacher.store(run)
        teacher.fill(run)
        (store.folder / "store.json").write_text("{")
        with pytest.raises(RecipeError, match="is damaged; remove the folder"):
            teacher.fill(run)


def test_the_command_asks_ahead_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({**CACHED, "methods": {"kd": {}}, "runtime": {"out": str(tmp_path), "device": "cpu"}}))
    assert main(["cache", str(file), "--json"]) == 0
    (asked,) = json.loads(capsys.readouterr().out)
    assert (asked["teacher"], asked["samples"], asked["answers"]) == ("teacher", 57, ["logits"])
    assert main(["cache", "--out", str(tmp_path), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["folder"] == asked["folder"]
    assert main(["cache", str(file), "teacher.use=frozen"]) == 2
    assert "has no teacher that keeps its answers; set teacher.use=cached" in capsys.readouterr().err
