"""The CIFAR families against the published sizes and against the reference implementations.

`reference_values.json` was computed with the networks of RepDistiller (commit b84f547c) and, for MobileNetV1, of mdistiller
(commit a08d46f1), in float64 and train mode, with the parameters of `fill` and the images of `images` below: per feature its
mean and its mean absolute value, and the first three logits of the first image.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdzoo.errors import RecipeError
from kdzoo.models import cifar_resnet, mobilenet, resnet, shuffle, vgg, wrn
from kdzoo.models.tap_names import classifier_of, expand, named_taps, norm_of, resolve

REFERENCE = json.loads((Path(__file__).parent / "reference_values.json").read_text())

RESNET = [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8), (64,)]
WIDE = [(32, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8), (256,)]
WRN_2 = [(16, 32, 32), (32, 32, 32), (64, 16, 16), (128, 8, 8), (128,)]
VGG = [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 4, 4), (512,)]
RESNET50 = [(64, 32, 32), (256, 32, 32), (512, 16, 16), (1024, 8, 8), (2048, 4, 4), (2048,)]
MOBILE_V2 = [(16, 16, 16), (12, 16, 16), (16, 8, 8), (48, 4, 4), (160, 2, 2), (1280,)]
SHUFFLE_V1 = [(24, 32, 32), (240, 16, 16), (480, 8, 8), (960, 4, 4), (960,)]
SHUFFLE_V2 = [(24, 32, 32), (116, 16, 16), (232, 8, 8), (464, 4, 4), (1024,)]

# Factory, parameters at 100 classes and 3 channels, and the shapes of stem, stages and pooled vector at 32x32.
FAMILY = {
    "resnet8": (resnet.resnet8, 83_892, RESNET),
    "resnet14": (resnet.resnet14, 181_108, RESNET),
    "resnet20": (resnet.resnet20, 278_324, RESNET),
    "resnet32": (resnet.resnet32, 472_756, RESNET),
    "resnet44": (resnet.resnet44, 667_188, RESNET),
    "resnet56": (resnet.resnet56, 861_620, RESNET),
    "resnet110": (resnet.resnet110, 1_736_564, RESNET),
    "resnet8x4": (resnet.resnet8x4, 1_233_540, WIDE),
    "resnet32x4": (resnet.resnet32x4, 7_433_860, WIDE),
    "wrn_16_1": (wrn.wrn_16_1, 180_916, RESNET),
    "wrn_16_2": (wrn.wrn_16_2, 703_284, WRN_2),
    "wrn_40_1": (wrn.wrn_40_1, 569_780, RESNET),
    "wrn_40_2": (wrn.wrn_40_2, 2_255_156, WRN_2),
    "vgg8": (vgg.vgg8, 3_965_028, VGG),
    "vgg11": (vgg.vgg11, 9_277_284, VGG),
    "vgg13": (vgg.vgg13, 9_462_180, VGG),
    "vgg16": (vgg.vgg16, 14_774_436, VGG),
    "vgg19": (vgg.vgg19, 20_086_692, VGG),
    "cifar_resnet50": (cifar_resnet.CifarResNet50, 23_705_252, RESNET50),
    "mobilenet_v2_half": (mobilenet.MobileNetV2Half, 812_836, MOBILE_V2),
    "shuffle_v1": (shuffle.ShuffleV1, 949_258, SHUFFLE_V1),
    "shuffle_v2": (shuffle.ShuffleV2, 1_355_528, SHUFFLE_V2),
}
FACTORIES = {name: factory for name, (factory, _, _) in FAMILY.items()} | {"mobilenet_v1": mobilenet.MobileNetV1}
WITH_NORMS = ["resnet56", "resnet32x4", "wrn_40_2", "vgg13", "cifar_resnet50", "mobilenet_v2_half", "mobilenet_v1"]

every_net = pytest.mark.parametrize("name", list(FACTORIES))


def built(name: str, *, classes: int = 100, channels: int = 3) -> nn.Module:
    """A net without memory or arithmetic behind it: enough for counts and shapes."""
    with torch.device("meta"):
        return FACTORIES[name](classes=classes, channels=channels)


def noise(shape: torch.Size | tuple[int, ...], salt: int) -> Tensor:
    """Numbers in [-1, 1) from integer arithmetic, the same on every machine."""
    index = torch.arange(torch.Size(shape).numel())
    hashed = (index * index % 65_521 + index % 32_749 + salt) * 2_654_435_761 % 2**32
    return (hashed.double() / 2**31 - 1).reshape(shape)


def fill(net: nn.Module) -> None:
    """Give every parameter a value that depends on its name's rank and its shape only."""
    parameters = dict(net.named_parameters())
    with torch.no_grad():
        for salt, key in enumerate(sorted(parameters)):
            value, scale = parameters[key], (3 / parameters[key][0].numel()) ** 0.5
            if value.dim() > 1:
                value.copy_(noise(value.shape, salt) * scale)
            else:
                value.copy_(noise(value.shape, salt) / 4 + key.endswith("weight"))


