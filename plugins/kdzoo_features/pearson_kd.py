"""PKD: channels should correlate with the teacher's, whatever their mean and scale.

Cao, Zhang, Gao, Cheng, Cheng, Zhang, "PKD: General Distillation Framework for Object Detectors via Pearson Correlation
Coefficient", NeurIPS 2022, arXiv 2207.02039.

    pkd = sum_taps mean (n(F_s) - n(F_t))^2 / 2,   n(F) = (F - mean) / (std + 1e-6) per channel over batch and positions

which is 1 - Pearson's correlation, up to n / (n - 1). A student map of another size is resized bilinearly; one of other
channels goes through a 1x1 convolution. Made for detectors, on the FPN's maps, which have equal channels; for classification
it runs on the last map. The statistics are those of the whole batch. Default weight 1: the published ones are for detectors.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo.functional.channels import pearson_features
from kdzoo.functional.connectors import alignment
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo_features.tap_checks import map_pairs, pairs, several_samples


class PearsonKD(Method):
    """Args: student_taps, teacher_taps: maps, paired in order."""

    def __init__(self, *, student_taps: Sequence[str] = ("last",), teacher_taps: Sequence[str] = ("last",)) -> None:
        super().__init__()
        self.student_taps, self.teacher_taps = student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(
            teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps, whole_batch=True
        )

    def setup(self, run: RunContext) -> None:
        several_samples(self, run)
        self.align = nn.ModuleList(alignment(s[0], t[0]) for s, t in map_pairs(self, run))

    @term()
    def pkd(self, step: Step) -> Tensor:
        losses = [pearson_features(align(s), t) for align, (s, t) in zip(self.align, pairs(step), strict=True)]
        return sum(losses[1:], losses[0])
