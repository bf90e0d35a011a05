"""How the teacher does while it is moved: its accuracy each epoch, the meta-gradient's norm, and an alarm when it collapses."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from kdzoo.engine.evaluate import evaluate
from kdzoo.protocol.context import RunContext
from kdzoo_meta.quiz import QUIZ


class TeacherMonitor(nn.Module):
    """A moved teacher's record; a module, so that it is checkpointed with its method."""

    start: Tensor
    latest: Tensor
    norms: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("start", torch.full((2,), -1.0))  # the metric, and whether it was measured (1) and warned of (2)
        self.register_buffer("latest", torch.full((), -1.0))
        self.register_buffer("norms", torch.zeros(2))  # their sum and number in this epoch

    def before(self, run: RunContext, teacher: str) -> None:
        """Measure the teacher before it first moves."""
        if self.start[1] < 0:
            self.latest.fill_(measured(run, teacher))
            self.start.copy_(torch.stack([self.latest, torch.ones_like(self.latest)]))

    def moved(self, norm: Tensor) -> None:
        """Count a step of the teacher."""
        self.norms += torch.stack([norm.detach().to(self.norms), torch.ones_like(self.norms[1])])

    def epoch_done(self, run: RunContext, teacher: str, label: str, *, alarm: float) -> None:
        """Note this epoch's numbers; a teacher that did not move is not measured again.

        Args: alarm: warn, once, when its headline metric falls below this share of where it started; 0 never does.
        """
        total, count = self.norms.tolist()
        if count:
            self.latest.fill_(measured(run, teacher))
            run.note(**{f"{label}.meta_gradient_norm": total / count})
            self.norms.zero_()
        if self.start[1] > 0:
            run.note(**{f"{label}.teacher_{run.task.metric}": float(self.latest)})
            self._watch(run, teacher, label, alarm)

    def _watch(self, run: RunContext, teacher: str, label: str, alarm: float) -> None:
        start, latest = float(self.start[0]), float(self.latest)
        worse = latest < alarm * start if run.task.higher_is_better else latest * alarm > start
        guess = run.task.chance() or 0.0  # a teacher that only guesses cannot fall
        if alarm and (worse or latest != latest) and start >= 1.5 * guess and self.start[1] == 1:
            self.start[1] = 2
            warnings.warn(
                f"methods.{label}: teacher {teacher!r} collapses, its {run.task.metric} went from {start:.1f} to {latest:.1f}; "
                f"lower optimizers.{teacher}.lr (the paper's are 1e-4 to 3e-4 on CIFAR-100; the released default of 0.05 "
                "ruins it).",
                stacklevel=2,
            )


def measured(run: RunContext, teacher: str) -> float:
    """The teacher's headline metric on validation, or on the quiz where there is no validation split."""
    split = "validation" if run.task.size("validation") else QUIZ
    return float(evaluate(run, run.model(teacher), split).metrics[run.task.metric])
