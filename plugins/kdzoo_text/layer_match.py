"""One kind of quantity, compared between pairs of layers: what the methods of this family are made of.

Shapes: B texts, T positions, d_s and d_t the widths, A heads. Attention scores and relations are computed from the tapped
queries, keys and values, so neither model has to give up fused attention, and dropout inside attention does not reach the
comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.functional import tokens
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, Taps
from kdzoo.protocol.outputs import Step
from kdzoo_text.inputs import TOKENS, mask_of
from kdzoo_text.layer_mapping import Mapping as LayerMapping
from kdzoo_text.layer_mapping import Pair, checked, layer_pairs
from kdzoo_text.models.classifier import TextClassifier, same_tokens

On = Literal["hidden", "cls", "attention", "scores", "query_relation", "key_relation", "value_relation"]
Loss = Literal["mse", "cosine", "unit_mse", "kl"]
Projection = Literal["none", "linear", "shared"]

TAPS: Mapping[On, Sequence[str]] = {
    "hidden": ["hidden"],
    "cls": ["cls"],
    "attention": ["query", "key"],
    "scores": ["query", "key"],
    "query_relation": ["query"],
    "key_relation": ["key"],
    "value_relation": ["value"],
}
LOSSES: Mapping[On, Sequence[Loss]] = {
    "hidden": ["mse", "cosine"],
    "cls": ["unit_mse", "mse"],
    "attention": ["kl", "mse"],
    "scores": ["mse"],
    "query_relation": ["kl"],
    "key_relation": ["kl"],
    "value_relation": ["kl"],
}
"""What may be compared how; the first is the usual one."""


class LayerMatch(nn.Module):
    """A comparison of layers.

    Args:
        on: what is compared. loss: how; None is the usual way for it.
        mapping: which layers, see `layer_mapping`; pairs: these instead.
        embeddings: also compare the embeddings' outputs.
        projection: of the student's states to the teacher's width, with bias: `linear` one for each pair, `shared` one for all,
            `none` where the widths are equal.
        relation_heads: into how many heads queries, keys and values are cut; None is the models' own number, which must agree.
        layers: whether a loss is the mean or the sum over the pairs.
    """

    def __init__(
        self,
        *,
        on: On,
        loss: Loss | None = None,
        mapping: LayerMapping = "uniform",
        pairs: Sequence[Sequence[int]] | None = None,
        embeddings: bool = False,
        projection: Projection = "none",
        relation_heads: int | None = None,
        layers: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        if loss is not None and loss not in LOSSES[on]:
            raise ValueError(f"loss must be one of {', '.join(LOSSES[on])} on {on}, got {loss}")
        if embeddings and on not in ("hidden", "cls"):
            raise ValueError(f"embeddings have no {on}: compare them on hidden or cls")
        if projection != "none" and on not in ("hidden", "cls"):
            raise ValueError(f"projection must be none on {on}, which has no width, got {projection}")
        self.on, self.loss, self.mapping, self.given = on, loss or LOSSES[on][0], mapping, pairs
        self.embeddings, self.projection, self.relation_heads = embeddings, projection, relation_heads
        self.layers = layers
        self.pairs: list[Pair] = []
        self.heads = (1, 1)

    def choose(self, method: Method, run: RunContext) -> Taps:
        """Decide on the pairs, now that the models are there, and say which features are needed."""
        student, teacher = models(method, run, tokens=self.on != "cls")
        causal = next((role for role, model in (("student", student), ("teacher", teacher)) if model.causal), None)
        if self.on == "cls" and causal:
            raise CapabilityError(
                f"methods.{method.label} compares first positions, but the {causal} reads from left to right, so its first "
                "position has not seen the text; compare hidden states or logits."
            )
        if self.given is not None:
            self.pairs = checked(self.given, student.layers, teacher.layers, f"methods.{method.label}.pairs")
        else:
            if student.layers > teacher.layers:
                raise CapabilityError(
                    f"methods.{method.label}: the student has {student.layers} layers, the teacher only {teacher.layers}; "
                    "name the pairs of layers yourself, or use a deeper teacher."
                )
            self.pairs = layer_pairs(self.mapping, student.layers, teacher.layers, embeddings=self.embeddings)
        if not self.pairs:
            raise CapabilityError(
                f"methods.{method.label}: mapping {self.mapping!r} leaves out the last layer, and the student has only one; "
                "use another mapping, or a deeper student."
            )
        if self.on not in ("hidden", "cls"):
            self._check_attention(method, student, teacher)
        return Taps(
            [name for s, _ in self.pairs for name in self._taps(s)], [name for _, t in self.pairs for name in self._taps(t)]
        )

    def _check_attention(self, method: Method, student: TextClassifier, teacher: TextClassifier) -> None:
        for role, model, layers in (
            ("student", student, [s for s, _ in self.pairs]),
            ("teacher", teacher, [t for _, t in self.pairs]),
        ):
            missing = next((tap for layer in layers for tap in self._taps(layer) if tap not in model.taps), None)
            if self.on in ("attention", "scores") and not model.plain:
                missing = missing or f"attention{layers[0]}"
            if missing:
                raise CapabilityError(
                    f"methods.{method.label} compares {self.on}, but the {role} has no {missing!r}: its attention is built "
                    "otherwise. Compare hidden or cls, or use a BERT-like model."
                )
        self.heads = (self.relation_heads or student.heads, self.relation_heads or teacher.heads)
        widths = {"student": student.width, "teacher": teacher.width}
        for (role, width), heads in zip(widths.items(), self.heads, strict=True):
            if width % heads:
                raise CapabilityError(
                    f"methods.{method.label}: the width of the {role}, {width}, cannot be cut into {heads} relation heads; "
                    "choose a number that divides both widths."
                )
        if self.heads[0] != self.heads[1]:
            hint = "relations (minilm_v2) need no equal numbers" if self.on in ("attention", "scores") else "set relation_heads"
            raise CapabilityError(
                f"methods.{method.label} compares {self.on} head by head, but the student has {self.heads[0]} heads and the "
                f"teacher {self.heads[1]}; use a student with as many, or {hint}."
            )

    def build(self, method: Method, run: RunContext) -> None:
        """The projections, or the refusal of widths that differ."""
        if self.on not in ("hidden", "cls"):
            return
        student, teacher = models(method, run, tokens=self.on != "cls")
        if self.projection == "none" and student.width != teacher.width:
            raise CapabilityError(
                f"methods.{method.label} compares {self.on} states of widths {student.width} and {teacher.width}; set "
                f"methods.{method.label}.projection=linear (or shared) to map the student's, or use models of one width."
            )
        if self.projection != "none":
            number = 1 if self.projection == "shared" else len(self.pairs)
            self.maps = nn.ModuleList(nn.Linear(student.width, teacher.width) for _ in range(number))

    def forward(self, step: Step, pairs: Sequence[Pair] | None = None) -> Tensor:
        """The mean (or sum) over the pairs, or over some of them."""
        mask = mask_of(step.batch)
        chosen = self.pairs if pairs is None else pairs
        each = torch.stack([self._compared(step, mask, pair) for pair in chosen])
        return each.mean() if self.layers == "mean" else each.sum()

    def _compared(self, step: Step, mask: Tensor, pair: Pair) -> Tensor:
        student = [step.student.features[name] for name in self._taps(pair[0])]
        teacher = [step.teacher.features[name] for name in self._taps(pair[1])]
        if self.on in ("hidden", "cls"):
            return self._states(self._projected(student[0], pair), teacher[0], mask)
        own, other = (tokens.scores(x[0], x[-1], heads) for x, heads in zip((student, teacher), self.heads, strict=True))
        if self.on == "scores":
            return tokens.score_mse(own, other, mask)
        return (tokens.attention_kl if self.loss == "kl" else tokens.attention_mse)(own, other, mask)

    def _projected(self, states: Tensor, pair: Pair) -> Tensor:
        if self.projection == "none":
            return states
        mapped: Tensor = self.maps[0 if self.projection == "shared" else self.pairs.index(pair)](states)
        return mapped

    def _states(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        if self.on == "cls":
            return tokens.unit_mse(student, teacher) if self.loss == "unit_mse" else (student - teacher).square().mean()
        return (tokens.token_cosine if self.loss == "cosine" else tokens.token_mse)(student, teacher, mask)

    def _taps(self, layer: int) -> list[str]:
        return [f"{kind}{layer}" for kind in TAPS[self.on]]


def models(method: Method, run: RunContext, *, tokens: bool) -> tuple[TextClassifier, TextClassifier]:
    """The student and the teacher.

    Args: tokens: whether single positions are compared. Raises CapabilityError: they are no text classifiers, or read different
    tokens.
    """
    name = run.teacher_of(method)
    teacher = run.teachers[name].model
    for role, model in (("student", run.student), (f"teacher {name!r}", teacher)):
        if not isinstance(model, TextClassifier):
            raise CapabilityError(f"methods.{method.label} compares layers of transformers, but the {role} is none.")
    assert isinstance(run.student, TextClassifier)
    assert isinstance(teacher, TextClassifier)
    if tokens and not same_tokens(run.student, teacher):
        raise CapabilityError(
            f"methods.{method.label} compares tokens, but student and teacher have different tokenizers, whose positions do "
            "not correspond; use one tokenizer for both, or a method that compares logits."
        )
    return run.student, teacher


class LayerMethod(Method):
    """Base of methods that are made of comparisons of layers, by name, in `matches`."""

    def __init__(self, **matches: LayerMatch) -> None:
        super().__init__()
        self.matches = nn.ModuleDict(matches)

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, capabilities=frozenset({"features", TOKENS}))

    def further_taps(self, run: RunContext) -> Taps:
        found = [match.choose(self, run) for match in self.all_matches]
        student = dict.fromkeys(name for each in found for name in each.student)
        teacher = dict.fromkeys(name for each in found for name in each.teacher)
        return Taps(list(student), list(teacher))

    def setup(self, run: RunContext) -> None:
        for match in self.all_matches:
            match.build(self, run)

    @property
    def all_matches(self) -> Sequence[LayerMatch]:
        return [match for match in self.matches.values() if isinstance(match, LayerMatch)]

    def compared(self, name: str, step: Step, pairs: Sequence[Pair] | None = None) -> Tensor:
        """One of the comparisons, over all its pairs or some."""
        value: Tensor = self.matches[name](step, pairs)
        return value
