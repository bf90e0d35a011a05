"""MiniLMv2: queries, keys and values of one layer relate to each other as the teacher's do, whatever the numbers of heads.

Wang, Bao, Huang, Dong, Wei, "MiniLMv2: Multi-Head Self-Attention Relation Distillation for Compressing Pretrained
Transformers", Findings of ACL 2021, arXiv 2012.15828.

    x_relation = mean over relation heads and tokens of KL(r_t || r_s)        X in {Q, K, V}
        r = softmax(X X^T / sqrt(d / A_r)): (B, A_r, T, T)

The heads of a layer are joined and cut into A_r relation heads, the same number in student and teacher. All three with
weight 1, on the student's last layer and the teacher's last (for large teachers the paper takes one further down:
`teacher_layer`). The paper distills a pretrained teacher on a corpus; on a task the terms stand beside labels or `kd`.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.needs import Taps, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_text.layer_match import LayerMatch, LayerMethod, On, models

RELATIONS: tuple[Literal["query_relation", "key_relation", "value_relation"], ...] = (
    "query_relation",
    "key_relation",
    "value_relation",
)


class MiniLMv2(LayerMethod):
    """Args:
    relation_heads: A_r; it must divide both widths. None is the models' own number of heads, if they agree.
    teacher_layer: counted from 1; None is the last.
    """

    def __init__(self, *, relation_heads: int | None = None, teacher_layer: int | None = None) -> None:
        at_least(1, relation_heads=relation_heads, teacher_layer=teacher_layer)
        kinds: tuple[On, ...] = RELATIONS
        super().__init__(**{on: LayerMatch(on=on, mapping="final", relation_heads=relation_heads) for on in kinds})
        self.teacher_layer = teacher_layer

    def further_taps(self, run: RunContext) -> Taps:
        if self.teacher_layer is not None:
            student, _ = models(self, run, tokens=True)
            for match in self.all_matches:
                match.given = [[student.layers, self.teacher_layer]]
        return super().further_taps(run)

    @term()
    def query_relation(self, step: Step) -> Tensor:
        return self.compared("query_relation", step)

    @term()
    def key_relation(self, step: Step) -> Tensor:
        return self.compared("key_relation", step)

    @term()
    def value_relation(self, step: Step) -> Tensor:
        return self.compared("value_relation", step)
