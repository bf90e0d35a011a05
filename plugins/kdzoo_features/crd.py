"""CRD: a sample's embedding is close to the teacher's of the same sample and far from those of other classes.

Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, arXiv 1910.10699.

    crd = NCE(P_s) + NCE(P_t),   P_s(k) = exp(e_s . m_t,k / T) / Z_s,   P_t(k) = exp(e_t . m_s,k / T) / Z_t      (B, 1 + K)
    NCE = -mean_b [log P_0 / (P_0 + K/N) + sum_k log (K/N) / (P_k + K/N)]

e: unit embeddings (B, width), a trained linear map of each network's features; m_s, m_t: two memories (N, width) of all
training samples' embeddings, entry 0 the sample itself, the others of other classes. After a step the batch's entries move
half way to the new embeddings and back to unit length. Z_s and Z_t are constants from the first batch: mean score times N.

In practice: the pooled vector, K = 16384, T = 0.07, momentum 0.5, width 128, weight 0.8 on CIFAR-100 (RepDistiller).

Deviations: negatives are drawn with replacement. A sample's class is known once it has been seen, so negatives of the first
epoch may share the class of their anchor.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, prod, sqrt

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.functional.connectors import Embed
from kdzoo.functional.contrast import memory_scores, moved_memory, noise_contrast, partition
from kdzoo.functional.labels import hard_label
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.ranges import above, at_least, at_least_and_below
from kdzoo_features.tap_checks import pairs, shape_pairs

SIDES = ("student", "teacher")
UNKNOWN = -1


def other_classes(uniform: Tensor, index: Tensor, label: Tensor, known: Tensor) -> Tensor:
    """Rows of the memory (B, K) that are not of the anchor's class, nor the anchor, by uniform numbers (B, K).

    `index`, `label`: (B,) of the anchors; `known`: (N,) labels of all samples, `UNKNOWN` where there is none yet.
    """
    order = known.argsort(stable=True)
    block = known[order]
    start = torch.searchsorted(block, label)[:, None]
    count = torch.searchsorted(block, label, right=True)[:, None] - start
    place = (uniform * (len(known) - count).clamp_min(1)).long()
    rows = order[torch.where(place < start, place, place + count).clamp_max(len(known) - 1)]
    return torch.where(rows == index[:, None], (rows + 1) % len(known), rows)


class CRD(Method):
    """Args: negatives: K. temperature: T > 0. momentum: share of a memory entry that stays. width: of the embeddings.
    student_tap, teacher_tap: features."""

    memory_student: Tensor
    memory_teacher: Tensor
    labels: Tensor
    z: Tensor

    def __init__(
        self,
        *,
        negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
        width: int = 128,
        student_tap: str = "pooled",
        teacher_tap: str = "pooled",
    ) -> None:
        super().__init__()
        at_least(1, negatives=negatives, width=width)
        above(0, temperature=temperature)
        at_least_and_below(0, 1, momentum=momentum)
        self.negatives, self.temperature, self.momentum, self.width = negatives, temperature, momentum, width
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(
            teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,), index=True
        )

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = shape_pairs(self, run)
        self.embed = torch.nn.ModuleDict(
            {"student": Embed(prod(student), self.width), "teacher": Embed(prod(teacher), self.width)}
        )
        bound = sqrt(3 / self.width)
        for side in SIDES:
            self.register_buffer(f"memory_{side}", torch.empty(run.samples, self.width).uniform_(-bound, bound))
        self.register_buffer("labels", torch.full((run.samples,), UNKNOWN))
        # The expected score of unrelated unit vectors; the first batch replaces it by the mean that it finds.
        expected = exp(min(1 / self.temperature, 1 / (2 * self.width * self.temperature**2)))
        self.register_buffer("z", torch.full((2,), run.samples * expected))

    def first_batch(self, batch: Batch, run: RunContext) -> None:
        """Fix Z on the first batch, whole, whatever micro-batches it will be split into."""
        with run.precision.autocast():
            scores = self._scores(run.view(run.step(batch), self))
            for i, each in enumerate(scores):
                self.z[i] = run.gather(partition(each, run.samples).view(1)).mean()

    def _scores(self, step: Step) -> tuple[Tensor, Tensor]:
        """Scores (B, 1 + K) of the student's embeddings against the teacher's memory, and the other way round."""
        negatives = other_classes(step.uniform("negatives", self.negatives), step.index, self._label(step), self.labels)
        rows = torch.cat([step.index[:, None], negatives], 1)
        for side, features in zip(SIDES, pairs(step)[0], strict=True):
            step.stash[side] = self.embed[side](features)
        return (
            memory_scores(step.stash["student"], self.memory_teacher, rows, temperature=self.temperature),
            memory_scores(step.stash["teacher"], self.memory_student, rows, temperature=self.temperature),
        )

    @term(weight=0.8)
    def crd(self, step: Step) -> Tensor:
        student, teacher = self._scores(step)
        samples = len(self.labels)
        return noise_contrast(student / self.z[0], samples) + noise_contrast(teacher / self.z[1], samples)

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        """Move the memory entries of the batch, and remember its labels."""
        index = run.gather(torch.cat([step.index for step in steps]))
        self.labels.index_copy_(0, index, run.gather(torch.cat([self._label(step) for step in steps])))
        for side in SIDES:
            embedded = run.gather(torch.cat([step.stash[side].float() for step in steps]))
            memory = self.get_buffer(f"memory_{side}")
            memory.index_copy_(0, index, moved_memory(memory[index], embedded, momentum=self.momentum))

    def _label(self, step: Step) -> Tensor:
        target = step.student.rows.target
        if target is None or len(target) != len(step.index):
            raise CapabilityError(
                f"methods.{step.label} contrasts samples of different classes, but this task's rows are not one labeled sample "
                "each; use another task or method."
            )
        return hard_label(target)
