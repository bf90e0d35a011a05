"""Losses between feature maps, in closed form and at their limits."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from kdzoo.functional.attention import attention_map, attention_transfer, attention_transfer_norm
from kdzoo.functional.channels import (
    channel_correlation,
    channel_distribution,
    channel_moments,
    generated_gap,
    many_to_one,
    neuron_selectivity,
    pearson_features,
)
from kdzoo.functional.class_maps import class_attention, class_attention_unit, class_maps
from kdzoo.functional.factors import factor_attention, factor_transfer, factor_transfer_norm
from kdzoo.functional.features import length, pooled, same_size, standardized, unit
from kdzoo.functional.flow import flow_matrix, positions_by_channels, right_singular, rows_by_width, singular_relation
from kdzoo.functional.information import variational_information
from kdzoo.functional.margins import activation_boundary, negative_margin, partial_distance
from kdzoo.functional.review import hierarchical_context


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor | float, b: Tensor | float) -> None:
    torch.testing.assert_close(torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64))


@pytest.fixture
def teacher() -> Tensor:
    return maps(4, 3, 6, 6)


GAPS = {
    "at": attention_transfer,
    "nst": neuron_selectivity,
    "cwd": channel_distribution,
    "pkd": pearson_features,
    "ickd": channel_correlation,
    "ft": factor_transfer,
    "ft_attention": factor_attention,
    "hcl": hierarchical_context,
    "mgd": generated_gap,
    "norm": many_to_one,
    "cat": class_attention,
    "cat_unit": class_attention_unit,
}
SCALE_FREE = ("at", "nst", "pkd", "ickd", "ft", "ft_attention", "cat_unit")


@pytest.mark.parametrize("name", GAPS)
def test_identical_maps_give_zero_loss(name: str, teacher: Tensor) -> None:
    close(GAPS[name](teacher.clone(), teacher), 0.0)


@pytest.mark.parametrize("name", GAPS)
def test_other_maps_give_a_positive_loss(name: str, teacher: Tensor) -> None:
    assert GAPS[name](maps(4, 3, 6, 6, seed=1), teacher) > 1e-4


@pytest.mark.parametrize("name", SCALE_FREE)
def test_a_louder_student_is_no_worse(name: str, teacher: Tensor) -> None:
    assert GAPS[name](3 * teacher, teacher).abs() < 1e-9


@pytest.mark.parametrize("name", ["at", "nst", "ft_attention"])
def test_channels_may_differ_and_their_order_is_nothing(name: str, teacher: Tensor) -> None:
    doubled = teacher.repeat(1, 2, 1, 1)[:, torch.randperm(6)]
    close(GAPS[name](doubled, teacher), 0.0)


@pytest.mark.parametrize("name", ["at", "nst", "cwd", "ft"])
def test_the_larger_map_is_average_pooled(name: str, teacher: Tensor) -> None:
    small = torch.nn.functional.avg_pool2d(teacher, 2)
    close(GAPS[name](small, teacher), 0.0)
    close(GAPS[name](teacher, small), 0.0)


def test_sizes_are_matched_side_by_side() -> None:
    student, teacher = same_size(torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 8, 3))
    assert student.shape == teacher.shape == (1, 1, 4, 3)


def test_a_zero_vector_stays_zero_and_others_become_unit() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert unit(x).tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]
    assert length(x)[1] == 5


def test_standardized_values_have_mean_zero_and_deviation_one() -> None:
    z = standardized(maps(50, 2), 0)
    close(z.mean(0), torch.zeros(2))
    close(z.std(0), torch.ones(2))
    assert standardized(torch.ones(5, 2), 0).abs().max() == 0


def test_pooled_is_the_mean_over_positions_and_passes_vectors() -> None:
    x = maps(2, 3, 4, 4)
    close(pooled(x), x.mean((2, 3)))
    assert pooled(x[:, :, 0, 0]).shape == (2, 3)


def test_attention_on_one_position_each_is_two_over_the_positions() -> None:
    student, teacher = torch.zeros(1, 2, 2, 2), torch.zeros(1, 5, 2, 2)
    student[0, :, 0, 0], teacher[0, :, 1, 1] = 3.0, -1.0
    close(attention_transfer(student, teacher), 2 / 4)
    close(attention_transfer_norm(student, teacher), math.sqrt(2))


def test_attention_of_odd_power_ignores_signs() -> None:
    x = maps(2, 3, 4, 4)
    close(attention_map(x, power=3), attention_map(x.abs(), power=3))


def test_selectivity_of_orthogonal_patterns_is_the_mean_of_both_kernels() -> None:
    student, teacher = torch.eye(4).view(1, 4, 2, 2)[:, :2], torch.eye(4).view(1, 4, 2, 2)[:, 2:]
    close(neuron_selectivity(student, teacher), 0.5 + 0.5)


def test_channel_distribution_is_the_kl_of_softmaxed_channels(teacher: Tensor) -> None:
    student = maps(4, 3, 6, 6, seed=1)
    p, q = (Categorical(logits=x.flatten(2) / 3) for x in (teacher, student))
    close(channel_distribution(student, teacher, temperature=3.0), 9 * kl_divergence(p, q).mean())
    close(channel_distribution(student + maps(4, 3, 1, 1), teacher), channel_distribution(student, teacher))


def test_pearson_features_is_one_minus_the_correlation(teacher: Tensor) -> None:
    student = maps(4, 3, 6, 6, seed=1)
    n = 4 * 6 * 6
    rho = [np.corrcoef(student[:, c].flatten(), teacher[:, c].flatten())[0, 1] for c in range(3)]
    close(pearson_features(student, teacher, eps=0.0), (n - 1) / n * (1 - np.mean(rho)))


def test_pearson_features_resizes_the_student_bilinearly(teacher: Tensor) -> None:
    small = maps(4, 3, 3, 3)
    resized = torch.nn.functional.interpolate(small, size=(6, 6), mode="bilinear")
    close(pearson_features(small, teacher), pearson_features(resized, teacher))


def test_channel_correlation_does_not_see_positions(teacher: Tensor) -> None:
    shuffled = teacher.flatten(2)[:, :, torch.randperm(36)].view(4, 3, 6, 6)
    close(channel_correlation(shuffled, teacher), 0.0)


def test_orthogonal_against_equal_channels_give_the_gap_of_their_correlations() -> None:
    apart, same = torch.eye(4)[:2].view(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    expected = (1 - math.sqrt(0.5)) ** 2 + 0.5
    close(channel_correlation(apart, same), expected)


def test_a_shift_moves_means_and_a_spread_moves_deviations(teacher: Tensor) -> None:
    means, deviations = channel_moments(teacher + 0.5, teacher, mean_weight=4.0)
    close(means, 4 * 3 * 0.25)
    close(deviations, 0.0)
    centered = teacher - teacher.mean((2, 3), keepdim=True)
    means, deviations = channel_moments(2 * centered, centered, eps=0.0)
    close(means, 0.0)
    close(deviations, centered.flatten(2).var(2).sum(1).mean())


def test_a_single_position_has_no_spread() -> None:
    means, deviations = channel_moments(torch.ones(2, 3, 1, 1), torch.zeros(2, 3, 1, 1))
    close(means, 4.0 * 3)
    close(deviations, 0.0)


def test_every_copy_of_many_to_one_counts(teacher: Tensor) -> None:
    copies = teacher.repeat(1, 4, 1, 1)
    close(many_to_one(copies, teacher), 0.0)
    copies[:, :3] += 1
    close(many_to_one(copies, teacher), 1.0)
    large = torch.nn.functional.interpolate(teacher, scale_factor=2, mode="nearest")
    close(many_to_one(copies, large), 1.0)


def test_factors_of_opposite_sign_are_two_apart() -> None:
    x = torch.ones(2, 1, 2, 2)
    close(factor_transfer(-x, x), 1.0)
    close(factor_transfer_norm(-x, x), 2.0)


def test_vid_is_the_gaussian_likelihood_without_its_constant(teacher: Tensor) -> None:
    mean, log_scale = maps(4, 3, 6, 6, seed=1), maps(3)
    variance = (torch.nn.functional.softplus(log_scale) + 1e-5).view(1, 3, 1, 1).expand_as(teacher)
    expected = torch.nn.functional.gaussian_nll_loss(mean, teacher, variance)
    close(variational_information(mean, teacher, log_scale), expected)


def test_flow_is_the_mean_outer_product_of_the_channels() -> None:
    a, b = maps(2, 3, 4, 4), maps(2, 5, 4, 4, seed=1)
    expected = torch.stack([a[:, :, i, j, None] * b[:, None, :, i, j] for i in range(4) for j in range(4)]).mean(0)
    close(flow_matrix(a, b), expected)
    assert flow_matrix(a, b[:, :, :2, :2]).shape == (2, 3, 5)


def test_right_singular_vectors_are_the_librarys() -> None:
    matrix = maps(2, 6, 4)
    vectors, values = right_singular(matrix, 2)
    _, s, v = torch.linalg.svd(matrix)
    close(values, s[:, :2])
    close(vectors.transpose(1, 2), v[:, :2])


@pytest.mark.parametrize("matrix", [positions_by_channels, rows_by_width])
def test_the_singular_relation_does_not_see_the_students_signs(matrix: Any, teacher: Tensor) -> None:
    layers = [matrix(teacher), matrix(maps(4, 3, 6, 6, seed=1))]
    close(singular_relation(layers, layers), torch.zeros(1))
    close(singular_relation([-layers[0], layers[1]], layers), torch.zeros(1))


def test_boundaries_count_only_where_the_student_is_on_the_wrong_side() -> None:
    teacher = torch.tensor([1.0, 1.0, -1.0, -1.0]).view(1, 1, 2, 2)
    student = torch.tensor([5.0, 0.0, -5.0, 0.5]).view(1, 1, 2, 2)
    close(activation_boundary(student, teacher), 1.0 + 1.5**2)


def test_the_negative_margin_is_the_mean_of_the_negative_part() -> None:
    mean, deviation = torch.tensor([0.3, -0.5], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    x = torch.linspace(-30, 0, 400001, dtype=torch.float64)[:, None]
    density = (-(((x - mean) / deviation) ** 2) / 2).exp()
    torch.testing.assert_close(negative_margin(mean, deviation), (x * density).sum(0) / density.sum(0), rtol=1e-4, atol=1e-4)


def test_a_channel_that_is_hardly_ever_negative_has_minus_three_deviations() -> None:
    assert negative_margin(torch.tensor([10.0]), torch.tensor([-0.5])).tolist() == [-1.5]
    assert negative_margin(torch.zeros(1), torch.zeros(1)).isfinite().all()


def test_partial_distance_forgives_a_student_below_a_switched_off_teacher() -> None:
    teacher = torch.tensor([2.0, -3.0, -0.5, -0.5]).view(1, 1, 2, 2)
    student = torch.tensor([1.0, 0.0, -2.0, 1.0]).view(1, 1, 2, 2)
    close(partial_distance(student, teacher, torch.tensor([-1.0])), 1.0 + 1.0 + 0.0 + 1.5**2)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 8])
def test_a_constant_gap_costs_its_square_at_every_size(side: int) -> None:
    teacher = maps(2, 3, side, side)
    close(hierarchical_context(teacher + 0.5, teacher), 0.25)


def test_context_weighs_coarse_scales_less() -> None:
    gap = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4).view(1, 1, 8, 8)
    close(hierarchical_context(gap, torch.zeros_like(gap)), 1 / (1 + 0.5 + 0.25 + 0.125))


def test_the_mean_of_a_class_map_is_the_logit() -> None:
    features, weight, bias = maps(2, 3, 4, 4), maps(5, 3), maps(5)
    close(class_maps(features, weight, bias).mean((2, 3)), torch.nn.functional.linear(features.mean((2, 3)), weight, bias))


def test_class_maps_of_any_size_are_compared_at_the_resolution() -> None:
    student, teacher = torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 8, 8)
    close(class_attention(student, teacher, resolution=2), 1.0)
    close(class_attention_unit(student, torch.ones_like(teacher), resolution=2), 0.0)
