"""The rules' own distribution: what a model would say if it also listened to the rules."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kdzoo_knowledge.exact import States
from kdzoo_knowledge.logic.weighted import FLOOR
from kdzoo_knowledge.theory import Theory


class RuleStates(nn.Module):
    """q(y) proportional to p(y) exp(-C sum_l w_l (1 - r_l(y))) in one theory, as new logits of its heads."""

    def __init__(self, theory: Theory, owner: str) -> None:
        super().__init__()
        self.theory = theory
        self.parts = nn.ModuleList(States(component, owner) for component in theory.components)
        for number, component in enumerate(theory.components):
            weights = torch.tensor([theory.rules[rule].weight for rule in component.rules])
            self.register_buffer(f"weights{number}", weights, persistent=False)

    @torch.no_grad()
    def forward(self, logits: Mapping[tuple[str, str], Tensor], strength: float) -> dict[tuple[str, str], Tensor]:
        """Log-probabilities (G, C) of each softmax head, log-odds (G, n) of each binary one, by role and head."""
        literals = self.theory.log_literals(logits)
        for number, part in enumerate(self.parts):
            assert isinstance(part, States)
            literals = part.log_marginals(literals, self.get_buffer(f"weights{number}"), strength)
        found = {}
        for variable in self.theory.variables:
            own = literals[:, variable.start : variable.start + variable.width]
            n = len(variable.head.classes)
            odds = (own[:, :n] - own[:, n:]).clamp(FLOOR, -FLOOR) if variable.head.binary else own
            found[variable.role, variable.head.name] = odds
        return found
