"""KD-pt with KD-sim: the label keeps the teacher's probability, and the rest is spread over the classes that are alike.

Tang, Shivanna, Zhao, Lin, Singh, Chi, Jain, "Understanding and Improving Knowledge Distillation", 2020 (arXiv 2002.03532).

    rho_y = q_y,   rho_i = (1 - q_y) s_i / (1 - s_y) for i != y        q = softmax(z_t / T), s = the rho of `kd_sim` for class y

The teacher's confidence in an example and its relation of classes, but not what it says of other classes at that example. A
transform of one method's logits, `kd: {logits: [kd_pt_sim]}`, at whatever temperature the method has; s has its own. Rows
without a label are left alone.

The paper combines the two; how exactly we could not read, so the formula is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.functional.labels import label_mask
from kdzoo.models.tap_names import classifier_of
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method, Transform
from kdzoo.protocol.outputs import Pair, Step
from kdzoo.ranges import above
from kdzoo_smoothing.class_similarity import Negatives, log_similarity
from kdzoo_smoothing.targets import labels_of, several_classes, with_target


def spread_by_similarity(log_q: Tensor, label: Tensor, log_similar: Tensor) -> Tensor:
    """(R, C) log-probabilities with those of the label (R,) as they are, the others in proportion to `log_similar` (C, C)."""
    mask = label_mask(label, log_q.shape[-1])
    rest = log_q.masked_fill(mask, -torch.inf).logsumexp(-1, keepdim=True)
    among = log_similar[label].masked_fill(mask, -torch.inf).log_softmax(-1)
    return torch.where(mask, log_q, rest + among)


class KDptSim(Transform):
    """Args: alpha, temperature, negatives: of the similarity, as for the teacher `kd_sim`."""

    changes = frozenset({"teacher"})

    log_similar: Tensor

    def __init__(self, *, alpha: float = 1.0, temperature: float = 0.2, negatives: Negatives = "signed") -> None:
        super().__init__()
        above(0, alpha=alpha, temperature=temperature)
        self.alpha, self.temperature, self.negatives = alpha, temperature, negatives

    def setup(self, run: RunContext, method: Method) -> None:
        where = f"kd_pt_sim of methods.{method.label}"
        several_classes(run, where)
        name = run.teacher_of(method) if run.teachers else ""
        teacher = run.teachers.get(name)
        if teacher is None or teacher.model is None or teacher.trains:
            raise CapabilityError(
                f"{where} reads the classifier of a teacher that stands still, but "
                f"{f'teacher {name!r} is none' if teacher is not None else 'there is no teacher'}; use a frozen teacher."
            )
        weight = classifier_of(teacher.model).weight.detach()
        similar = log_similarity(weight, alpha=self.alpha, temperature=self.temperature, negatives=self.negatives)
        self.register_buffer("log_similar", similar)

    def forward(self, pair: Pair, step: Step) -> Pair:
        if pair.teacher is None or pair.student.target is None:
            return pair
        label, known = labels_of(pair, pair.teacher.width)
        return with_target(
            pair, lambda log_q: torch.where(known, spread_by_similarity(log_q, label, self.log_similar.to(log_q.dtype)), log_q)
        )
