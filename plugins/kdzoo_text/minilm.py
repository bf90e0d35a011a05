"""MiniLM: the last layer looks at the text as the teacher's last layer does, and relates its values alike.

Wang, Wei, Dong, Bao, Yang, Zhou, "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained
Transformers", NeurIPS 2020, arXiv 2002.10957.

    attention      = mean over heads and tokens of KL(a_t || a_s)        a: (B, A, T, T), the softmax of the scores
    value_relation = the same of softmax(V V^T / sqrt(d / A))            V: (B, A, T, d / A)

Both with weight 1, on the last layers, so depths and widths are free; the numbers of heads must agree. The paper distills a
pretrained teacher on a corpus, with no labels. On a task the two terms stand beside labels or `kd`.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo_text.layer_match import LayerMatch, LayerMethod


class MiniLM(LayerMethod):
    """No settings but the weights of its terms."""

    def __init__(self) -> None:
        super().__init__(
            attention=LayerMatch(on="attention", mapping="final"),
            value_relation=LayerMatch(on="value_relation", mapping="final"),
        )

    @term()
    def attention(self, step: Step) -> Tensor:
        return self.compared("attention", step)

    @term()
    def value_relation(self, step: Step) -> Tensor:
        return self.compared("value_relation", step)
