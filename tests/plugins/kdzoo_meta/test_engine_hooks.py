"""What the engine offers to methods that move the teacher: known answers, answers ahead of time, measured norms."""

from __future__ import annotations

import pytest
import torch

from kdzoo.engine.run import Run
from kdzoo.engine.training_step import train_step
from kdzoo.protocol.outputs import MAIN
from kdzoo.testing import first_window, tiny_recipe, tiny_run


def forwards(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roles whose models run from now on."""
    seen: list[str] = []
    forward = run.forward
    monkeypatch.setattr(run, "forward", lambda role, *a, **k: (seen.append(role), forward(role, *a, **k))[1])
    return seen


def test_a_step_takes_known_answers_of_every_view(monkeypatch: pytest.MonkeyPatch) -> None:
    with tiny_run(tiny_recipe("mlkd")) as run:
        (batch,) = first_window(run)
        expected = run.step(batch)
        known = {MAIN: expected.student, "strong": expected.views["strong"].student}
        seen = forwards(run, monkeypatch)
        step = run.step(batch, student=known)
    assert seen == []
    assert torch.equal(step.views["strong"].student.rows.logits, known["strong"].rows.logits)
    assert torch.equal(run.total(step), run.total(expected))


def test_answers_ahead_of_the_step_save_a_forward_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    losses, weights = [], []
    for ahead in (False, True):
        with tiny_run(tiny_recipe("kd")) as run:
            (batch,) = first_window(run)
            if ahead:
                run.precomputed[run.first, 0, 0] = {MAIN: run.forward(run.first, batch, commit=True)}
            seen = forwards(run, monkeypatch)
            steps = train_step(run, batch)
            assert (run.first in seen) is not ahead
            assert not run.precomputed
        losses.append(steps[0].values["kd.kd"])
        weights.append(run.student.state_dict())
    assert torch.equal(*losses)
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())


def test_an_infinite_clip_measures_the_norm_and_moves_as_without() -> None:
    states = []
    for clip in (None, float("inf")):
        with tiny_run(tiny_recipe("kd")) as run:
            total, _ = run.objective(first_window(run)[0])
            total.backward()
            norm = torch.stack([p.grad.norm() for p in run.trainable().values()]).norm()
            run.optimize(run.first, clip=clip)
            assert (run.first in run.norms) is (clip is not None)
            states.append(run.student.state_dict())
    torch.testing.assert_close(run.norms[run.first], norm)
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
