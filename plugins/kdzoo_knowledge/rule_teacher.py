"""Rule teacher: the student's own answer, corrected by the rules.

Hu, Ma, Liu, Hovy, Xing, "Harnessing Deep Neural Networks with Logic Rules", ACL 2016 (arXiv 1603.06318).

    q(y) proportional to p(y) exp(-C sum_l w_l (1 - r_l(y)))        over the joint states of the heads that rules speak of

p is what the student says, detached; its heads' marginals of q are the answer, as logits. It costs no further forward. C is
`strength`, 6 in the authors' code; infinity conditions on the rules. `rule_distillation` is the paper's loss; any logit method
can listen to it as well, each head by `reads`. The transform `rule_projection` corrects another teacher in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.teacher import Teacher
from kdzoo.ranges import at_least
from kdzoo_knowledge.rule_states import RuleStates


class RuleTeacher(Teacher):
    """Args: strength: C >= 0."""

    frozen = False

    def __init__(self, *, strength: float = 6.0) -> None:
        super().__init__()
        at_least(0, strength=strength)
        self.strength = strength

    def build(self, run: RunContext) -> None:
        self.states = RuleStates(run, f"teachers.{self.name}")

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        told = run.forward(run.first, batch, view=view, commit=False).detach() if student is None else student
        heads: dict[str, Rows] = {name: rows for name, rows in told.heads.items() if isinstance(rows, Rows)}
        heads[self.states.main] = told.rows
        found = self.states({key: heads[key[1]].logits for key in self.states.keys}, self.strength)
        heads |= {name: replace(heads[name], scores=logits) for (_, name), logits in found.items()}
        return Output(heads[self.states.main], heads=dict(heads))