def images(size: int) -> Tensor:
    return noise((2, 3, size, size), 7)


def described(values: list[Tensor]) -> list[float]:
    return [number.item() for value in values for number in (value.mean(), value.abs().mean())]


@pytest.mark.parametrize("name", list(FAMILY))
def test_parameter_counts_are_the_published_ones(name: str) -> None:
    assert sum(p.numel() for p in built(name).parameters()) == FAMILY[name][1]


def test_mobilenet_v1_has_the_published_count_at_1000_classes() -> None:
    assert sum(p.numel() for p in built("mobilenet_v1", classes=1000).parameters()) == 4_231_976


@pytest.mark.parametrize("name", list(FAMILY))
def test_feature_shapes_at_32_pixels_are_the_published_ones(name: str, features: Any) -> None:
    net = built(name)
    found = features(net, torch.empty(2, 3, 32, 32, device="meta"))
    tapped = ["stem", *expand(net, ["stages"]), "pooled"]
    assert [tuple(found[tap].shape[1:]) for tap in tapped] == FAMILY[name][2]


@every_net
def test_values_equal_those_of_the_reference_implementation(name: str, features: Any) -> None:
    expected = REFERENCE[name]
    net = FACTORIES[name](classes=10, channels=3).double()
    fill(net)
    with torch.no_grad():
        found = features(net, images(expected["size"]))
    maps = [found[tap] for tap in ["stem", *expand(net, ["stages"]), "pooled"]]
    assert described(maps) == pytest.approx(expected["maps"], rel=1e-7, abs=1e-9)
    preacts = [found[tap] for tap in expand(net, ["stages.preact"])]
    assert described(preacts) == pytest.approx(expected["preacts"], rel=1e-7, abs=1e-9)
    assert found["answer"][0, :3].tolist() == pytest.approx(expected["logits"], rel=1e-7, abs=1e-9)


@every_net
def test_the_tap_logits_is_what_the_model_returns(name: str, features: Any) -> None:
    net = FACTORIES[name](classes=4, channels=3).eval()
    with torch.no_grad():
        found = features(net, torch.randn(1, 3, 8, 8))
        again = classifier_of(net)(found["pooled"])
    assert torch.equal(found["logits"], found["answer"])
    assert torch.equal(again, found["answer"])


@pytest.mark.parametrize("size", [8, 9, 28, 64])
@every_net
def test_gray_images_of_every_size_from_8_up_work(name: str, size: int, features: Any) -> None:
    found = features(built(name, classes=7, channels=1), torch.empty(2, 1, size, size, device="meta"))
    assert found["answer"].shape == (2, 7)
    assert all(min(value.shape) >= 1 for value in found.values())


@every_net
def test_training_at_8_pixels_gives_every_parameter_a_finite_gradient(name: str) -> None:
    torch.manual_seed(0)
    net = FACTORIES[name](classes=4, channels=1)
    nn.functional.cross_entropy(net(torch.randn(4, 1, 8, 8)), torch.tensor([0, 1, 2, 3])).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


@every_net
def test_nothing_works_in_place(name: str) -> None:
    assert not any(getattr(layer, "inplace", False) for layer in built(name).modules())


