"""The bound from one tap to another: exact for linear chains, never below what inputs show, refused where it is not known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kdzoo_lipschitz.module_bound import UnboundedError, module_bound
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.functional.lipschitz import batch_norm_bound, convolution_norm
from kdzoo.models.resnet import ResNet
from kdzoo.models.tiny import MLP, TinyCNN


class Pooled(nn.Sequential):
    """A network whose largest values are taken from windows that overlap."""

    taps = {"stage1": "0", "stage2": "3", "stage3": "5"}  # noqa: RUF012

    def __init__(self) -> None:
        layers = [nn.Conv2d(4, 5, 3), nn.MaxPool2d(3, 2, 1), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.AvgPool2d(3, 2, 1)]
        super().__init__(nn.Conv2d(3, 4, 3), *layers)


def settled(model: nn.Module, seed: int = 0) -> nn.Module:
    """In eval mode, with weights and running statistics that are the same each time, and not those of a new model."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_var, 0.5), (module.weight.data, -1.0), (module.running_mean, -1.0)):
                assert tensor is not None
                tensor.copy_(low + 2 * torch.rand(tensor.shape, generator=generator).clamp_min(0.1))
    return model.eval()


def stretched(model: nn.Module, first: str, second: str, images: Tensor) -> float:
    """The largest ratio of distances that some pairs of images show."""
    kept: dict[str, Tensor] = {}
    paths = {name: dict(model.named_modules())[model.taps[name]] for name in (first, second)}  # type: ignore[index, operator, misc]
    hooks = [path.register_forward_hook(lambda _, __, out, name=name: kept.update({name: out})) for name, path in paths.items()]  # type: ignore[misc]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    before, after = (kept[name].flatten(1) for name in (first, second))
    return ((after - after.roll(1, 0)).norm(dim=1) / (before - before.roll(1, 0)).norm(dim=1)).max().item()


def test_a_chain_has_the_product_of_its_layers() -> None:
    model = settled(TinyCNN(classes=3, channels=1, widths=(4, 6)))
    found = module_bound(model, "stage1", "stage2", torch.zeros(1, 4, 7, 7))
    layer, norm = model.body[1][0], model.body[1][1]  # type: ignore[index]
    torch.testing.assert_close(found, (convolution_norm(layer, (7, 7)) * batch_norm_bound(norm)).item(), rtol=5e-3, atol=0)


def test_rectifiers_before_and_after_change_nothing() -> None:
    model, feature = settled(TinyCNN(classes=3, channels=1, widths=(4, 6))), torch.zeros(1, 4, 7, 7)
    assert module_bound(model, "stage1.preact", "stage2.preact", feature) == module_bound(model, "stage1", "stage2", feature)


def test_a_vector_goes_through_linear_layers() -> None:
    model = MLP(classes=3, channels=1, size=4, hidden=(6, 5)).eval()
    weight = model.body[1][0].weight  # type: ignore[index, union-attr]
    found = module_bound(model, "stage1", "stage2", torch.zeros(1, 6))
    torch.testing.assert_close(found, torch.linalg.matrix_norm(weight, ord=2).item(), rtol=1e-5, atol=0)


