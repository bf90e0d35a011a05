"""Every feature loss in both tensors, to second order and in forward mode, and at the places where roots and norms break."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from kdzoo.functional.attention import attention_transfer, attention_transfer_norm
from kdzoo.functional.channels import (
    channel_correlation,
    channel_distribution,
    channel_moments,
    generated_gap,
    many_to_one,
    neuron_selectivity,
    pearson_features,
)
from kdzoo.functional.class_maps import class_attention, class_attention_unit
from kdzoo.functional.contrast import memory_scores, noise_contrast
from kdzoo.functional.factors import factor_attention, factor_transfer, factor_transfer_norm
from kdzoo.functional.features import mean_squared_error
from kdzoo.functional.flow import flow_matrix, positions_by_channels, singular_relation
from kdzoo.functional.information import correlation_information, mutual_information, variational_information
from kdzoo.functional.margins import activation_boundary, partial_distance
from kdzoo.functional.relations import (
    angle_relation,
    correlation_congruence,
    distance_relation,
    neighbor_correlation,
    probability_transfer,
    similarity_preserving,
)
from kdzoo.functional.review import hierarchical_context
from kdzoo.functional.self_supervision import transformation_similarity

Loss = Callable[[Tensor, Tensor], Tensor]
MAPS, VECTORS = (3, 2, 3, 3), (4, 5)
ROWS = torch.tensor([[0, 1, 2], [1, 3, 0], [2, 0, 3], [3, 2, 1]])

ON_MAPS: dict[str, Loss] = {
    "at": attention_transfer,
    "at_odd": lambda s, t: attention_transfer(s, t, power=3),
    "at_norm": attention_transfer_norm,
    "nst": neuron_selectivity,
    "cwd": channel_distribution,
    "pkd": pearson_features,
    "ickd": channel_correlation,
    "wkd": lambda s, t: sum(channel_moments(s, t)),
    "norm": many_to_one,
    "mgd": generated_gap,
    "cat": class_attention,
    "cat_unit": class_attention_unit,
    "ft": factor_transfer,
    "ft_norm": factor_transfer_norm,
    "ft_attention": factor_attention,
    "hint": mean_squared_error,
    "fsp": lambda s, t: mean_squared_error(flow_matrix(s, s[:, :, :2, :2]), flow_matrix(t, t[:, :, :2, :2])),
    "vid": lambda s, t: variational_information(s, t, s[0, :, 0, 0]),
    "ab": activation_boundary,
    "ofd": lambda s, t: partial_distance(s, t, torch.tensor([-0.5, -1.0], dtype=s.dtype)),
    "hcl": hierarchical_context,
    "sp": similarity_preserving,
}
ON_VECTORS: dict[str, Loss] = {
    "rkd_distance": distance_relation,
    "rkd_angle": angle_relation,
    "pkt": probability_transfer,
    "cc": correlation_congruence,
    "cc_neighbors": neighbor_correlation,
    "itrd_correlation": correlation_information,
    "itrd_mutual": mutual_information,
    "crd": lambda s, t: noise_contrast(memory_scores(s, t, ROWS, temperature=1.0), 4),
    "sskd": lambda s, t: (transformation_similarity(s, s[:2]) - transformation_similarity(t, t[:2])).square().sum(),
}
CASES = [(loss, MAPS) for loss in ON_MAPS.values()] + [(loss, VECTORS) for loss in ON_VECTORS.values()]
every_loss = pytest.mark.parametrize(("loss", "shape"), CASES, ids=[*ON_MAPS, *ON_VECTORS])


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@every_loss
def test_gradients_are_those_of_finite_differences_in_both_modes(loss: Loss, shape: tuple[int, ...]) -> None:
    assert gradcheck(loss, (drawn(shape, 0), drawn(shape, 1)), check_forward_ad=True, fast_mode=True)


@every_loss
def test_second_derivatives_are_those_of_finite_differences(loss: Loss, shape: tuple[int, ...]) -> None:
    assert gradgradcheck(loss, (drawn(shape, 0), drawn(shape, 1)), fast_mode=True)


@every_loss
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_features_leave_loss_and_both_derivatives_finite(loss: Loss, shape: tuple[int, ...], value: float) -> None:
    student, teacher = torch.full(shape, value, requires_grad=True), torch.full(shape, value, requires_grad=True)
    total = loss(student, teacher)
    first = torch.autograd.grad(total, (student, teacher), create_graph=True, materialize_grads=True)
    assert total.isfinite()
    assert all(grad.isfinite().all() for grad in first)
    again = [grad.sum() for grad in first if grad.requires_grad]
    if again:
        second = torch.autograd.grad(sum(again), (student, teacher), materialize_grads=True)
        assert all(grad.isfinite().all() for grad in second)


@every_loss
def test_identical_features_leave_loss_and_gradient_finite(loss: Loss, shape: tuple[int, ...]) -> None:
    teacher = drawn(shape, 0).detach().float().relu()
    student = teacher.clone().requires_grad_()
    total = loss(student, teacher)
    assert total.isfinite()
    assert torch.autograd.grad(total, student)[0].isfinite().all()


@every_loss
def test_half_precision_features_are_compared_in_float32(loss: Loss, shape: tuple[int, ...]) -> None:
    student, teacher = drawn(shape, 0).detach().bfloat16(), drawn(shape, 1).detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        given = loss(student, teacher)
    assert given.dtype == torch.float32
    torch.testing.assert_close(given, loss(student.float(), teacher.float()))


def test_singular_vectors_have_the_gradient_of_the_librarys_decomposition() -> None:
    student = [positions_by_channels(drawn((2, 3, 2, 2), seed)) for seed in (0, 1)]
    teacher = [positions_by_channels(drawn((2, 3, 2, 2), seed).detach()) for seed in (2, 3)]

    def loss(*maps: Tensor) -> Tensor:
        return singular_relation(maps, teacher, rank=1, spare=1)

    assert gradcheck(loss, [m.detach().requires_grad_() for m in student], check_forward_ad=True)


def test_repeated_singular_values_give_finite_gradients() -> None:
    flat = torch.ones(2, 4, 3, requires_grad=True)
    dead = torch.zeros(2, 4, 3, requires_grad=True)
    loss = singular_relation([flat, dead], [torch.ones(2, 4, 3), torch.eye(4, 3).expand(2, 4, 3)]).sum()
    grads = torch.autograd.grad(loss, (flat, dead))
    assert loss.isfinite()
    assert all(grad.isfinite().all() for grad in grads)
