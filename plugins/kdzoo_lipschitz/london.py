"""LONDON: each module of the student gets the spectral norm that the teacher's has, beside OFD's loss on the maps.

Shang, Duan, Zong, Nie, Yan, "Lipschitz Continuity Guided Knowledge Distillation", ICCV 2021, arXiv 2108.12905.

    lipschitz = sum_i 2^(i - n) mean_b (sigma(A_i^s) - sigma(A_i^t))^2,   A_i = F_i F_{i+1}^T / (H W),   i = 0 .. n - 1

on maps F_i before the ReLU (B, C_i, H, W), the first of a pair average-pooled to the second; sigma is the largest singular
value of the transmitting matrix (B, C_i, C_{i+1}). The student's maps go through OFD's connectors first: with `connected`
pairing both maps of a pair, with `official` only F_i, as in the released loop. `ofd` is the loss of the method of that name.
Released weights: alpha / 200 on CIFAR-100 (alpha 0.2 to 4 by pair) and 1 / 480 on ImageNet (alpha 2000, batch 96); ofd 1/1000
and 1/10000.

Deviations. `detached` iterates to convergence without a graph and has the exact gradient; the released code differentiates
through 10 steps (CIFAR) or 5 (ImageNet): `unrolled`. All samples, the student and the teacher begin at one vector, which
follows the singular vectors from step to step; `drawn` draws each anew from [0, 1) as on CIFAR, `ones` begins at ones as on
ImageNet. A frozen teacher stays in eval mode; the released code leaves it in train mode, as `teacher: {use: train_mode}` does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.functional.connectors import PointwiseConnector
from kdzoo.functional.features import unit
from kdzoo.functional.flow import flow_matrix
from kdzoo.functional.lipschitz import MOST_STEPS, module_gap, power_iteration, spectral_norm
from kdzoo.functional.margins import negative_margin, overhaul
from kdzoo.models.tap_names import norm_of
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import SAMPLES, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least

LARGE_SHARE = 0.2
"""Share of the Lipschitz part in the total loss above which accuracy falls, by a secondary account of the paper's ablation."""
UNROLLED_STEPS = 10


