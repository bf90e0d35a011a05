"""Every loss to second order, in student and teacher, in forward mode, and under vmap: meta-gradients need all of it."""

from typing import Any

import pytest
import torch
from kdzoo_logits.mean_teacher import probability_gap
from kdzoo_logits.mlkd import batch_level, class_level
from kdzoo_logits.skd import direction_gap
from kdzoo_logits.wkd_logit import non_target_transport
from torch.autograd import gradcheck, gradgradcheck

from kdzoo.functional.correlation import inter_class, intra_class
from kdzoo.functional.decoupled_kd import non_target_kl, target_class_kl
from kdzoo.functional.divergence import soft_cross_entropy, softened_kl
from kdzoo.functional.labels import cross_entropy
from kdzoo.functional.normalized_kd import confident_label_loss, non_target_cross_entropy
from kdzoo.functional.refined_logits import masked_correlation_kl, sample_confidence_kl
from kdzoo.functional.standardize import standardize
from kdzoo.functional.transformed_teacher import flatness, transformed_kl_rows

TARGET = torch.tensor([0, 3, 1])
COST = 1 - torch.eye(4, dtype=torch.float64) / 2

LOSSES = {
    "kd": softened_kl,
    "soft_cross_entropy": soft_cross_entropy,
    "hard_cross_entropy": lambda s, t: cross_entropy(s, TARGET) + 0 * t.sum(),
    "tckd": lambda s, t: target_class_kl(s, t, TARGET),
    "nckd": lambda s, t: non_target_kl(s, t, TARGET),
    "nkd_label": lambda s, t: confident_label_loss(s, t, TARGET),
    "nkd_others": lambda s, t: non_target_cross_entropy(s, t, TARGET),
    "dist_inter": inter_class,
    "dist_intra": intra_class,
    "ttm": lambda s, t: transformed_kl_rows(s, t).mean(),
    "wttm": lambda s, t: (flatness(t) * transformed_kl_rows(s, t)).mean(),
    "scd": lambda s, t: sample_confidence_kl(s, t, TARGET),
    "mcd": lambda s, t: masked_correlation_kl(s, t, TARGET),
    "mlkd_batch": batch_level,
    "mlkd_class": class_level,
    "wkd_logit": lambda s, t: non_target_transport(s, t, TARGET, COST, regularization=0.5, iterations=5),
    "mean_teacher": probability_gap,
    "skd_direction": direction_gap,
    "lskd": lambda s, t: softened_kl(standardize(s), standardize(t)),
}


@pytest.fixture
def pair() -> Any:
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(3, 4, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences_in_both_modes(name: str, pair: Any) -> None:
    assert gradcheck(LOSSES[name], pair, check_forward_ad=True)


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivatives_are_those_of_finite_differences(name: str, pair: Any) -> None:
    assert gradgradcheck(LOSSES[name], pair)


@pytest.mark.parametrize("name", LOSSES)
def test_vmap_gives_what_a_loop_gives(name: str) -> None:
    students, teachers = torch.randn(2, 5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).unbind()
    each = torch.stack([LOSSES[name](s, t) for s, t in zip(students, teachers, strict=True)])
    torch.testing.assert_close(torch.vmap(LOSSES[name])(students, teachers), each)
