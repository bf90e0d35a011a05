"""BYOT: exits on the earlier stages that learn from the last one."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from kdzoo.errors import CapabilityError
from kdzoo.models.tiny import TinyCNN

from .conftest import Running, seen

STUDENT = {"use": "tiny_cnn", "widths": [4, 6, 8]}


@pytest.fixture
def run(running: Running) -> Any:
    return running("byot", student=STUDENT)


def test_each_exit_learns_the_labels_and_the_last_answer(run: Any) -> None:
    method, step = run.methods["byot"].eval(), seen(run, "byot")
    rows, t = step.student.rows, 3.0
    exits = [head(step.student.features[tap])[1] for head, tap in zip(method.exits, ("stage1", "stage2"), strict=True)]
    torch.testing.assert_close(method.labels(step), sum(functional.cross_entropy(z, rows.target) for z in exits))
    goal = (rows.logits / t).softmax(1)
    torch.testing.assert_close(method.soft(step), sum(functional.cross_entropy(z / t, goal) for z in exits))


def test_all_but_the_last_exit_imitate_the_pooled_vector_over_the_whole_batch(run: Any) -> None:
    method, step = run.methods["byot"].eval(), seen(run, "byot")
    first = method.exits[0](step.student.features["stage1"])[0]
    torch.testing.assert_close(method.features(step), torch.dist(first, step.student.features["pooled"]))


def test_the_last_answer_is_a_fixed_target(run: Any) -> None:
    method, step = run.methods["byot"], seen(run, "byot")
    total = method.soft(step) + method.features(step)
    by_classifier = torch.autograd.grad(total, run.student.fc.weight, allow_unused=True)
    assert by_classifier == (None,)


def test_attention_weighs_the_positions_of_the_map(run: Any) -> None:
    exit_, x = run.methods["byot"].exits[0].eval(), torch.randn(2, 4, 4, 4)
    up = functional.interpolate(exit_.attention(x).relu(), scale_factor=2, mode="bilinear", align_corners=False)
    features = exit_.scale(x * up.sigmoid()).mean((2, 3))
    torch.testing.assert_close(exit_(x)[1], exit_.classifier(features))


def test_exits_pass_through_the_shapes_of_the_later_stages(run: Any) -> None:
    exit_, x = run.methods["byot"].exits[0].eval(), torch.randn(2, 4, 4, 4)
    shapes = [tuple(x.shape[1:])]
    for layer in exit_.scale:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 4, 4), (6, 2, 2), (8, 1, 1)]


def test_the_exits_are_thrown_away(run: Any) -> None:
    assert run.deployed() is run.student
    assert isinstance(run.student, TinyCNN)


def test_weights_are_those_of_the_authors_code(run: Any) -> None:
    assert run.weights_now["byot"] == {"labels": 0.7, "soft": 0.3, "features": 0.03}


@pytest.mark.parametrize("student", [{"use": "mlp", "hidden": [8, 8]}, {"use": "tiny_cnn", "widths": [4]}])
def test_a_network_without_earlier_maps_is_refused(running: Running, student: dict[str, list[int] | str]) -> None:
    with pytest.raises(CapabilityError, match=r"methods.byot puts classifiers on the maps before a network's last stage"):
        running("byot", student=student)
