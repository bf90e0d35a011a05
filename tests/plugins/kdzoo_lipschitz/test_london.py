"""LONDON's terms, its start vectors, its share, and what it refuses."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from kdzoo_lipschitz.london import LONDON
from torch import nn

from kdzoo.engine.training_step import train_step
from kdzoo.errors import CapabilityError
from kdzoo.functional.flow import flow_matrix
from kdzoo.functional.margins import overhaul
from kdzoo.protocol.outputs import ENGINE, Progress
from kdzoo.testing import first_window

NET = {"use": "tiny_cnn", "widths": [4, 8]}
DEEP, DEEP_WIDER = {"use": "tiny_cnn", "widths": [4, 6, 8]}, {"use": "tiny_cnn", "widths": [6, 8, 12]}


def frozen(model: Any) -> dict[str, Any]:
    return {"use": "frozen", "model": model}


def seen(run: Any) -> Any:
    return run.view(run.step(first_window(run)[0]), run.methods["london"])


def norms(maps: Any) -> list[Any]:
    return [torch.linalg.matrix_norm(flow_matrix(a, b), ord=2) for a, b in maps]


@pytest.mark.parametrize("pairing", ["official", "connected"])
def test_the_term_is_the_squared_gap_of_exact_norms_halved_per_module(pairing: str, running: Any) -> None:
    run = running({"pairing": pairing}, student=DEEP, teacher=frozen(DEEP_WIDER))
    step, method = seen(run), run.methods["london"]
    raw, teacher = list(step.student.features.values()), list(step.teacher.features.values())
    connected = [connector(x) for connector, x in zip(method.connectors, raw, strict=True)]
    after = raw if pairing == "official" else connected
    gaps = [
        (s - t).square().mean()
        for s, t in zip(norms(zip(connected[:-1], after[1:], strict=True)), norms(pairwise(teacher)), strict=True)
    ]
    torch.testing.assert_close(method.lipschitz(step), gaps[0] / 4 + gaps[1] / 2, rtol=1e-4, atol=1e-8)


def test_the_other_term_is_the_overhaul(running: Any) -> None:
    run = running()
    step, method = seen(run), run.methods["london"]
    connected = [connector(x) for connector, x in zip(method.connectors, step.student.features.values(), strict=True)]
    expected = overhaul(connected, list(step.teacher.features.values()), [method.margin0, method.margin1])
    torch.testing.assert_close(method.ofd(step), expected)


def test_a_student_with_the_teachers_maps_has_no_gap(running: Any) -> None:
    run = running({"pairing": "connected"}, student=NET, teacher=frozen(NET))
    run.teachers["teacher"].model.load_state_dict(run.student.state_dict())
    run.student.eval()
    method = run.methods["london"]
    method.connectors = nn.ModuleList([nn.Identity(), nn.Identity()])
    assert method.lipschitz(seen(run)).item() < 1e-9


@pytest.mark.parametrize(
    "settings", [{}, {"gradient": "unrolled"}, {"gradient": "unrolled", "start": "drawn"}, {"start": "ones"}]
)
def test_a_step_trains_the_student_and_the_connectors(settings: dict[str, Any] | dict[str, str], running: Any) -> None:
    run = running(settings)
    step, method = seen(run), run.methods["london"]
    wanted = [*run.student.parameters(), *method.connectors.parameters()]
    found = torch.autograd.grad(method.lipschitz(step), wanted, allow_unused=True)
    assert found[0] is not None
    assert method.connectors[0][0].weight.grad_fn is None
    assert all(torch.isfinite(g).all() for g in found if g is not None)
    assert sum(g.abs().sum() for g in found if g is not None) > 0


def test_one_unrolled_step_is_not_the_exact_norm(running: Any) -> None:
    exact, rough = (
        running(s).methods["london"].lipschitz(seen(running(s))) for s in ({}, {"gradient": "unrolled", "iterations": 1})
    )
    assert not torch.isclose(exact, rough, rtol=1e-3)


def test_a_step_turns_the_shared_start_into_the_vectors_found(running: Any) -> None:
    run = running()
    method = run.methods["london"]
    before = method.start0.clone()
    run.progress = Progress(0, 1, 0, 10)
    train_step(run, first_window(run)[0])
    assert not torch.allclose(method.start0, before)
    torch.testing.assert_close(method.start0.norm(), torch.tensor(1.0))
    assert "start0" in dict(method.named_buffers())


@pytest.mark.parametrize("start", ["drawn", "ones"])
def test_other_starts_are_no_state(start: str, running: Any) -> None:
    run = running({"start": start})
    before = run.methods["london"].start0.clone()
    run.progress = Progress(0, 1, 0, 10)
    train_step(run, first_window(run)[0])
    assert torch.equal(run.methods["london"].start0, before)


def ended(run: Any, epoch: Any) -> Any:
    """A step that ends an epoch of one batch."""
    run.progress = Progress(epoch, 3, 0, 1)
    train_step(run, first_window(run)[0])
    return run.notes["london.lipschitz_share"]


def test_the_share_of_the_lipschitz_part_in_the_total_is_noted(running: Any) -> None:
    """Of all methods, as the log has it: a large share of LONDON's own loss may be a small one of the total."""
    run = running({"weights": {"ofd": 1e-3, "lipschitz": 1e-3}})
    step = run.step(first_window(run)[0])
    run.total(step)
    parts = {name: abs(_weight(run, name) * value.item()) for name, value in step.stash[ENGINE].items()}
    assert len({name.partition(".")[0] for name in parts}) > 1, "another method is there"
    assert ended(run, 0) == pytest.approx(parts["london.lipschitz"] / sum(parts.values()), rel=1e-3)


def _weight(run: Any, name: str) -> float:
    label, _, part = name.partition(".")
    return float(run.weights_now[label][part])


def test_a_large_share_is_warned_about_once(running: Any) -> None:
    run = running({"weights": {"ofd": 1e-9, "lipschitz": 1e3}})
    with pytest.warns(UserWarning, match=r"methods\.london: the Lipschitz part is \d+% of the total loss"):
        assert ended(run, 0) > 0.2
    assert ended(run, 1) > 0.2  # a second warning would be an error


def test_features_without_positions_are_refused(running: Any) -> None:
    with pytest.raises(CapabilityError, match=r"methods\.london compares feature maps .* tap '.*' of the student has shape"):
        running(student={"use": "mlp", "hidden": [16, 8]}, teacher=frozen(NET))


def test_one_map_is_refused(running: Any) -> None:
    taps = {"student_taps": ["stage1.preact"], "teacher_taps": ["stage1.preact"]}
    with pytest.raises(CapabilityError, match=r"at least two of the student's taps .* there are 1 \(stage1\.preact\) and 1"):
        running(taps)


def test_unequal_numbers_of_maps_are_refused(running: Any) -> None:
    with pytest.raises(CapabilityError, match=r"there are 2 \(.*\) and 3 \(.*\)"):
        running(student=NET, teacher=frozen(DEEP))


def test_margins_need_a_batchnorm_with_scale_and_shift(running: Any) -> None:
    run = running()
    run.teachers["teacher"].model.body[0][1] = nn.BatchNorm2d(6, affine=False)
    with pytest.raises(CapabilityError, match=r"BatchNorm before tap 'stage1\.preact' of the teacher"):
        run.methods["london"].setup(run)


def test_no_iteration_is_refused() -> None:
    with pytest.raises(ValueError, match="iterations must be at least 1, got 0"):
        LONDON(iterations=0)
