"""Layer matching: what layers of an encoder compute is compared with what layers of the teacher compute; all in settings.

Yang, Cui, Chen, Che, Liu, Wang, Hu, "TextBrewer: An Open-Source Knowledge Distillation Toolkit for Natural Language
Processing", ACL 2020 (demonstrations), arXiv 2002.12620.

    match = mean over pairs (s, t) of layers of loss(f_s, f_t)
            f: hidden states (B, T, d), first positions (B, d), attention scores, attention or relations (B, A, T, T)

`on` says what, `loss` how, `mapping` or `pairs` which layers, `projection` how different widths meet. Padding never counts. The
methods `patient_kd`, `distilbert`, `tinybert`, `minilm`, `minilm_v2` and `mobilebert` are this with their papers' settings;
several of these under different labels in one recipe make any other, as the lists of matches of TextBrewer do.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_text.layer_mapping import Mapping
from kdzoo_text.layer_match import LayerMatch, LayerMethod, Loss, On, Projection


class LayerMatching(LayerMethod):
    """Args: on: what is compared. loss: how: `mse` or `cosine` on hidden; `unit_mse` or `mse` on cls; `kl` or `mse` on
    attention; `mse` on
        scores; `kl` on relations. None is the first of these.
    mapping: `uniform`, `skip`, `last` or `final`; pairs: lists [layer of the student, layer of the teacher] instead, counted
        from 1; 0 is the embeddings' output. embeddings: also compare these.
    projection: `linear` (one for each pair), `shared`, or `none`.
    relation_heads: heads of relations; None is the models' own number.
    """

    def __init__(
        self,
        *,
        on: On = "hidden",
        loss: Loss | None = None,
        mapping: Mapping = "uniform",
        pairs: Sequence[Sequence[int]] | None = None,
        embeddings: bool = False,
        projection: Projection = "none",
        relation_heads: int | None = None,
    ) -> None:
        at_least(1, relation_heads=relation_heads)
        super().__init__(
            match=LayerMatch(
                on=on,
                loss=loss,
                mapping=mapping,
                pairs=pairs,
                embeddings=embeddings,
                projection=projection,
                relation_heads=relation_heads,
            )
        )

    @term()
    def match(self, step: Step) -> Tensor:
        return self.compared("match", step)
