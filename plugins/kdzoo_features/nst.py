"""NST: the student's channels are selective for the same patterns as the teacher's.

Huang, Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", arXiv 1707.01219.

    nst = sum_stages mean_b [mean k(t, t) + mean k(s, s) - 2 mean k(s, t)],   k(a, b) = (a . b)^2

over the channels of a map (B, C, H, W), each a unit vector over positions: a squared maximum mean discrepancy, so channels
may differ. The larger map of a pair is average-pooled. In practice: all stages and weight 50 on CIFAR-100 (RepDistiller).
No deviations; the teacher's own term is constant and only moves the logged value.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kdzoo.functional.channels import neuron_selectivity
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo_features.tap_checks import map_pairs, pairs


class NST(Method):
    """Args: student_taps, teacher_taps: maps, paired in order."""

    def __init__(self, *, student_taps: Sequence[str] = ("stages",), teacher_taps: Sequence[str] = ("stages",)) -> None:
        super().__init__()
        self.student_taps, self.teacher_taps = student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps)

    def setup(self, run: RunContext) -> None:
        map_pairs(self, run)

    @term(weight=50.0)
    def nst(self, step: Step) -> Tensor:
        losses = [neuron_selectivity(s, t) for s, t in pairs(step)]
        return sum(losses[1:], losses[0])
