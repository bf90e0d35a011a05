"""Rule projection: a teacher's answer, corrected by the rules before a method sees it ("knowledge-corrected distillation").

    q(y) proportional to p(y) exp(-C sum_l w_l (1 - r_l(y))),  p = softmax(z_t / T);  z_t' = T log q        on each head

with p over all heads of the teacher that rules speak of, as in Hu et al., ACL 2016 (arXiv 1603.06318), where p is the student's
own answer (`rule_teacher`), and T the temperature of the method. A transform of one method's logits: `kd: {logits:
[rule_projection]}`. The method may read any head. The student's logits stay. The combination with distillation is ours.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method, Transform
from kdzoo.protocol.outputs import Pair, Step
from kdzoo.ranges import at_least
from kdzoo_knowledge.rule_states import RuleStates
from kdzoo_knowledge.tasks.heads import rows_of


class RuleProjection(Transform):
    """Args: strength: C >= 0; 6 in Hu et al.'s code."""

    changes = frozenset({"teacher"})

    def __init__(self, *, strength: float = 6.0) -> None:
        super().__init__()
        at_least(0, strength=strength)
        self.strength = strength

    def setup(self, run: RunContext, method: Method) -> None:
        self.states = RuleStates(run, f"methods.{method.label}: rule_projection")

    def forward(self, pair: Pair, step: Step) -> Pair:
        if pair.teacher is None:
            return pair
        head = step.teacher.reads or self.states.main
        logits = {key: self._logits(key[1], head, pair, step) / pair.temperature for key in self.states.keys}
        found = self.states(logits, self.strength)
        if ("", head) not in found:
            return pair
        return replace(pair, teacher=replace(pair.teacher, scores=pair.temperature * found["", head]))

    def _logits(self, name: str, head: str, pair: Pair, step: Step) -> Tensor:
        """The teacher's logits of a head; of the one that is being changed as earlier transforms left them."""
        assert pair.teacher is not None
        return pair.teacher.logits if name == head else rows_of(step.teacher, name, self.states.main).logits
