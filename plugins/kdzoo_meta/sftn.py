"""SFTN: a teacher is trained together with branches of the student's architecture, so that its features suit such a student.

Park, Cha, Jeong, Kim, Han, "Learning Student-Friendly Teacher Networks for Knowledge Distillation", NeurIPS 2021,
arXiv 2102.07650.

    L = CE(z_t, y) + kl sum_i T^2 KL(p_t || p_i) + ce sum_i CE(z_i, y)               z_t, z_i: (R, C), one branch i per tap

Two stages, and this is the first: a method of the *teacher's* recipe, whose student is the teacher network (`hard_label` is its
CE). The second is any method with `teacher: {use: frozen, recipe: ...}`: the branches are gone and nothing moves. A branch is
what of the student's network comes after the tap of the same name, behind a 1x1 convolution, BatchNorm and ReLU.

Verified (abstract and introduction): student branches on the teacher's blocks, trained jointly; afterwards ordinary
distillation with any method. A reading: the form and the weights of the losses (1 and 1 here), that neither side of the KL is
detached, the temperature, the transform, and that every branch starts from random weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.labels import cross_entropy
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.protocol.task import Model
from kdzoo.ranges import above
from kdzoo_meta.graft import Graft, shape_at


class SFTN(Method):
    """Args:
    student: the network that will be distilled to.
    taps: maps at which a branch leaves the teacher; the same names on the student. A branch after the last stage is only
        its classifier.
    temperature: T > 0 of the branches' KL.
    """

    def __init__(self, *, student: Model, taps: Sequence[str] = ("stage1", "stage2"), temperature: float = 4.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        if not taps:
            raise ValueError("taps must name at least one map, e.g. stage2")
        self.student, self.stage_taps, self.temperature = student, tuple(taps), temperature

    def needs(self) -> Needs:
        return Needs(student_taps=self.stage_taps, capabilities=frozenset({"classes"}))

    def setup(self, run: RunContext) -> None:
        shapes = run.shapes(self)
        example = run.task.example().inputs
        branches = []
        for tap in self.stage_taps:
            network = run.task.build(self.student).to(example.device)
            there = shape_at(network, tap, example)
            if len(shapes[tap]) != 3 or len(there) != 3:
                raise CapabilityError(
                    f"methods.{self.label}.taps: {tap!r} gives {shapes[tap]} on the teacher and {there} on the student, but a "
                    "branch needs maps (channels, height, width); choose a stage of convolutional networks."
                )
            branches.append(Graft(network, tap, channels=shapes[tap][0], shape=(there[0], there[1], there[2])))
        self.branches = nn.ModuleList(branches)

    def branch_logits(self, step: Step) -> list[Tensor]:
        """Of each branch, once per step."""
        given: Sequence[tuple[Graft, str]] = list(zip(self.branches, self.stage_taps, strict=True))  # type: ignore[arg-type]
        return step.cached("branches", lambda: [b(step.batch.inputs, step.student.features[t]) for b, t in given])

    @term()
    def branch_kl(self, step: Step) -> Tensor:
        rows = step.student.rows
        losses = [
            softened_kl(z, rows.logits, temperature=self.temperature, weight=rows.weight) for z in self.branch_logits(step)
        ]
        return torch.stack(losses).sum()

    @term(over=LABELS)
    def branch_ce(self, step: Step) -> Tensor:
        rows = step.student.rows
        assert rows.target is not None
        return torch.stack(
            [cross_entropy(z, rows.target, weight=rows.weight_of_labels) for z in self.branch_logits(step)]
        ).sum()
