"""Spectral norms and the bounds of layers against explicit matrices."""

from typing import Any

import pytest
import torch
from torch import nn

from kdzoo.functional.features import length
from kdzoo.functional.flow import flow_matrix
from kdzoo.functional.lipschitz import (
    batch_norm_bound,
    chain_bound,
    convolution_bound,
    convolution_norm,
    linear_bound,
    module_gap,
    power_iteration,
    reshaped_kernel_norm,
    residual_bound,
    spectral_norm,
)

CONVOLUTIONS = {
    "plain": {"kernel_size": 3, "padding": 1},
    "strided": {"kernel_size": 3, "stride": 2, "padding": 1},
    "pointwise": {"kernel_size": 1},
    "oblong": {"kernel_size": (1, 3), "stride": (1, 2), "padding": (0, 1)},
    "dilated": {"kernel_size": 3, "dilation": 2, "padding": 2},
    "grouped": {"kernel_size": 3, "padding": 1, "groups": 2},
}


def drawn(*shape: Any) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def explicit(layer: Any, size: Any) -> Any:
    """The convolution's matrix, a column for each input entry."""
    shape = (layer.in_channels, *size)
    inputs = torch.eye(torch.Size(shape).numel(), dtype=torch.float64).view(-1, *shape)
    return (layer(inputs) - layer(torch.zeros_like(inputs))).flatten(1).T


@pytest.fixture(params=CONVOLUTIONS)
def convolution(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(1)
    return nn.Conv2d(4, 6, **CONVOLUTIONS[request.param]).double()


def test_a_converged_norm_is_the_spectral_norm_with_its_gradient() -> None:
    matrix = drawn(5, 4, 7).requires_grad_()
    exact = torch.linalg.matrix_norm(matrix, ord=2)
    norm, vector = spectral_norm(matrix, torch.ones(4), tolerance=1e-14, most=5000)
    torch.testing.assert_close(norm, exact)
    torch.testing.assert_close(length(vector), torch.ones(5, dtype=torch.float64))
    given, expected = (torch.autograd.grad(x.sum(), matrix)[0] for x in (norm, exact))
    torch.testing.assert_close(given, expected, rtol=1e-9, atol=1e-9)


def test_the_default_tolerance_gives_the_norm_to_double_precision() -> None:
    matrix = drawn(5, 4, 7)
    torch.testing.assert_close(
        spectral_norm(matrix, torch.ones(4))[0], torch.linalg.matrix_norm(matrix, ord=2), rtol=1e-12, atol=0
    )


def test_the_iteration_rises_to_the_norm_after_its_first_step() -> None:
    matrix = drawn(5, 4, 7)
    exact = torch.linalg.matrix_norm(matrix, ord=2)
    estimates = torch.stack([power_iteration(matrix, torch.ones(4), steps=n)[0] for n in range(2, 60)])
    assert (estimates.diff(dim=0) >= -1e-12).all()
    assert (estimates <= exact + 1e-12).all()
    torch.testing.assert_close(power_iteration(matrix, torch.ones(4), steps=2000)[0], exact)


def test_both_orders_of_the_product_have_one_norm() -> None:
    matrix = drawn(5, 4, 7)
    turned = spectral_norm(matrix.transpose(1, 2), torch.ones(7))[0]
    torch.testing.assert_close(spectral_norm(matrix, torch.ones(4))[0], turned)


@pytest.mark.parametrize("norm", [spectral_norm, power_iteration])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_maps_give_finite_norms_and_gradients(norm: Any, dtype: Any) -> None:
    maps = [torch.zeros(2, c, 3, 3, dtype=dtype, requires_grad=True) for c in (3, 4)]
    ours = norm(flow_matrix(*maps), torch.ones(3))[0]
    loss = module_gap([ours], [torch.ones(2, dtype=dtype)])
    assert loss.item() == pytest.approx(0.5, abs=1e-5)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(loss, maps))


def test_equal_norms_have_no_gap_and_later_modules_count_more() -> None:
    one, two = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.0])
    assert module_gap([one, two], [one, two]) == 0
    assert module_gap([one, two], [one + 1, two]) == 0.25
    assert module_gap([one, two], [one, two + 1]) == 0.5


def test_a_linear_layer_has_the_spectral_norm() -> None:
    weight = drawn(3, 5)
    torch.testing.assert_close(linear_bound(weight), torch.linalg.svdvals(weight)[0])


@pytest.mark.parametrize("size", [(5, 6), (4, 4)])
def test_a_convolution_has_the_norm_of_its_explicit_matrix(convolution: Any, size: tuple[int, int]) -> None:
    expected = torch.linalg.matrix_norm(explicit(convolution, size), ord=2)
    torch.testing.assert_close(convolution_norm(convolution, size, most=20000, tolerance=1e-13), expected, rtol=1e-6, atol=0)


def test_the_bound_of_a_convolution_holds(convolution: Any) -> None:
    assert torch.linalg.matrix_norm(explicit(convolution, (6, 6)), ord=2) <= convolution_bound(convolution) * (1 + 1e-12)


def test_the_norm_of_a_reshaped_kernel_alone_is_no_bound() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    nn.init.ones_(layer.weight)
    assert reshaped_kernel_norm(layer.weight) < convolution_norm(layer, (8, 8))


def test_a_padding_that_is_not_zeros_is_refused() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
    with pytest.raises(ValueError, match="padding_mode must be 'zeros', got 'circular'"):
        convolution_bound(layer)
    with pytest.raises(ValueError, match="padding_mode must be 'zeros', got 'circular'"):
        convolution_norm(layer, (4, 4))


@pytest.mark.parametrize("affine", [True, False])
def test_a_batchnorm_has_its_largest_scale(affine: bool) -> None:
    layer = nn.BatchNorm2d(3, affine=affine).eval()
    layer.running_var.copy_(torch.tensor([0.25, 1.0, 4.0]))
    if affine:
        layer.weight.data.copy_(torch.tensor([1.0, -3.0, 4.0]))
    expected = 3.0 if affine else 2.0
    assert batch_norm_bound(layer).item() == pytest.approx(expected, rel=1e-3)


def test_a_batchnorm_without_running_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match="layer must keep running statistics"):
        batch_norm_bound(nn.BatchNorm2d(3, track_running_stats=False))


def test_a_residual_block_stays_below_its_bound() -> None:
    torch.manual_seed(0)
    block = (
        nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
        .double()
        .eval()
    )
    first, norm, _, second = block
    sizes = [convolution_norm(layer, (5, 5), tolerance=1e-13, most=20000) for layer in (first, second)]
    bound = residual_bound(chain_bound([sizes[0], batch_norm_bound(norm), sizes[1]]))
    a, b = drawn(2, 8, 2, 5, 5)
    stretched = length(((block(a) + a) - (block(b) + b)).flatten(1)) / length((a - b).flatten(1))
    assert (stretched <= bound).all()
    assert bound > 1
