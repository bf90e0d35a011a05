"""KD-SVD: the relation between the main directions of adjacent layers.

Lee, Kim, Song, "Self-supervised Knowledge Distillation Using Singular Value Decomposition", ECCV 2018, arXiv 1807.06819.

    kdsvd = sum_pairs mean_b sum (R_s - R_t)^2,   R = exp(-(v_i - v_{i+1})^2 / 8)      v_i: (B, C_i, rank)

v_i are the first right singular vectors of the map (B, H*W, C_i), times the normalized singular values; the student's are the
nearest of `rank + 3`, with the teacher's signs. Channels must agree. In practice: all stages, rank 1, weight 1 (RepDistiller).
`KDSVDRows` is what mdistiller runs under this name: singular vectors of (B, C*H, W), so channels may differ but not widths.

The value depends on the sign convention of the linear-algebra library (see `singular_relation`). Deviation: gradients of
repeated singular values are zero, where the public codes replace NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.functional.flow import positions_by_channels, rows_by_width, singular_relation
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_features.tap_checks import equal_channels, map_pairs, pairs


class KDSVD(Method):
    """Args: rank: singular vectors of the teacher. student_taps, teacher_taps: maps in forward order, two or more."""

    matrix: Callable[[Tensor], Tensor] = staticmethod(positions_by_channels)

    def __init__(
        self,
        *,
        rank: int = 1,
        student_taps: Sequence[str] = ("stages",),
        teacher_taps: Sequence[str] = ("stages",),
    ) -> None:
        super().__init__()
        at_least(1, rank=rank)
        self.rank, self.student_taps, self.teacher_taps = rank, student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps)

    def setup(self, run: RunContext) -> None:
        why = "compares singular vectors over channels"
        several_maps(self, equal_channels(self, run, why=why, instead="use kdsvd_rows, which compares them over columns"))

    @term()
    def kdsvd(self, step: Step) -> Tensor:
        student, teacher = zip(*((self.matrix(s), self.matrix(t)) for s, t in pairs(step)), strict=True)
        return singular_relation(student, teacher, rank=self.rank).sum()


class KDSVDRows(KDSVD):
    """KD-SVD on mdistiller's matrices."""

    matrix = staticmethod(rows_by_width)

    def setup(self, run: RunContext) -> None:
        found = map_pairs(self, run)
        several_maps(self, found)
        unequal = [(s, t) for s, t in found if s[2] != t[2]]
        if unequal:
            raise CapabilityError(
                f"methods.{self.label} compares singular vectors over columns, so both maps need the same width, but a student "
                f"tap has shape {unequal[0][0]} and its teacher tap {unequal[0][1]}; choose taps of equal widths."
            )


def several_maps(method: Method, found: Sequence[object]) -> None:
    """Refuse a single layer: the method relates adjacent ones."""
    if len(found) < 2:
        raise CapabilityError(
            f"methods.{method.label} compares the relation of adjacent maps, but there is only {len(found)}; "
            f"name two or more in methods.{method.label}.student_taps and teacher_taps."
        )