class LONDON(Method):
    """Args:
    student_taps, teacher_taps: maps before their ReLU; the teacher's are stages that name their BatchNorm.
    pairing: `official` pairs a connected map with the next one as the student has it, `connected` two connected maps.
    gradient: `detached` (exact) or `unrolled` (through the steps of the iteration).
    iterations: steps of the power iteration, >= 1; by default 10 if unrolled, at most 200 if detached, which ends before
        when it has converged.
    start: `shared` (one vector a module, which follows), `drawn` or `ones`.
    """

    seen: Tensor

    def __init__(
        self,
        *,
        student_taps: Sequence[str] = ("stages.preact",),
        teacher_taps: Sequence[str] = ("stages.preact",),
        pairing: Literal["official", "connected"] = "official",
        gradient: Literal["detached", "unrolled"] = "detached",
        iterations: int | None = None,
        start: Literal["shared", "drawn", "ones"] = "shared",
    ) -> None:
        super().__init__()
        at_least(1, iterations=iterations)
        self.student_taps, self.teacher_taps = student_taps, teacher_taps
        self.pairing, self.gradient, self.iterations, self.start = pairing, gradient, iterations, start

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps)

    def setup(self, run: RunContext) -> None:
        shapes = self._shapes(run)
        self.connectors = nn.ModuleList(PointwiseConnector(s[0], t[0]) for s, t in shapes)
        self._margins(run)
        self.modules_compared = len(shapes) - 1
        for number, (_, teacher) in enumerate(shapes[:-1]):
            drawn = torch.rand(teacher[0], generator=run.streams.generator("method", self.label, "start", number))
            self.register_buffer(f"start{number}", unit(drawn))
        # Weighted sums of this epoch, of the Lipschitz part and of all terms, and 1 once the share was warned about.
        self.register_buffer("seen", torch.zeros(3))

    @term(weight=0.001, over=SAMPLES)
    def ofd(self, step: Step) -> Tensor:
        margins = [self.get_buffer(f"margin{number}") for number in range(len(self.connectors))]
        return overhaul(self._connected(step), list(step.teacher.features.values()), margins)

    @term(weight=0.004, over=SAMPLES)
    def lipschitz(self, step: Step) -> Tensor:
        connected, raw = self._connected(step), list(step.student.features.values())
        after = raw if self.pairing == "official" else connected
        ours = self._norms("student", list(zip(connected[:-1], after[1:], strict=True)), step)
        theirs = self._norms("teacher", list(pairwise(step.teacher.features.values())), step)
        return module_gap(ours, theirs)

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        """Turn each start towards the mean of the vectors found, over the batch and all processes, and add up the parts."""
        if self.start == "shared":
            for number in range(self.modules_compared):
                found = [step.stash[side, number] for step in steps for side in ("student", "teacher") if step.stash]
                if found:
                    total = torch.stack([vectors.sum(0) for vectors in found]).sum(0, keepdim=True)
                    start = self.get_buffer(f"start{number}")
                    start.copy_(unit(run.gather(total.to(start)).sum(0)))
        self._add_up(steps, run)
        if run.progress.batch == run.progress.batches - 1:
            self._epoch_done(run)

    # -- the norms ---------------------------------------------------------------------------------------------------

    def _norms(self, side: str, pairs: Sequence[tuple[Tensor, Tensor]], step: Step) -> list[Tensor]:
        norms = []
        for number, (first, second) in enumerate(pairs):
            matrix = flow_matrix(first, second)
            start = self._start(side, number, matrix, step)
            if self.gradient == "detached":
                norm, vector = spectral_norm(matrix, start, most=self.iterations or MOST_STEPS)
            else:
                norm, vector = power_iteration(matrix, start, steps=self.iterations or UNROLLED_STEPS)
            step.stash[side, number] = vector.detach()
            norms.append(norm)
        return norms

    def _start(self, side: str, number: int, matrix: Tensor, step: Step) -> Tensor:
        if self.start == "drawn":
            return step.uniform(f"start {side} {number}", matrix.shape[1])
        kept = self.get_buffer(f"start{number}")
        return kept if self.start == "shared" else torch.ones_like(kept)

    def _connected(self, step: Step) -> list[Tensor]:
        """The student's maps through the connectors, once for both terms."""
        maps = step.student.features.values()
        return step.cached("connected", lambda: [c(x) for c, x in zip(self.connectors, maps, strict=True)])

    # -- the share of the Lipschitz part -----------------------------------------------------------------------------

    def _add_up(self, steps: Sequence[Step], run: RunContext) -> None:
        for step in steps:
            for name, value in step.losses.items():
                label, _, part = name.rpartition(".")
                weighted = step.batch.size * abs(run.weights_now[label][part]) * value.abs().to(self.seen)
                self.seen[1] += weighted
                if name == f"{self.label}.lipschitz":
                    self.seen[0] += weighted

    def _epoch_done(self, run: RunContext) -> None:
        """Note the epoch's share, and warn about a large one, once."""
        lipschitz, total, warned = run.gather(self.seen[None]).sum(0).tolist()
        share = lipschitz / total if total > 0 else 0.0
        run.note(**{f"{self.label}.lipschitz_share": share})
        self.seen[:2] = 0
        if share > LARGE_SHARE and not warned:
            self.seen[2] = 1
            warnings.warn(
                f"methods.{self.label}: the Lipschitz part is {share:.0%} of the total loss in this epoch; above "
                f"{LARGE_SHARE:.0%} accuracy is reported to fall. Lower methods.{self.label}.weights.lipschitz.",
                stacklevel=2,
            )

    # -- refusals ----------------------------------------------------------------------------------------------------

    def _shapes(self, run: RunContext) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Shapes of the paired maps; refuses lists of unequal length, fewer than two maps, and what is no map."""
        by_role = {"student": run.shapes(self), "teacher": run.shapes(self, "teacher")}
        for role, shapes in by_role.items():
            for tap, shape in shapes.items():
                if len(shape) != 3:
                    raise CapabilityError(
                        f"methods.{self.label} compares feature maps (channels, height, width), but tap {tap!r} of the {role} "
                        f"has shape {shape}; choose a convolutional {role}, or a tap before its pooling."
                    )
        student, teacher = (list(shapes.values()) for shapes in by_role.values())
        if len(student) != len(teacher) or len(student) < 2:
            raise CapabilityError(
                f"methods.{self.label} pairs at least two of the student's taps with as many of the teacher's, but there are "
                f"{len(student)} ({', '.join(by_role['student'])}) and {len(teacher)} ({', '.join(by_role['teacher'])}); "
                f"name as many of each, e.g. methods.{self.label}.student_taps=[stage1.preact,stage2.preact]."
            )
        return list(zip(student, teacher, strict=True))

    def _margins(self, run: RunContext) -> None:
        name = run.teacher_of(self)
        for number, tap in enumerate(run.tap_keys[self.label, name].values()):
            norm = norm_of(run.model(name), tap.removesuffix(".preact"))
            if not isinstance(norm, nn.BatchNorm2d) or not norm.affine:
                raise CapabilityError(
                    f"methods.{self.label} reads its margins from the scale and shift of a BatchNorm before tap {tap!r} of the "
                    f"teacher, but found a {type(norm).__name__} without them; choose a teacher with affine BatchNorm."
                )
            self.register_buffer(f"margin{number}", negative_margin(norm.bias.detach(), norm.weight.detach()))
