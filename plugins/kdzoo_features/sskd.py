"""SSKD: the teacher also shows how alike a sample and its rotations are, the answers of a self-supervised task.

Xu, Liu, Li, Loy, "Knowledge Distillation Meets Self-Supervision", ECCV 2020, arXiv 2006.07114.

Every sample comes with its rotations by 90, 180 and 270 degrees, each augmented by itself, so a batch holds 4 B images, four a
sample in a row:

    labels      = CE(z_s, y)                         upright images
    kd          = T^2 KL(p_t || p_s), T = 4          upright images
    transformed = T^2 KL(p_t || p_s), T = 4          rotated images (all that the teacher gets right, and `keep` of the others)
    similarity  = T^2 KL of softmax(A / T), T = 0.5, over the upright samples; A: (3 B, B) cosines of head outputs h(x)

h is a two-layer head on the pooled vector. The teacher's head is trained first, its network frozen, to find each rotated
image's own sample: 60 epochs of cross-entropy on A_t, at a rate that falls tenfold after 1/2 and 3/4 of them. In practice on
CIFAR-100: that rate 0.05 for every student, weights 0.1, 0.9, 2.7 and 10, all wrong
predictions kept in `transformed` and 3/4 of them in `similarity`, the usual crops and flips.

SSKD brings its own labels' and KD terms, for the upright images only: run it without `hard_label` and `kd`, which would also
see the rotated ones. Deviation: the head's momentum begins anew where its rate falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil, prod

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.labels import cross_entropy, hard_label
from kdzoo.functional.self_supervision import reliable_rows, transformation_similarity
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, Stage, term
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.ranges import above, at_least
from kdzoo_features.tap_checks import pairs, shape_pairs, still

TURNS = 4


def two_layers(features: int) -> nn.Sequential:
    """The self-supervised head: linear, ReLU, linear, all of one width."""
    return nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features))


def upright(x: Tensor) -> Tensor:
    """The first of every four rows: (4 B, ...) -> (B, ...)."""
    return x[::TURNS]


def rotated(x: Tensor) -> Tensor:
    """The other three of every four rows: (4 B, ...) -> (3 B, ...)."""
    return x.view(-1, TURNS, *x.shape[1:])[:, 1:].flatten(0, 1)


def similarities(embedded: Tensor) -> Tensor:
    """Cosines (3 B, B) of every rotated with every upright image's embedding (4 B, d)."""
    return transformation_similarity(rotated(embedded), upright(embedded))


def own_sample(embedded: Tensor) -> Tensor:
    """Which upright image each rotated one comes from, (3 B,)."""
    return torch.arange(len(embedded) // TURNS, device=embedded.device).repeat_interleave(TURNS - 1)


class SSKD(Method):
    """Args:
    temperature: of `kd` and `transformed`. similarity_temperature: of `similarity`.
    keep_transformed, keep_similarity: share of the teacher's wrong answers to keep.
    head_epochs, head_lr: length of the first stage, and its rate at first. student_tap, teacher_tap: what the heads read.
    """

    def __init__(
        self,
        *,
        temperature: float = 4.0,
        similarity_temperature: float = 0.5,
        keep_transformed: float = 1.0,
        keep_similarity: float = 0.75,
        head_epochs: int = 60,
        head_lr: float = 0.05,
        student_tap: str = "pooled",
        teacher_tap: str = "pooled",
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, similarity_temperature=similarity_temperature)
        at_least(0, keep_transformed=keep_transformed, keep_similarity=keep_similarity)
        at_least(0, head_epochs=head_epochs, head_lr=head_lr)
        self.temperature, self.similarity_temperature = temperature, similarity_temperature
        self.keep_transformed, self.keep_similarity = keep_transformed, keep_similarity
        self.epochs, self.rate, self.student_tap, self.teacher_tap = head_epochs, head_lr, student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,), whole_batch=True)

    def setup(self, run: RunContext) -> None:
        shape = tuple(getattr(run.task.example().inputs, "shape", ()))
        if len(shape) != 4 or shape[2] != shape[3]:
            raise CapabilityError(
                f"methods.{self.label} rotates images, so it needs square ones (samples, channels, size, size); this task's "
                f"inputs have shape {shape}. Use another task or method."
            )
        (student, teacher), *_ = shape_pairs(self, run)
        self.student_head, self.teacher_head = two_layers(prod(student)), two_layers(prod(teacher))

    def stages(self) -> Sequence[Stage]:
        ends = [ceil(self.epochs * share) for share in (0, 1 / 2, 3 / 4, 1)]
        return [
            Stage("head", end - start, {"head": 1.0}, ("self.teacher_head.*",), self.rate / 10**drops, student_mode="eval")
            for drops, (start, end) in enumerate(pairwise(ends))
            if end > start
        ]

    def prepare(self, batch: Batch, run: RunContext) -> Batch:
        turned = [self._again(batch, run, turn).rot90(turn, (2, 3)) for turn in range(1, TURNS)]
        turns = torch.stack([batch.inputs, *turned], 1).flatten(0, 1)
        target, index = (None if x is None else x.repeat_interleave(TURNS, 0) for x in (batch.target, batch.index))
        size, whole = TURNS * batch.size, TURNS * batch.whole
        return replace(batch, inputs=turns, target=target, index=index, size=size, whole=whole)

    def _again(self, batch: Batch, run: RunContext, turn: int) -> Tensor:
        """The same samples, augmented anew: by the numbers of an epoch that there is not."""
        assert batch.index is not None, "images have an index"
        epoch = -(batch.epoch * TURNS + turn)
        return next(iter(run.task.batches("train", [batch.index.cpu()], epoch=epoch, train=True))).inputs

    @term(weight=0.0)
    def head(self, step: Step) -> Tensor:
        embedded = self.teacher_head(pairs(step)[0][1].flatten(1))
        return cross_entropy(similarities(embedded), own_sample(embedded))

    @term(weight=0.1)
    def labels(self, step: Step) -> Tensor:
        return cross_entropy(upright(step.student.rows.logits), upright(self._target(step)))

    @term(weight=0.9)
    def kd(self, step: Step) -> Tensor:
        student, teacher = upright(step.student.rows.logits), upright(step.teacher.rows.logits)
        return softened_kl(student, teacher, temperature=self.temperature)

    @term(weight=2.7)
    def transformed(self, step: Step) -> Tensor:
        student, teacher = rotated(step.student.rows.logits), rotated(step.teacher.rows.logits)
        kept = reliable_rows(teacher, rotated(hard_label(self._target(step))), keep=self.keep_transformed)
        return softened_kl(student, teacher, temperature=self.temperature, weight=kept.to(student.dtype))

    @term(weight=10.0)
    def similarity(self, step: Step) -> Tensor:
        features_s, features_t = pairs(step)[0]
        student = similarities(self.student_head(features_s.flatten(1)))
        teacher = similarities(still(self.teacher_head, features_t.flatten(1)))
        kept = reliable_rows(teacher, own_sample(features_t), keep=self.keep_similarity)
        return softened_kl(student, teacher, temperature=self.similarity_temperature, weight=kept.to(student.dtype))

    def _target(self, step: Step) -> Tensor:
        target = step.student.rows.target
        if target is None:
            raise CapabilityError(f"methods.{step.label} needs labels, but this task's rows have none.")
        return target
