"""Laws of the hooks: they change no learner, and a teacher's gradient does not depend on micro-batches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdzoo.engine.assemble import assemble
from kdzoo.engine.run import Run
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.protocol.method import overrides
from kdzoo.testing.laws.base import Laws
from kdzoo.testing.laws.helpers import assert_equal, state_of, train_run
from kdzoo.testing.tiny import first_window, tiny_run

HOOKS = ("prepare", "update_teacher", "after_step")


class HookLaws(Laws):
    """Learners are moved by their optimizers alone; what a hook does to a teacher weighs micro-batches by their share."""

    # 13
    def test_hooks_change_no_learner(self) -> None:
        run = assemble(self.make().settings)
        method = run.methods[self.method]
        for hook in HOOKS:
            if overrides(method, hook):
                setattr(method, hook, _watched(run, hook, getattr(method, hook)))
        train_run(run)

    # 14
    def test_micro_batches_are_invisible_to_a_trained_teacher(self) -> None:
        run = assemble(self.make().settings)
        if run.needs.whole_batch or not any(teacher.trains for teacher in run.teachers.values()):
            return
        whole, halves = self.teacher_gradients(1), self.teacher_gradients(2)
        assert len(whole) == len(halves), "micro-batches change how often the teacher is stepped"
        for ours, theirs in zip(whole, halves, strict=True):
            for name, gradient in ours.items():
                near = torch.allclose(theirs[name], gradient, rtol=1e-3, atol=1e-5)
                assert near, f"train.accumulate=2 changes the teacher's gradient of {name}"

    def teacher_gradients(self, accumulate: int) -> list[dict[str, Tensor]]:
        """The gradients that the first window's hooks give to trained teachers, which stay where they are; all in eval mode."""
        train = {"epochs": 2, "batch_size": 12, **self.recipe.get("train", {}), "accumulate": accumulate}
        seen: list[dict[str, Tensor]] = []
        with tiny_run(self.make(train=train)) as run, run.mode(training=False):
            for teacher in run.teachers.values():
                teacher.eval()
            stepped = run.optimize

            def optimize(role: str, loss: Tensor | None = None, *, clip: float | None = None) -> bool:
                if role in run.learners:
                    return stepped(role, loss, clip=clip)
                if loss is not None:
                    loss.backward()  # type: ignore[no-untyped-call]
                named = dict(run.model(role).named_parameters())
                seen.append({f"{role}.{name}": p.grad.clone() for name, p in named.items() if p.grad is not None})
                run.norms[role] = torch.stack([gradient.norm() for gradient in seen[-1].values()]).norm()
                run.model(role).zero_grad()
                return True

            setattr(run, "optimize", optimize)  # noqa: B010  # a method of this one run
            window = first_window(run)
            update_teacher(run, window)
            for batch in window:
                train_step(run, batch)
        return seen


def _watched(run: Run, hook: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The hook, with a look at every learner before and after it."""

    @functools.wraps(call)
    def watched(*args: Any) -> Any:
        before, had = state_of(run.learners), _with_gradient(run)
        result = call(*args)
        assert_equal(before, state_of(run.learners), f"{hook} changes a learner; use run.forward(..., commit=False)")
        left = sorted(_with_gradient(run) - had)
        assert not left, f"{hook} leaves a gradient on a learner, which its optimizer would add: {', '.join(left[:3])}"
        return result

    return watched


def _with_gradient(run: Run) -> set[str]:
    return {
        f"{learner}.{name}"
        for learner, module in run.learners.items()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