@pytest.mark.parametrize("name", ["resnet8", "vgg8", "shuffle_v1"])
def test_a_stage_is_the_relu_of_its_preact(name: str, features: Any) -> None:
    net = FACTORIES[name](classes=4, channels=3)
    with torch.no_grad():
        found = features(net, torch.randn(2, 3, 16, 16))
    for stage in expand(net, ["stages"]):
        assert torch.equal(found[stage], found[f"{stage}.preact"].relu())


def test_a_wide_resnet_is_tapped_before_the_relu(features: Any) -> None:
    net = wrn.wrn_16_1(classes=4)
    found = features(net, torch.randn(2, 3, 16, 16))
    assert bool((found["stage1"] < 0).any())
    torch.testing.assert_close(found["stage3.preact"].relu().mean(dim=(2, 3)), found["pooled"])


@pytest.mark.parametrize("name", WITH_NORMS)
def test_every_stage_names_the_batchnorm_before_its_relu(name: str, features: Any) -> None:
    net = built(name)
    found = features(net, torch.empty(2, 3, 32, 32, device="meta"))
    for stage in expand(net, ["stages"]):
        assert isinstance(norm_of(net, stage), nn.BatchNorm2d)
        assert norm_of(net, stage).num_features == found[f"{stage}.preact"].shape[1]


@every_net
def test_taps_are_listed_in_forward_order(name: str, features: Any) -> None:
    net, order = built(name), []
    plain = [tap for tap in named_taps(net) if not tap.endswith(".preact")]
    for tap in plain:
        net.get_submodule(resolve(net, tap)[0]).register_forward_hook(lambda *_, tap=tap: order.append(tap))
    net(torch.empty(2, 3, 32, 32, device="meta"))
    assert order == plain


@every_net
def test_every_parameter_of_a_factory_is_keyword_only_and_annotated(name: str) -> None:
    parameters = inspect.signature(FACTORIES[name], eval_str=True).parameters.values()
    assert all(p.kind is p.KEYWORD_ONLY and p.annotation is not p.empty for p in parameters)


def test_convolutions_start_with_the_fan_out_variance() -> None:
    torch.manual_seed(0)
    net = vgg.vgg11(classes=10)
    weight = net.block4[0].weight
    assert weight.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    assert net.classifier.weight.std().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(("key", "name"), [
    ("layer1.0.downsample.0.weight", "resnet8x4"),
    ("block1.layer.0.convShortcut.weight", "wrn_16_2"),
    ("block2.3.weight", "vgg13"),
    ("layer1.0.shortcut.1.running_mean", "cifar_resnet50"),
    ("blocks.1.0.conv.6.weight", "mobilenet_v2_half"),
    ("layer1.0.conv3.weight", "shuffle_v1"),
    ("layer1.0.conv5.weight", "shuffle_v2"),
    ("model.13.3.weight", "mobilenet_v1"),
])  # fmt: skip
def test_parameters_have_the_names_of_the_released_checkpoints(key: str, name: str) -> None:
    assert key in built(name).state_dict()


@pytest.mark.parametrize("depth", [7, 21, 2])
def test_an_impossible_resnet_depth_is_refused(depth: int) -> None:
    with pytest.raises(RecipeError, match=rf"a resnet of depth {depth} does not exist: depth must be 6n \+ 2"):
        resnet.ResNet(classes=10, depth=depth)


def test_an_impossible_wide_resnet_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"depth 20 does not exist: depth must be 6n \+ 4"):
        wrn.WideResNet(classes=10, depth=20)
    with pytest.raises(ValueError, match="widen must be at least 1, got 0"):
        wrn.WideResNet(classes=10, widen=0)
    with pytest.raises(ValueError, match=r"dropout must be at least 0 and below 1, got 1\.5"):
        wrn.WideResNet(classes=10, dropout=1.5)


def test_a_resnet_needs_four_widths() -> None:
    with pytest.raises(RecipeError, match=r"needs 4 widths .* got \[16, 32\]"):
        resnet.ResNet(classes=10, widths=(16, 32))
