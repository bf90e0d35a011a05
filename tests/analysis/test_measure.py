"""A run is measured once for the union of wants, in full precision, and an analysis sees what it declared, and no more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdzoo.analysis.measure import Measurement, measure
from kdzoo.analysis.rebuild import read
from kdzoo.analysis.view import view
from kdzoo.engine.checkpoint import at_epochs
from kdzoo.errors import CapabilityError
from kdzoo.models.tiny import TinyCNN
from kdzoo.protocol.analysis import Wants
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.testing.analysis import finished_tiny_run

LOGITS = Wants()
MAPS = Wants(taps=("stages",), samples=20, module=True)
POOLED = Wants(splits=("train", "test"), taps=("pooled",), classifier=True, teacher=True)
DRAWN = Wants(splits=("train",), draws=3, samples=8)
OVER = Wants(epochs=True)


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    wants = {"logits": LOGITS, "maps": MAPS, "pooled": POOLED, "drawn": DRAWN, "over": OVER}
    return measure(read(finished_tiny_run()), wants)


def test_every_sample_passes_through_a_model_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[int, int] = {}
    forward = TinyCNN.forward

    def counted(self: TinyCNN, x: Tensor) -> Tensor:
        width = self.fc.in_features
        passed[width] = passed.get(width, 0) + len(x)
        return forward(self, x)

    monkeypatch.setattr(TinyCNN, "forward", counted)
    measure(read(folder), {"logits": LOGITS, "maps": MAPS, "pooled": POOLED})
    probes = 2 + 4  # the engine looks once at two samples for shapes, and compares classes on them
    sizes = {"train": 44, "test": 597}
    assert passed[8] <= sum(sizes.values()) + probes
    assert passed[12] <= sum(sizes.values()) + probes
    assert passed[8] >= sum(sizes.values())


def test_an_analysis_sees_what_it_declared_and_no_more(measurement: Measurement) -> None:
    seen = view(measurement, LOGITS, "run")
    assert set(seen.student.splits) == {"test"}
    assert not seen.student.splits["test"].features
    assert seen.student.splits["test"].drawn is None
    assert (seen.student.classifier, seen.student.module, seen.teacher, dict(seen.epochs)) == (None, None, None, {})
    assert seen.student.splits["test"].logits.shape == (597, 10)


def test_the_logits_are_those_that_the_run_reported(measurement: Measurement, folder: Path) -> None:
    answers = view(measurement, LOGITS, "run").student.splits["test"]
    assert answers.target is not None
    found = 100.0 * (answers.logits.argmax(1) == answers.target).double().mean().item()
    assert found == json.loads((folder / "result.json").read_text())["test"]["last"]["top1"]


def test_a_part_of_the_samples_is_the_same_part_for_every_seed_and_beside_other_wants(measurement: Measurement) -> None:
    other = measure(read(finished_tiny_run("{}", 1)), {"maps": MAPS})
    own, theirs = (view(each, MAPS, "run").student.splits["test"] for each in (measurement, other))
    assert len(own.index) == 20
    assert torch.equal(own.index, theirs.index)
    assert own.features.keys() == {"stage1", "stage2"}
    assert own.features["stage1"].shape == (20, 4, 4, 4)


def test_features_and_classifier_give_the_logits(measurement: Measurement) -> None:
    seen = view(measurement, POOLED, "run")
    for model in seen.models().values():
        for answers in model.splits.values():
            assert model.classifier is not None
            logits = nn.functional.linear(answers.features["pooled"], model.classifier.weight, model.classifier.bias)
            torch.testing.assert_close(logits, answers.logits, rtol=1e-5, atol=1e-5)
    assert seen.teaching.classifier is not None
    assert seen.teaching.classifier.weight.shape == (10, 12)


def test_draws_are_what_epochs_of_training_would_see(measurement: Measurement) -> None:
    answers = view(measurement, DRAWN, "run").student.splits["train"]
    assert answers.drawn is not None
    assert answers.drawn.shape == (8, 3, 10)
    assert (answers.drawn[:, 0] - answers.drawn[:, 1]).abs().max() > 0


def test_earlier_epochs_are_there_and_the_final_state_is_back_after_them(measurement: Measurement) -> None:
    seen = view(measurement, OVER, "run")
    assert list(seen.epochs) == [1, 2]
    logits = [model.splits["test"].logits for model in (*seen.epochs.values(), seen.student)]
    assert not torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[1], logits[2])
    again = measure(read(finished_tiny_run()), {"logits": LOGITS})
    assert torch.equal(view(again, LOGITS, "run").student.splits["test"].logits, logits[2])


def test_half_precision_of_training_is_left_behind(tmp_path: Path) -> None:
    sections = {"train": {"epochs": 1, "batch_size": 12, "precision": "bf16"}}
    half = finished_tiny_run(json.dumps(sections))
    logits = view(measure(read(half), {"own": LOGITS}), LOGITS, "run").student.splits["test"].logits
    assert not torch.equal(logits, logits.bfloat16().float())


def test_the_checkpoints_of_a_run_are_known_by_their_epochs(folder: Path) -> None:
    assert sorted(at_epochs(folder / "checkpoints")) == [1, 2, 3]
    assert at_epochs(folder / "no such folder") == {}


def test_a_tap_changed_in_place_is_recorded_as_it_was() -> None:
    """The recorder notices while measuring, where no trial run came before."""
    folder = finished_tiny_run(json.dumps({"student": {"use": "resnet8"}, "train": {"epochs": 1, "batch_size": 22}}))
    wants = Wants(taps=("stage1.preact", "stage1"), samples=4)
    features = view(measure(read(folder), {"own": wants}), wants, "run").student.splits["test"].features
    assert features["stage1.preact"].min() < 0
    torch.testing.assert_close(features["stage1.preact"].relu(), features["stage1"])


def _sections(**sections: Any) -> str:
    return json.dumps(sections)


def test_a_model_of_its_own_that_is_deployed_is_measured() -> None:
    """SimKD deploys the student with the teacher's classifier."""
    folder = finished_tiny_run(_sections(methods={"sim_kd": {}}))
    measured = measure(read(folder), {"own": LOGITS})
    reported: Mapping[str, Any] = json.loads((folder / "result.json").read_text())["test"]["last"]
    answers = view(measured, LOGITS, "run").student.splits["test"]
    assert answers.target is not None
    assert 100.0 * (answers.logits.argmax(1) == answers.target).double().mean().item() == reported["top1"]
    with pytest.raises(CapabilityError, match="has neither a tap nor a module called 'pooled'"):
        measure(read(folder), {"own": POOLED})


def test_a_teacher_that_moved_is_measured_as_it_ended() -> None:
    folder = finished_tiny_run(_sections(teacher={"use": "ema"}))
    seen = view(measure(read(folder), {"own": Wants(teacher=True)}), Wants(teacher=True), "run")
    gap = (seen.teaching.splits["test"].logits - seen.student.splits["test"].logits).abs().max()
    assert 0 < gap < 10


def test_the_images_are_those_of_evaluation(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    asked: list[bool] = []
    batches = ImageClassification.batches

    def watched(self: ImageClassification, *args: Any, **settings: Any) -> Any:
        asked.append(settings["train"])
        return batches(self, *args, **settings)

    monkeypatch.setattr(ImageClassification, "batches", watched)
    measure(read(folder), {"own": LOGITS})
    assert asked == [False]
