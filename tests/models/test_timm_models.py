"""Models of timm: taps, local weights, and what is said where they do not fit."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kdzoo.errors import MissingError, RecipeError
from kdzoo.models.timm import timm
from kdzoo.testing import tiny_recipe, tiny_run

library = pytest.importorskip("timm")


@pytest.mark.parametrize(
    ("name", "stages"),
    [("resnet10t", 4), ("mobilenetv3_small_050", 4), ("convnext_atto", 4), ("vit_tiny_patch16_224", 0), ("regnetx_002", 4)],
)
def test_taps_are_maps_and_the_classifier_reads_what_is_pooled(name: str, stages: int) -> None:
    net = timm(name=name, classes=5, channels=3, size=64).eval()
    assert [tap for tap in net.taps if tap.startswith("stage")] == [f"stage{n}" for n in range(1, stages + 1)]
    seen = {}

    def heard(tap: Any, own_input: Any) -> Callable[..., Any]:
        return lambda module, inputs, output: seen.__setitem__(tap, inputs[0] if own_input else output)

    for tap, path in net.taps.items():
        net.get_submodule(path.removesuffix(":input")).register_forward_hook(heard(tap, path.endswith(":input")))
    with torch.no_grad():
        logits = net(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 5)
    assert all(seen[tap].ndim == 4 for tap in net.taps if tap.startswith("stage"))
    assert torch.equal(net.get_submodule(net.classifier_path)(seen["pooled"]), seen["logits"])
    assert not any(getattr(module, "inplace", False) for module in net.modules())


def test_gray_images_and_other_sizes() -> None:
    assert timm(name="vit_tiny_patch16_224", classes=4, channels=1, size=32)(torch.zeros(1, 1, 32, 32)).shape == (1, 4)
    assert timm(name="resnet10t", classes=4, channels=1, size=32)(torch.zeros(2, 1, 32, 32)).shape == (2, 4)


def test_weights_come_from_a_local_file(tmp_path: Path) -> None:
    theirs = library.create_model("resnet10t", num_classes=7)
    save_file(theirs.state_dict(), tmp_path / "own.safetensors")
    given = {"weights": str(tmp_path / "own.safetensors"), "size": 32}
    same = timm(name="resnet10t", classes=7, **given)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(same.eval()(images), theirs.eval()(images))
    fresh = timm(name="resnet10t", classes=3, head="fresh", **given)
    assert torch.equal(fresh.layer1[0].conv1.weight, theirs.layer1[0].conv1.weight)
    with pytest.raises(RecipeError, match=r"does not fit timm's resnet10t: .*`head: fresh`"):
        timm(name="resnet10t", classes=3, **given)
    with pytest.raises(MissingError, match=r"there is no file .*absent\.pth"):
        timm(name="resnet10t", classes=3, weights=str(tmp_path / "absent.pth"), size=32)


def test_what_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"timm has no model 'resnet19'; did you mean .*'resnet18'"):
        timm(name="resnet19", classes=3)
    with pytest.raises(RecipeError, match=r"timm has no model 'qqqq'; timm\.list_models\(\) names its \d+\."):
        timm(name="qqqq", classes=3)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingError, match=r"`use: timm` needs timm, which is not installed. Run: pip install .*timm"):
        timm(name="resnet18", classes=3)


def test_a_timm_student_trains_with_a_feature_method() -> None:
    student = {"use": "timm", "name": "resnet10t"}
    with tiny_run(tiny_recipe("kd", recipe={"student": student})) as run:
        assert "stage1" in run.student.taps
