"""Rule distillation: labels and a rule teacher, weighed by an imitation parameter that grows.

Hu, Ma, Liu, Hovy, Xing, "Harnessing Deep Neural Networks with Logic Rules", ACL 2016 (arXiv 1603.06318).

    labels    = (1 - pi) sum over heads of mean_b CE(z_b, t_b)
    imitation = pi sum over heads of mean_b CE(z_b, q_b)         q: the teacher's distribution on each head

The teacher is `rule_teacher`, or any other on the same task. It stands in the place of `hard_label`. The schedule `imitation`
lets pi grow as in the paper, min(most, 1 - decay^t):

    schedules: {methods.rule_distillation.pi: {use: imitation, decay: 0.95}}

Samples without a label have the second part alone. Where the teacher's strength is infinite, the gradient of `imitation` is pi
times that of `semantic_loss`. Deviation: the first part is a mean over the labeled samples, the second over all.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import between
from kdzoo_knowledge.grounded import CAPABILITY
from kdzoo_knowledge.tasks.heads import rows_of


class RuleDistillation(Method):
    """Args: pi: how much the teacher counts, 0 to 1, where no schedule moves it."""

    def __init__(self, *, pi: float = 0.5) -> None:
        super().__init__()
        between(0, 1, pi=pi)
        self.pi = pi

    def needs(self) -> Needs:
        return Needs(teacher=True, capabilities=frozenset({CAPABILITY}))

    def setup(self, run: RunContext) -> None:
        self.main: str = run.task.main  # type: ignore[attr-defined]
        self.heads = dict(run.task.knowledge.vocabulary.heads)  # type: ignore[attr-defined]

    @term(over=LABELS)
    def labels(self, step: Step) -> Tensor:
        return (1 - self.pi) * step.supervise(step.student)

    @term()
    def imitation(self, step: Step) -> Tensor:
        losses = []
        for name, head in self.heads.items():
            student = rows_of(step.student, name, self.main).logits.float()
            teacher = rows_of(step.teacher, name, self.main).logits.float()
            if head.binary:
                loss = F.binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="none").sum(1).mean()
            else:
                loss = F.cross_entropy(student, teacher.softmax(1))
            losses.append(loss)
        return self.pi * torch.stack(losses).sum(0)
