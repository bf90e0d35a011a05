"""Auto-distiller: what the network makes of an item must tell which row of the input table the item has.

Guo et al., "Decentralized Knowledge Graph Representation Learning" (arXiv 2010.08114).

    auto_distill = mean_i -log exp(h_i . sg(X_i) + c_i) / sum_{j in {i} + S} exp(h_i . sg(X_j) + c_j)
    h = LN(relu(W z + b)): (R, d) from the item's representation z; X: (n, d) the input table, no gradient; c: (n,) learned

It bounds the mutual information of output and input row from below (InfoNCE with a learned bilinear critic). The table is the
teacher `self_table`. Any model with an input table can use it: name the taps of the representations and of the numbers of their
rows, e.g. `{representation: encoder.layer.11, items: embeddings.word_embeddings:input}`.

Released: 64 log-uniform negatives by the sampled softmax, whose logits are less the log of a row's expected count; alignment at
weight 1 for each of the two entities (here the mean over both: weight 2), entity prediction at weight 0.001 with `head: unit`,
unit rows and dropout on h. There the table is sorted by frequency, in alignment it is not: take `uniform` there.

Deviations: none in value. `full` and `in_batch` (cosines at a temperature) are further choices of the negatives.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.errors import RecipeError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least, at_least_and_below
from kdzoo_graph.entity_identification import identify, identify_in_batch, identify_sampled
from kdzoo_graph.sampling import SAMPLERS
from kdzoo_graph.self_table import TABLE

Head = Literal["layer_norm", "unit"]


class Projection(nn.Module):
    """h: from representations (R, D) to the table's width (R, d). Args: head: what follows the ReLU."""

    def __init__(self, wide: int, width: int, *, head: Head) -> None:
        super().__init__()
        self.dense = nn.Linear(wide, width)
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        self.norm = nn.LayerNorm(width, eps=1e-6) if head == "layer_norm" else None

    def forward(self, representation: Tensor, dropout: float) -> Tensor:
        hidden = self.dense(representation).relu()
        if self.norm is None:
            return F.dropout(F.normalize(hidden, dim=-1), dropout, self.training)
        out: Tensor = self.norm(F.dropout(hidden, dropout, self.training))
        return out


class AutoDistill(Method):
    """The auto-distiller.

    Args:
        negatives: the other rows: `sampled`, the whole table (`full`), or those of the batch (`in_batch`).
        count, sampler: of `sampled`; 64 and log_uniform in the released code.
        temperature: of `in_batch`.
        head: LayerNorm after the ReLU, or unit length of h and of the rows. dropout: on h.
        representation, items: taps of the representations (B, ..., D) and of their rows' numbers (B, ...).
    """

    def __init__(
        self,
        *,
        negatives: Literal["sampled", "full", "in_batch"] = "sampled",
        count: int = 64,
        sampler: Literal["log_uniform", "uniform"] = "log_uniform",
        temperature: float = 0.1,
        head: Head = "layer_norm",
        dropout: float = 0.0,
        representation: str = "queried",
        items: str = "entities",
    ) -> None:
        super().__init__()
        at_least(1, count=count)
        above(0, temperature=temperature)
        at_least_and_below(0, 1, dropout=dropout)
        self.negatives, self.count, self.sampler, self.temperature = negatives, count, sampler, temperature
        self.head, self.dropout, self.representation, self.items = head, dropout, representation, items

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=(self.representation, self.items), whole_batch=self.negatives == "in_batch")

    def setup(self, run: RunContext) -> None:
        rows, width = self.shape(run)
        if self.negatives == "sampled" and self.count >= rows:
            raise RecipeError(
                f"methods.{self.label}.count is {self.count}, but the table has only {rows} rows to draw from; set it lower, "
                f"or compare with all of them: methods.{self.label}.negatives=full."
            )
        self.project = Projection(run.shapes(self)[self.representation][-1], width, head=self.head)
        if self.negatives != "in_batch":
            self.bias = nn.Parameter(torch.zeros(rows))

    def shape(self, run: RunContext) -> tuple[int, ...]:
        """(n, d) of the table. Raises RecipeError where the teacher has none to show."""
        name = run.teacher_of(self)
        output = run.answer(name, run.task.example())
        if TABLE not in output.heads:
            kind = run.settings["teachers"][name]["use"]
            raise RecipeError(
                f"methods.{self.label} identifies rows of an input table, but teacher {name!r} is {kind!r}, which has none to "
                "show; use teacher: {use: self_table}."
            )
        return tuple(output.tensor(TABLE).shape)

    def rows(self, step: Step) -> Tensor:
        """The table (n, d)."""
        return step.teacher.tensor(TABLE)

    @term()
    def auto_distill(self, step: Step) -> Tensor:
        vectors, items = asked(step, self.representation, self.items)
        table = F.normalize(self.rows(step), dim=-1) if self.head == "unit" else self.rows(step)
        student = self.project(vectors, self.dropout)
        if self.negatives == "in_batch":
            return identify_in_batch(student, table[items], items, temperature=self.temperature).mean()
        if self.negatives == "full":
            return identify(student, table, items, self.bias).mean()
        sampled, expected = self._sampled(step, len(table))
        return identify_sampled(student, table, items, self.bias, sampled=sampled, expected=expected).mean()

    def _sampled(self, step: Step, rows: int) -> tuple[Tensor, Tensor]:
        """The same negatives for all micro-batches of a step, and in all processes."""
        place = (step.label, "negatives", step.stage, step.batch.epoch, step.batch.number)
        sampled, expected = SAMPLERS[self.sampler](rows, self.count, step.streams.generator("method", *place))
        device = step.student.rows.logits.device
        return sampled.to(device), expected.to(device)


def asked(step: Step, representation: str, items: str) -> tuple[Tensor, Tensor]:
    """The tapped representations (R, D) and the numbers of their rows (R,)."""
    features = step.student.features
    if features[items].is_floating_point():
        raise RecipeError(f"methods.{step.label}.items taps {items!r}, which gives no numbers of rows; tap integers.")
    return features[representation].flatten(0, -2), features[items].flatten()
