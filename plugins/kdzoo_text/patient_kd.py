"""Patient KD: the student's first position (CLS) follows the teacher's through the layers.

Sun, Cheng, Gan, Liu, "Patient Knowledge Distillation for BERT Model Compression", EMNLP 2019, arXiv 1908.09355.

    patience = mean over pairs (s, t), texts and widths of (h_s / |h_s| - h_t / |h_t|)^2
            h: (B, d), the last layer left out

Beside labels and `kd`: (1 - a) CE + a T^2 KL + b patience. In the released code b 500, T 10 (RTE) with this mean over widths
and layers; MetaDistil's code takes b 100 and T 5. `skip` takes every k-th layer of the teacher, `last` those below its last.
The student starts from the teacher's first layers there. The paper has equal widths; `projection` is for others.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo_text.layer_match import LayerMatch, LayerMethod, Projection


class PatientKD(LayerMethod):
    """Args: mapping: `skip` or `last`. projection: for students of another width; `none` in the paper."""

    def __init__(self, *, mapping: Literal["skip", "last"] = "skip", projection: Projection = "none") -> None:
        super().__init__(patience=LayerMatch(on="cls", mapping=mapping, projection=projection))

    @term(weight=500.0)
    def patience(self, step: Step) -> Tensor:
        return self.compared("patience", step)
