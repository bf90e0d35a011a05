"""MobileBERT's transfer: hidden states and attention of every layer, all at once or layer by layer from below.

Sun, Yu, Song, Liu, Yang, Zhou, "MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited Devices", ACL 2020, arXiv
2004.02984.

    feature_map = mean over layers of mean (h_s - h_t)^2                              h: (B, T, d)
    attention   = mean over layers of the mean over heads and tokens of KL(a_t || a_s)     a: (B, A, T, T)

In the paper student and teacher have equally many layers of equal outer width, so there is no projection; the model itself,
with its bottlenecks, is the transformers library's. With `layer_epochs` the transfer is progressive: a stage for each layer,
in which this layer alone trains; then the recipe's other methods train alone. The paper does this while it pretrains, and
adds masked words.

Deviation: lower layers are frozen in a stage, where the paper also tries a small rate for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.needs import Stage, Taps, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_text.layer_mapping import Pair
from kdzoo_text.layer_match import LayerMatch, LayerMethod, Projection, models
from kdzoo_text.models.classifier import layer_list

TERMS = ("feature_map", "attention")


class MobileBERT(LayerMethod):
    """Args:
    layer_epochs: length of each layer's stage; 0 compares all layers beside the recipe's other methods.
    projection: for students of another width; `none` in the paper.
    """

    def __init__(self, *, layer_epochs: int = 0, projection: Projection = "none") -> None:
        at_least(0, layer_epochs=layer_epochs)
        super().__init__(
            feature_map=LayerMatch(on="hidden", projection=projection),
            attention=LayerMatch(on="attention"),
        )
        self.epochs = layer_epochs
        if layer_epochs:
            self.weights = dict.fromkeys(TERMS, 0.0)

    def further_taps(self, run: RunContext) -> Taps:
        student, _ = models(self, run, tokens=True)
        self.path = f"student.model.{layer_list(student.model)[0]}"
        return super().further_taps(run)

    def stages(self) -> Sequence[Stage]:
        if not self.epochs:
            return ()
        below = ("student.model.*embeddings.*",)
        return [
            Stage(
                f"layer{s}",
                self.epochs,
                dict.fromkeys(TERMS, 1.0),
                (f"{self.path}.{s - 1}.*", "self.*", *(below if s == 1 else ())),
            )
            for s, _ in self.all_matches[0].pairs
        ]

    @term()
    def feature_map(self, step: Step) -> Tensor:
        return self.compared("feature_map", step, self._now(step))

    @term()
    def attention(self, step: Step) -> Tensor:
        return self.compared("attention", step, self._now(step))

    def _now(self, step: Step) -> Sequence[Pair]:
        """The layer of the stage, or all."""
        pairs = self.all_matches[0].pairs
        return [pair for pair in pairs if step.stage.endswith(f".layer{pair[0]}")] or pairs
