"""The inner step of the whole student: its optimizer's rules, and clipping of the gradient before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from kdzoo_meta.gradients.pullbacks import Rule, State, clipped, unclipped
from kdzoo_meta.gradients.vectors import Vector

States = Mapping[str, State]


@dataclass(frozen=True)
class InnerStep:
    """U for all parameters by name.

    Attributes:
        rules, states: of each parameter, at the start of the window.
        limit: the gradient's largest norm; None does not clip.
    """

    rules: Mapping[str, Rule]
    states: States
    limit: float | None = None

    @property
    def needs_gradient(self) -> bool:
        """Whether the way back depends on the gradient itself."""
        return self.limit is not None or not all(rule.linear for rule in self.rules.values())

    def step(self, theta: Vector, gradient: Vector, states: States) -> tuple[dict[str, Tensor], dict[str, State]]:
        """The parameters and states after it; what has no gradient stays, as in torch."""
        moved, after = dict(theta), dict(states)
        gradient = gradient if self.limit is None else clipped(gradient, self.limit)
        for name, g in gradient.items():
            moved[name], after[name] = self.rules[name].step(theta[name], g, states[name])
        return moved, after

    def pull(
        self, theta: Vector, gradient: Mapping[str, Tensor], states: States, to_theta: Vector, to_states: States
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, State]]:
        """Gradients with respect to theta (other than through the gradient), the gradient and the states.

        Args:
            gradient: the raw gradient at `theta`; where `needs_gradient` is False only its names matter.
            to_theta, to_states: gradients with respect to what `step` returned; no `to_states` means zero.
        """
        kept, before = dict(to_theta), dict(to_states)
        used = gradient if self.limit is None else clipped(gradient, self.limit)
        along = {}
        for name, g in used.items():
            kept[name], along[name], before[name] = self.rules[name].pull(
                theta[name], g, states[name], to_theta[name], to_states.get(name, ())
            )
        return kept, along if self.limit is None else unclipped(gradient, along, self.limit), before
