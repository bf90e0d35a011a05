"""FT: the student imitates a paraphrase of the teacher's last map, found by an auto-encoder beforehand.

Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018, arXiv 1802.04977.

    reconstruction = mean (D(E(F_t)) - F_t)^2                         F_t: (B, C, H, W), E(F_t): (B, k C, H, W)
    ft = mean |E(F_t) / ||E(F_t)|| - T(F_s) / ||T(F_s)|||             per sample, over the flattened factors

Two stages: the paraphraser (E, D) alone on the frozen teacher, 30 epochs, then the translator T and the student beside the
labels' loss, the paraphraser at rest. In practice: k = 0.5, the last map; weight 200 is RepDistiller's, whose tables come
from another factor loss, kept as `FTAttention`: the channels of each factor are averaged away first.

Deviation: the rate of the first stage is the recipe's unless `paraphraser_lr` says otherwise (RepDistiller: 0.01).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from kdzoo.functional.connectors import Paraphraser, Translator
from kdzoo.functional.factors import factor_attention, factor_transfer
from kdzoo.functional.features import mean_squared_error
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, Stage, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_features.tap_checks import map_pairs, pairs, still


class FT(Method):
    """Args: rate: width of the factor over that of the map, k. paraphraser_epochs, paraphraser_lr: of the first stage.
    student_tap, teacher_tap: the maps that are compared.
    """

    compare: Callable[[Tensor, Tensor], Tensor] = staticmethod(factor_transfer)

    def __init__(
        self,
        *,
        rate: float = 0.5,
        paraphraser_epochs: int = 30,
        paraphraser_lr: float | None = None,
        student_tap: str = "last",
        teacher_tap: str = "last",
    ) -> None:
        super().__init__()
        above(0, rate=rate)
        at_least(0, paraphraser_epochs=paraphraser_epochs, paraphraser_lr=paraphraser_lr)
        self._rate, self.epochs, self.stage_lr = rate, paraphraser_epochs, paraphraser_lr
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = map_pairs(self, run)
        self.paraphraser = Paraphraser(teacher[0], rate=self._rate)
        self.translator = Translator(student[0], self.paraphraser.width)

    def stages(self) -> Sequence[Stage]:
        paraphrase = Stage(
            "paraphrase",
            self.epochs,
            {"reconstruction": 1.0},
            trains=("self.paraphraser.*",),
            lr=self.stage_lr,
            student_mode="eval",
        )
        return (paraphrase,) if self.epochs else ()

    @term(weight=0.0)
    def reconstruction(self, step: Step) -> Tensor:
        teacher = pairs(step)[0][1]
        return mean_squared_error(self.paraphraser(teacher)[1], teacher)

    @term(weight=200.0)
    def ft(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return self.compare(self.translator(student), still(self.paraphraser.encoder, teacher))


class FTAttention(FT):
    """FT with RepDistiller's factor loss."""

    compare = staticmethod(factor_attention)