def test_a_sum_adds_its_parts_and_a_shortcut_counts_1() -> None:
    model = settled(ResNet(classes=3, depth=8, widths=(4, 4, 4, 8)))
    found = module_bound(model, "stem", "stage1", torch.zeros(1, 4, 8, 8))
    block = model.layer1[0]  # type: ignore[index]
    parts = [convolution_norm(layer, (8, 8)) for layer in (block.conv1, block.conv2)]
    parts += [batch_norm_bound(layer) for layer in (block.bn1, block.bn2)]
    torch.testing.assert_close(found, torch.stack(parts).prod().item() + 1, rtol=5e-3, atol=0)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (TinyCNN(classes=3, widths=(4, 6, 8)), 16),
        (ResNet(classes=3, depth=14, widths=(4, 4, 6, 8)), 16),
        (Pooled(), 16),
    ],
    ids=["tiny_cnn", "resnet", "pooled"],
)
@pytest.mark.parametrize("stages", [("stage1", "stage2"), ("stage2", "stage3"), ("stage1", "stage3")])
def test_no_pair_of_images_is_stretched_by_more(model: nn.Module, size: int, stages: tuple[str, str]) -> None:
    model = settled(model)
    images = torch.randn(32, 3, size, size, generator=torch.Generator().manual_seed(1))
    kept: list[Tensor] = []
    hook = dict(model.named_modules())[model.taps[stages[0]]].register_forward_hook(lambda *given: kept.append(given[2]))  # type: ignore[index, operator]
    model(images)
    hook.remove()
    assert stretched(model, *stages, images) <= module_bound(model, *stages, kept[0][:1]) * 1.001


class Squared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).square())


class Twofold(Squared):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.cat([self.first(x)[:, :2], x[:, :1]], 1))


class Looking(Squared):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(x) if self.first(x).sum() > 0 else x


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Squared(), "the constant of square is not known"),
        (Twofold(), "the constant of getitem is not known"),
        (Looking(), "Looking cannot be traced by torch.fx"),
    ],
)
def test_what_has_no_known_constant_has_no_bound(model: nn.Module, expected: str) -> None:
    with pytest.raises(UnboundedError, match=expected):
        module_bound(model.eval(), "first", "second", torch.zeros(1, 3))


def test_taps_in_the_wrong_order_have_no_bound() -> None:
    model = settled(TinyCNN(classes=3, channels=1, widths=(4, 6)))
    with pytest.raises(UnboundedError, match="does not come from 'stage2' alone"):
        module_bound(model, "stage2", "stage1", torch.zeros(1, 6, 4, 4))


class Between(nn.Module):
    """A module between two that do nothing."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.first, self.module, self.last = nn.Identity(), module, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.module(self.first(x)))


class Applied(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function, self.inner = function, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.inner)


@pytest.mark.parametrize(
    "module",
    [
        Applied(lambda x, f: x + x),
        Applied(lambda x, f: torch.cat([x, x, f(x)], 1)),
        Applied(lambda x, f: torch.add(x, f(x), alpha=5)),
        Applied(lambda x, f: x + 3.0),
        Applied(lambda x, f: F.adaptive_avg_pool2d(x, 12)),
        Applied(lambda x, f: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        nn.AdaptiveAvgPool2d(12),
        nn.AdaptiveAvgPool2d((5, 4)),
        nn.AvgPool2d(2, divisor_override=1),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.LeakyReLU(2.0),
        nn.LeakyReLU(-3.0),
        nn.MaxPool2d(2, dilation=2, stride=2),
        nn.MaxPool2d(3, stride=1),
        nn.Conv2d(2, 6, 2, padding=1, groups=2),
        nn.Conv2d(2, 4, 2, padding=1, dilation=2, groups=2),
    ],
)
def test_no_module_stretches_more_than_its_bound(module: nn.Module) -> None:
    torch.manual_seed(0)
    model = Between(module).double().eval()
    found = module_bound(model, "first", "last", torch.zeros(1, 2, 7, 6, dtype=torch.float64))
    points = torch.randn(20, 1, 2, 7, 6, dtype=torch.float64)
    jacobians = [torch.autograd.functional.jacobian(model, x).flatten(0, 3).flatten(1) for x in points]
    largest = max(torch.linalg.matrix_norm(j, ord=2).item() for j in jacobians)
    assert largest <= found * (1 + 1e-6)


@pytest.mark.parametrize(
    "module", [nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(2, track_running_stats=False)]
)
def test_a_layer_without_a_known_constant_has_no_bound(module: nn.Module) -> None:
    with pytest.raises(UnboundedError, match=f"the constant of {type(module).__name__} is not known"):
        module_bound(Between(module).eval(), "first", "last", torch.zeros(1, 2, 7, 6))
