"""WKD-L: transport between the classes that are not the label."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kdzoo_logits.wkd_logit import WKDLogit, class_distance, non_target_transport, sinkhorn_distance
from torch import nn

from kdzoo.errors import CapabilityError


def distributions() -> tuple[Any, Any]:
    return torch.randn(3, 4, dtype=torch.float64).softmax(-1), torch.randn(3, 4, dtype=torch.float64).softmax(-1)


def test_where_every_move_costs_the_same_the_distance_is_that_cost() -> None:
    source, target = distributions()
    cost = torch.full((3, 4, 4), 0.3, dtype=torch.float64)
    found = sinkhorn_distance(source, target, cost, regularization=1.0)
    torch.testing.assert_close(found, torch.full((3,), 0.3, dtype=torch.float64), rtol=1e-6, atol=0)


def test_with_little_regularization_it_is_total_variation_for_the_discrete_cost() -> None:
    source, target = distributions()
    cost = (1 - torch.eye(4, dtype=torch.float64)).expand(3, 4, 4)
    found = sinkhorn_distance(source, target, cost, regularization=0.05, iterations=500)
    torch.testing.assert_close(found, (source - target).abs().sum(-1) / 2, rtol=0, atol=1e-2)


def test_related_classes_are_near(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, target = rows
    near = non_target_transport(student, teacher, target, torch.full((5, 5), 0.1).fill_diagonal_(0))
    far = non_target_transport(student, teacher, target, torch.full((5, 5), 0.9).fill_diagonal_(0))
    assert near < far


def test_distances_between_classes_are_one_minus_cosine() -> None:
    distance = class_distance(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]]))
    torch.testing.assert_close(distance, torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]))


def test_the_cost_comes_from_the_teachers_classifier(
    make_run: Callable[..., Any], make_step: Any, rows: tuple[Any, Any, torch.Tensor]
) -> None:
    model = nn.Sequential(nn.Linear(3, 5))
    model.classifier_path = "0"
    method = WKDLogit()
    run = make_run()
    run.teacher_of, run.teachers = lambda _: "teacher", {"teacher": SimpleNamespace(model=model)}
    method.setup(run)
    torch.testing.assert_close(method.distance, class_distance(model[0].weight.detach()))
    assert "distance" in method.state_dict()
    assert not list(method.parameters())
    assert method.double().wkd_logit(make_step(*rows)).isfinite()


def test_a_teacher_without_a_model_is_refused_with_a_sentence(make_run: Callable[..., Any]) -> None:
    run = make_run()
    run.teacher_of, run.teachers = lambda _: "made_up", {"made_up": SimpleNamespace(model=None)}
    method = WKDLogit()
    method.label = "mine"
    with pytest.raises(CapabilityError, match=r"methods\.mine .* teacher 'made_up', which has no model"):
        method.setup(run)
