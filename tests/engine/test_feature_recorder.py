"""FeatureRecorder: named features, found before training, never silently overwritten."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feature_recorder import FeatureRecorder, Overwritten
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.testing import tiny_recipe


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2))


def test_a_tap_before_an_in_place_relu_keeps_its_values() -> None:
    model, inputs = net(), torch.randn(5, 4)
    taps = FeatureRecorder(model, ["0"])
    with pytest.raises(Overwritten), taps.recording():
        model(inputs)
    with taps.recording() as features:
        model(inputs)
    assert torch.equal(features["0"], model[0](inputs))
    assert (features["0"] < 0).any()


def test_an_input_can_be_tapped() -> None:
    model, inputs = net(), torch.randn(5, 4)
    taps = FeatureRecorder(model, ["2:input", "0:input"])
    with taps.recording() as features:
        model(inputs)
    assert list(features) == ["2:input", "0:input"]
    assert torch.equal(features["0:input"], inputs)


def test_a_wrong_tap_lists_the_nearest_before_training() -> None:
    with pytest.raises(RecipeError, match=r"methods\.fitnets on student: .*stage1"):
        assemble(tiny_recipe("fitnets", {"student_tap": "stage_1"}).settings)


def test_a_tap_that_is_never_reached_is_refused() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(64, 10), nn.Linear(64, 10)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.used(inputs.flatten(1))
            return out

    recipe = tiny_recipe("rkd", {"student_tap": "idle"}, recipe={"student": Unused()})
    with pytest.raises(CapabilityError, match="tap idle is never reached"):
        assemble(recipe.settings)
