"""The ablations of the auto-distiller, in which the input table itself gets gradients.

From the released code of Guo et al. (arXiv 2010.08114), h as in `auto_distill`, X_i not detached:

    auto_distill    = mean_i -log exp(h_i . X_i + c_i) / sum_{j in {i} + S} exp(h_i . X_j + c_j)     of auto_distill_infonce
    auto_distill_l2 = mean_i -cos(h_i, X_i)

They have no teacher: the table is the student's tap `table`. Weights and negatives are as for `auto_distill`.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least_and_below
from kdzoo_graph.auto_distill import AutoDistill, Head, Projection, asked
from kdzoo_graph.entity_identification import apart
from kdzoo_graph.self_table import TABLE, table_of


class AutoDistillInfoNCE(AutoDistill):
    """The auto-distiller without the stopped gradient; settings as there."""

    def needs(self) -> Needs:
        return Needs(student_taps=(self.representation, self.items, TABLE), whole_batch=self.negatives == "in_batch")

    def shape(self, run: RunContext) -> tuple[int, ...]:
        return tuple(table_of(run.student, None, f"methods.{self.label}").shape)

    def rows(self, step: Step) -> Tensor:
        return step.student.features[TABLE]


class AutoDistillL2(Method):
    """Each output is pulled to its row of the table. Args: head, dropout, representation, items: as of `auto_distill`."""

    def __init__(
        self,
        *,
        head: Head = "layer_norm",
        dropout: float = 0.0,
        representation: str = "queried",
        items: str = "entities",
    ) -> None:
        super().__init__()
        at_least_and_below(0, 1, dropout=dropout)
        self.head, self.dropout, self.representation, self.items = head, dropout, representation, items

    def needs(self) -> Needs:
        return Needs(student_taps=(self.representation, self.items, TABLE))

    def setup(self, run: RunContext) -> None:
        shapes = run.shapes(self)
        self.project = Projection(shapes[self.representation][-1], shapes[TABLE][-1], head=self.head)

    @term()
    def auto_distill_l2(self, step: Step) -> Tensor:
        vectors, items = asked(step, self.representation, self.items)
        return apart(self.project(vectors, self.dropout), step.student.features[TABLE][items]).mean()
