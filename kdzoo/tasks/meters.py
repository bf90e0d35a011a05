"""Meters of classification: top-1 and top-5 accuracy in percent, negative log-likelihood, expected calibration error."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.protocol.outputs import Batch, Output

BINS = 15


class ClassificationMeter:
    """Keeps logits (N, C) and labels (N,); everything else is computed from them once."""

    def __init__(self) -> None:
        self.logits: list[Tensor] = []
        self.target: list[Tensor] = []

    def update(self, output: Output, batch: Batch) -> None:
        self.logits.append(output.rows.logits)
        self.target.append(batch.target)

    def result(self) -> dict[str, float]:
        logits, target = torch.cat(self.logits).double(), torch.cat(self.target)
        correct = _hits(logits, target)
        return {
            "top1": 100.0 * correct[:, 0].double().mean().item(),
            "top5": 100.0 * correct.any(1).double().mean().item(),
            "nll": F.cross_entropy(logits, target).item(),
            "ece": calibration_error(logits, target),
        }

    def arrays(self) -> dict[str, Tensor]:
        logits, target = torch.cat(self.logits).cpu(), torch.cat(self.target).cpu()
        return {"logits": logits, "target": target, "score": 100.0 * _hits(logits.double(), target)[:, 0]}


def _hits(logits: Tensor, target: Tensor, most: int = 5) -> Tensor:
    """Whether each of the most probable classes, best first, is the label: (N, min(5, C))."""
    return logits.topk(min(most, logits.shape[1]), dim=1).indices == target[:, None]


def faithfulness(student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, float]:
    """How far the student's answers are the teacher's; nothing where they tell other classes apart.

    Stanton et al., "Does Knowledge Distillation Really Work?", NeurIPS 2021 (arXiv 2106.05945): agreement, the percentage of
    samples with the same most probable class, and the mean of KL(teacher, student) in nats. `error_agreement` is the agreement
    on the samples that the teacher gets wrong.

    Args:
        student, teacher: logits (N, C). target: labels (N,).
    """
    if student.shape != teacher.shape:
        return {}
    student, teacher = student.double(), teacher.double()
    said = teacher.argmax(1)
    same = (student.argmax(1) == said).double()
    wrong = said != target
    log_s, log_t = student.log_softmax(1), teacher.log_softmax(1)
    found = {
        "agreement": 100.0 * same.mean().item(),
        "kl": F.kl_div(log_s, log_t, reduction="batchmean", log_target=True).item(),
    }
    return found | ({"error_agreement": 100.0 * same[wrong].mean().item()} if wrong.any() else {})


def calibration_error(logits: Tensor, target: Tensor, bins: int = BINS) -> float:
    """Expected calibration error over equal-width bins (lo, hi] of the top-1 confidence (Guo et al., ICML 2017)."""
    confidence, predicted = logits.softmax(1).max(1)
    place = (confidence * bins).ceil().long().clamp_(1, bins) - 1
    correct = (predicted == target).to(logits.dtype)
    zeros = logits.new_zeros(bins)
    gap = zeros.index_add(0, place, correct) - zeros.index_add(0, place, confidence)
    return (gap.abs().sum() / len(target)).item()
