"""DistilBERT: the student's last hidden states point where the teacher's do.

Sanh, Debut, Chaumond, Wolf, "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter", 2019, arXiv
1910.01108.

    cosine = mean over tokens of 1 - cos(h_s, h_t)        h: (B, T, d) of the last layers

The paper distills while it pretrains: 5 x kd at T 2, 2 x masked language modeling and 1 x cosine in the released recipe. On
a labeled task the labels stand in the place of the masked words: `kd: {temperature: 2, weights: {kd: 5}}`, `hard_label:
{weights: {hard_label: 2}}`. The student starts from every second layer of the teacher (`student_from_teacher`). The paper has
equal widths; `projection` is for others.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo_text.layer_match import LayerMatch, LayerMethod, Projection


class DistilBERT(LayerMethod):
    """Args: projection: for students of another width; `none` in the paper."""

    def __init__(self, *, projection: Projection = "none") -> None:
        super().__init__(cosine=LayerMatch(on="hidden", loss="cosine", mapping="final", projection=projection))

    @term()
    def cosine(self, step: Step) -> Tensor:
        return self.compared("cosine", step)
