"""ProKT: the teacher learns the task beside the student, held close to it, and the student follows.

Shi, Song, Zhou, Li, Li, "Follow Your Path: a Progressive Method for Knowledge Distillation", ECML-PKDD 2021.

    prokt:       teacher  (1 - l) CE(z_t, y) + l KL(p_s || p_t)     then     student  KL(p_t || p_s)       z: (R, C)
    prokt_dual:  teacher  CE(z_t, y) + b (KL(p_s || p_t) - e),      b <- max(0, b + r (KL - e)) after each step; no temperature

Per batch the teacher steps first, with an optimizer of its own, on the student's answers as they are; the student then learns
from the refreshed teacher. The released code: l 0.4 on MNLI (BERT-6), student rate 1e-4, teacher rate 3e-5; dual form with
e 1, r 0.001, b starting at 1; the student has no label loss (add none), the teacher answers in train mode while it is moved.
Here it answers in eval mode in both places unless another method asks otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo.functional.divergence import kl_divergence
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.ranges import at_least, between


class ProKT(Method):
    """Progressive transfer with a fixed pull towards the student.

    Args: pull: l, the share of the student's answers in the teacher's loss, in [0, 1]; 0 fine-tunes the teacher alone.
    """

    def __init__(self, *, pull: float = 0.4) -> None:
        super().__init__()
        between(0, 1, pull=pull)
        self.pull = pull

    def needs(self) -> Needs:
        return Needs(teacher=True, teacher_grad=True)

    def update_teacher(self, window: Sequence[Batch], run: RunContext) -> None:
        name = run.teacher_of(self)
        for batch in window:
            gap: Tensor | float = 0.0
            for micro in run.micros(batch):
                share = micro.size / micro.whole
                supervised, kl = self.losses(run, name, micro)
                run.precision.scaled(share * self.mixed(supervised, kl)).backward()  # type: ignore[no-untyped-call]
                gap = gap + share * kl.detach()
            run.optimize(name)
            self.moved(gap, run)

    def losses(self, run: RunContext, name: str, micro: Batch) -> tuple[Tensor, Tensor]:
        """The teacher's own loss and its distance from the student."""
        with torch.no_grad():
            student = run.forward(run.first, micro, commit=False)
        teacher = run.answer(name, micro, grad=True)
        return run.task.supervised(teacher), kl_divergence(teacher.rows.logits, student.rows.logits, weight=teacher.rows.weight)

    def mixed(self, supervised: Tensor, kl: Tensor) -> Tensor:
        """What the teacher minimizes."""
        return (1 - self.pull) * supervised + self.pull * kl

    def moved(self, gap: Tensor | float, run: RunContext) -> None:
        """After the teacher's step; `gap` is this process's part of KL(p_s || p_t) before it."""

    @term()
    def kd(self, step: Step) -> Tensor:
        rows = step.student.rows
        return kl_divergence(rows.logits, step.teacher.rows.logits, weight=rows.weight)


class ProKTDual(ProKT):
    """Progressive transfer as a constraint KL <= epsilon with a learned multiplier.

    Args:
        epsilon: e, how far from the student the teacher may be; 1 in the released code.
        rate: r, step size of the multiplier; 0.001.
        start: the multiplier's first value; 1.
    """

    beta: Tensor

    def __init__(self, *, epsilon: float = 1.0, rate: float = 0.001, start: float = 1.0) -> None:
        super().__init__(pull=0.0)
        at_least(0, epsilon=epsilon, rate=rate, start=start)
        self.epsilon, self.rate = epsilon, rate
        self.register_buffer("beta", torch.tensor(start))

    def mixed(self, supervised: Tensor, kl: Tensor) -> Tensor:
        return supervised + self.beta * (kl - self.epsilon)

    def moved(self, gap: Tensor | float, run: RunContext) -> None:
        whole = run.gather(torch.as_tensor(gap, device=self.beta.device).reshape(1)).sum()
        self.beta.copy_((self.beta + self.rate * (whole - self.epsilon)).clamp_min(0.0))
