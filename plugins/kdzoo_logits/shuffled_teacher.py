"""Shuffled teacher: the teacher's logits, all but the largest, change places; a control, not a method.

Furlanello, Lipton, Tschannen, Itti, Anandkumar, "Born-Again Neural Networks", ICML 2018 (arXiv 1805.04770): DKPP, dark
knowledge with permuted predictions.

    z_t'[argmax z_t] = max z_t;  the other C - 1 logits of a row in random order        z_t: (R, C)

What stays is the teacher's decision and how sure it is; what goes is which classes are alike. A method that does as well with
it does not use the latter. The order is drawn anew each epoch and belongs to the sample.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.method import Transform
from kdzoo.protocol.outputs import Pair, Step


def shuffled(logits: Tensor, uniform: Tensor) -> Tensor:
    """(R, C) logits with all but each row's largest in the order of `uniform` (R, C)."""
    # Both orders begin with the largest; then the others come as drawn, and as they stand.
    best = logits.argmax(1, keepdim=True)
    drawn = uniform.scatter(1, best, -1.0).argsort(1)
    places = logits.new_zeros(logits.shape).scatter(1, best, -1.0).argsort(dim=1, stable=True)
    return logits.scatter(1, places, logits.gather(1, drawn))


class ShuffledTeacher(Transform):
    """The teacher's decision stays; the other classes change places."""

    changes = frozenset({"teacher"})

    def forward(self, pair: Pair, step: Step) -> Pair:
        if pair.teacher is None:
            return pair
        logits = pair.teacher.logits
        uniform = step.uniform("shuffled_teacher", logits.shape[-1])
        if len(uniform) != len(logits):
            raise CapabilityError(
                f"shuffled_teacher of methods.{step.label} draws an order per sample, but there are {len(logits)} rows for "
                f"{len(uniform)} samples; use it with a task that has one row per sample."
            )
        return replace(pair, teacher=replace(pair.teacher, scores=shuffled(logits, uniform)))
