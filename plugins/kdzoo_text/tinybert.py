"""TinyBERT, on a task: first hidden states and attention scores of all layers, then what the teacher answers.

Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, "TinyBERT: Distilling BERT for Natural Language Understanding", Findings of
EMNLP 2020, arXiv 1909.10351.

    hidden = sum over pairs (s, s L_t / L_s) of mean (W h_s - h_t)^2, the embeddings among them
        h: (B, T, d), one W for all layers
    attention = sum over pairs of mean (a_s - a_t)^2        a: (B, A, T, T), scores before the softmax

Two stages: the intermediate one has both terms and no label, then the recipe's other methods (the paper: `kd` at T 1 alone)
train. In the released code the intermediate stage lasts 5 to 50 epochs by data set, with rate 5e-5, and the second 3 epochs
with rate 3e-5.

Deviations: padding does not count, where the code averages over it (and sets masked scores to 0). The general stage on a
corpus, and augmented data, are not here. Student and teacher need as many heads.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kdzoo.protocol.needs import Stage, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_text.layer_match import LayerMatch, LayerMethod, Projection


class TinyBERT(LayerMethod):
    """Args: intermediate_epochs: length of the first stage; 20 for MRPC and RTE in the released code. 0 leaves it out: then
    set the weights. projection: W; `shared` in the released code.
    """

    def __init__(self, *, intermediate_epochs: int = 20, projection: Projection = "shared") -> None:
        at_least(0, intermediate_epochs=intermediate_epochs)
        super().__init__(
            hidden=LayerMatch(on="hidden", embeddings=True, projection=projection, layers="sum"),
            attention=LayerMatch(on="scores", layers="sum"),
        )
        self.epochs = intermediate_epochs

    def stages(self) -> Sequence[Stage]:
        return (Stage("intermediate", self.epochs, {"hidden": 1.0, "attention": 1.0}),) if self.epochs else ()

    @term(weight=0.0)
    def hidden(self, step: Step) -> Tensor:
        return self.compared("hidden", step)

    @term(weight=0.0)
    def attention(self, step: Step) -> Tensor:
        return self.compared("attention", step)
