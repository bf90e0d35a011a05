"""The engine's small modules, each by itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdzoo.engine.evaluate import evaluate
from kdzoo.engine.metrics_log import MetricsLog
from kdzoo.engine.needs_check import check, check_rows, merge
from kdzoo.engine.precision import Precision, full_rows
from kdzoo.engine.rates import Rates
from kdzoo.engine.results import count, save_arrays
from kdzoo.engine.run import Run
from kdzoo.engine.run_identity import identify
from kdzoo.engine.selection import save_weights
from kdzoo.engine.teacher_recipe import in_training_order, nested
from kdzoo.engine.tracking import Guarded
from kdzoo.errors import CapabilityError, RecipeError, RunFailed
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Output, Rows
from kdzoo.signals import Stop
from kdzoo.testing.tiny import STUDENT, tiny_recipe, tiny_run


def test_rates_reach_every_parameter_group() -> None:
    layers = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.SGD([{"params": list(layer.parameters())} for layer in layers], lr=0.1, momentum=0.5)
    rates = Rates(optimizer)
    rates["lr"] = 0.25
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    assert rates["momentum"] == 0.5
    assert "nesterov" not in rates, "a flag is no number"


def test_needs_are_joined_and_a_conflict_names_both_methods() -> None:
    joined = merge({"a": Needs(teacher=True, learners=2), "b": Needs(index=True, splits={"quiz": 0.1})})
    assert (joined.teacher, joined.index, joined.learners, dict(joined.splits)) == (True, True, 2, {"quiz": 0.1})
    with pytest.raises(RecipeError, match=r"methods\.\w and methods\.\w want the split 'quiz' in different sizes"):
        merge({"a": Needs(splits={"quiz": 0.1}), "b": Needs(splits={"quiz": 0.2})})


def test_a_need_that_the_task_does_not_offer_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"methods\.a needs index, which task 't' does not offer"):
        check({"a": Needs(index=True)}, frozenset({"features"}), task="t", accumulate=1)


def test_numbers_are_for_methods_that_compare_numbers_or_features() -> None:
    needs = {"a": Needs(teacher=True, numbers=True), "b": Needs(teacher=True, aligned=False), "c": Needs()}
    check_rows(needs, distributions=False)
    check_rows({"d": Needs(teacher=True)}, distributions=True)
    with pytest.raises(CapabilityError, match=r"methods\.d compares distributions, but this task predicts numbers"):
        check_rows({"d": Needs(teacher=True)}, distributions=False)


def test_half_precision_logits_become_float32_and_full_ones_stay_the_same_object() -> None:
    half, full = (Output(Rows(torch.zeros(2, 3, dtype=kind)), {}, {}) for kind in (torch.bfloat16, torch.float32))
    assert full_rows(half).rows.logits.dtype == torch.float32
    assert full_rows(full) is full


def test_full_precision_scales_nothing() -> None:
    precision = Precision("fp32", torch.device("cpu"))
    assert precision.scale == 1.0
    loss = torch.tensor(2.0)
    assert precision.scaled(loss) is loss


def test_a_record_is_one_line_and_reaches_the_listeners(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    recorder = MetricsLog(tmp_path / "metrics.jsonl", 1, [heard.append])
    recorder.write({"event": "x", "value": 1})
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == heard


def test_a_loss_that_is_no_number_is_named(tmp_path: Path) -> None:
    recorder = MetricsLog(tmp_path / "metrics.jsonl", 1)
    recorder.waiting.append([({"kd.kd": 1.0}, {"kd.kd": torch.tensor(math.nan)})])
    with pytest.raises(RunFailed, match=r"no longer a number: methods\.kd\.kd = nan"):
        recorder.state()


def test_who_heard_a_signal_has_its_number_and_listens_once() -> None:
    import signal

    stop = Stop()
    before = signal.getsignal(signal.SIGTERM)
    with stop.listening():
        with stop.listening():
            pass
        signal.raise_signal(signal.SIGTERM)
    assert stop.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_saved_weights_and_arrays_are_read_back(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.torch import load_file

    layer = nn.Linear(3, 2)
    assert count(layer) == 8
    save_weights(layer, tmp_path / "w.safetensors")
    save_arrays(tmp_path / "a.npz", {"x": torch.arange(3)})
    assert torch.equal(load_file(tmp_path / "w.safetensors")["weight"], layer.weight)
    assert np.load(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]


def test_a_failing_tracker_is_reported_once() -> None:
    class Failing:
        calls = 0

        def log(self, numbers: Mapping[str, float], *, step: int, line: int) -> None:
            self.calls += 1
            raise OSError("no network")

    tracker = Failing()
    guarded = Guarded("failing", tracker)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="tracker 'failing' failed and is left out from now on: no network"):
        guarded({"step": 1, "loss": 2.0}, 1)
    guarded({"step": 2, "loss": 2.0}, 2)
    assert tracker.calls == 1


def test_evaluation_leaves_the_modes_of_the_model_as_they_were() -> None:
    with tiny_run(tiny_recipe("kd")) as run:
        run.student.train()
        found = evaluate(run, run.student, "validation")
        assert all(module.training for module in run.student.modules())
        assert 0 <= found.metrics["top1"] <= 100
        assert isinstance(run, Run)


def test_the_identity_is_that_of_the_settings_not_of_the_machine(tmp_path: Path) -> None:
    here, there = tiny_recipe("kd", out=tmp_path).settings, tiny_recipe("kd", out="elsewhere").settings
    assert identify(here) == identify(there)
    assert identify(here) != identify(tiny_recipe("kd", {"temperature": 3.0}).settings)


def of_teacher(inner: dict[str, Any]) -> dict[str, Any]:
    """A recipe whose teacher is the student of another recipe."""
    base = {"task": {"data": "digits"}, "student": STUDENT, "methods": {"kd": {}}, "name": f"above {inner['name']}"}
    return {**base, "teacher": {"use": "frozen", "recipe": inner}}


def test_nested_teachers_come_after_their_own_teachers() -> None:
    from kdzoo.recipe.load import load

    lowest = {"name": "lowest", "task": {"data": "digits"}, "student": STUDENT, "methods": {"hard_label": {}}}
    settings = load(of_teacher(of_teacher(lowest))).settings
    assert [found.name for found in nested(settings)] == ["above lowest"]
    assert [found.name for found in in_training_order(settings, skip=lambda _: False)] == ["lowest", "above lowest"]
    assert list(in_training_order(settings, skip=lambda found: found.name == "above lowest")) == []
