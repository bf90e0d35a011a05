"""PAD: the student learns the teacher's features, less strictly where it expects to be far from them.

Zhang, Lan, Dai, Zeng, Bai, Chang, Wei, "Prime-Aware Adaptive Distillation", ECCV 2020, arXiv 2008.01458.

    l2  = mean (f_t - f_s)^2                                                            f: (B, d), pooled
    pad = mean (f_t - f_s)^2 / (exp(v) + 1e-6) + v          v = BatchNorm(linear(f_s)): (B, d), the log variance

The form is torchdistill's, which takes the mean over the features as the authors' code does. There the student is first trained
with the labels and `l2` at weight 1, then 30 epochs with the labels and `pad` at weight 1 and a small rate (ImageNet, 0.002).
In one run here, schedules move the weights: `l2` from 1 to 0 and `pad` from 0 to 1; only `pad` is on by default.

Both networks need features of one width. Deviation: none in the formula; one optimizer for both parts if they share a run.
"""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.functional.features import mean_squared_error
from kdzoo.functional.float32 import in_float32
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo_features.tap_checks import pairs, shape_pairs


@in_float32
def uncertain_gap(student: Tensor, teacher: Tensor, log_variance: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Mean of `(t - s)^2 / (exp(v) + eps) + v` over all entries of three tensors (B, d)."""
    return ((teacher - student).square() / (log_variance.exp() + eps) + log_variance).mean()


class PAD(Method):
    """Args: student_tap, teacher_tap: vectors (d,) of one width."""

    def __init__(self, *, student_tap: str = "pooled", teacher_tap: str = "pooled") -> None:
        super().__init__()
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = shape_pairs(self, run)
        if student != teacher or len(student) != 1:
            raise CapabilityError(
                f"methods.{self.label} compares vectors of one width, but tap {self.student_tap!r} of the student has shape "
                f"{student} and tap {self.teacher_tap!r} of the teacher {teacher}; choose models of equal widths, or srd, "
                "which has a projection between them."
            )
        width = student[0]
        self.log_variance = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))

    @term(weight=0.0)
    def l2(self, step: Step) -> Tensor:
        return mean_squared_error(*pairs(step)[0])

    @term()
    def pad(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return uncertain_gap(student, teacher, self.log_variance(student))
