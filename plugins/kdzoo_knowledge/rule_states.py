"""The rules' own distribution: what a model would say if it also listened to the rules."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.protocol.context import RunContext
from kdzoo_knowledge.exact import States
from kdzoo_knowledge.grounded import CAPABILITY, Grounded, sample_theory
from kdzoo_knowledge.logic.weighted import FLOOR


class RuleStates(nn.Module):
    """q(y) proportional to p(y) exp(-C sum_l w_l (1 - r_l(y))) by a task's rules about samples, as new logits of their heads.

    Attributes:
        main: the task's main head; keys: role and name of each head that the rules speak of.

    Raises CapabilityError for a task without such rules.
    """

    def __init__(self, run: RunContext, owner: str) -> None:
        super().__init__()
        if CAPABILITY not in run.task.capabilities:
            raise CapabilityError(f"{owner} needs rules over several heads, which only a task such as `concepts` has.")
        rules = Grounded(run, owner)
        theory = self.theory = sample_theory(rules, owner)
        self.main, self.keys = rules.main, [(variable.role, variable.head.name) for variable in theory.variables]
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
