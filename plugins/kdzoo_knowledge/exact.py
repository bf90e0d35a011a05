"""Exact probabilities of rules: states are enumerated once, then each batch is two matrix products.

A component (rules that share concepts) that is one count of different binary concepts has a closed form at any size
(`logic.counting`). One whose states are too many to enumerate is compiled to a circuit where PySDD is installed (`circuit`),
and refused where it is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdzoo.errors import RecipeError
from kdzoo.extras import command
from kdzoo_knowledge.circuit import Circuit, available
from kdzoo_knowledge.declaration.expressions import AtLeast, AtMost, Atom, Count
from kdzoo_knowledge.logic.counting import log_count_distribution
from kdzoo_knowledge.logic.projection import marginals, projected
from kdzoo_knowledge.logic.weighted import log_weighted_count, state_log_weights
from kdzoo_knowledge.theory import Component, Theory

STATES = 1_000_000
"""Joint states that are enumerated at most."""
KEPT = 2**27
"""Numbers of the satisfying states that are kept at most: half a gigabyte."""


class Satisfying(nn.Module):
    """The log-probability that all rules of a component hold, from its satisfying states. Moves with its method."""

    def __init__(self, component: Component, owner: str) -> None:
        super().__init__()
        refuse_large(component, owner)
        models = component.models()
        if not len(models):
            raise RecipeError(
                f"{owner}: no state satisfies {component.at_fault()}, whose probability is then 0 whatever the model says; it "
                "takes rules of every priority to hold: change one, or use tnorm_constraint."
            )
        self.register_buffer("models", models, persistent=False)

    def forward(self, literals: Tensor) -> Tensor:
        """(G,) from log-probabilities of literals (G, L)."""
        return log_weighted_count(literals, self.get_buffer("models"))


class Counted(nn.Module):
    """The same for one count of different binary concepts."""

    def __init__(self, component: Component) -> None:
        super().__init__()
        theory = component.theory
        count = theory.rules[component.rules[0]].formula
        assert isinstance(count, Count)
        columns = [theory.positive[theory.column[atom]] for atom in count.atoms()]
        chosen = {int(yes): no for yes, no in component.choices}
        self.register_buffer("yes", torch.stack(columns), persistent=False)
        self.register_buffer("no", torch.tensor([chosen[int(column)] for column in columns]), persistent=False)
        n = len(count.parts)
        low, high = 0 if isinstance(count, AtMost) else count.k, n if isinstance(count, AtLeast) else count.k
        self.low, self.high = low, high

    def forward(self, literals: Tensor) -> Tensor:
        yes, no = literals.index_select(1, self.get_buffer("yes")), literals.index_select(1, self.get_buffer("no"))
        return log_count_distribution(yes, no)[:, self.low : self.high + 1].logsumexp(1)


def satisfaction(component: Component, owner: str) -> nn.Module:
    """What computes the log-probability (G,) that the rules of a component hold. Raises RecipeError where that is too much."""
    if _is_plain_count(component):
        return Counted(component)
    return Circuit(component, owner) if component.size > STATES and available() else Satisfying(component, owner)


def _is_plain_count(component: Component) -> bool:
    formula = component.theory.rules[component.rules[0]].formula if len(component.rules) == 1 else None
    if not isinstance(formula, Count) or not all(isinstance(part, Atom) for part in formula.parts):
        return False
    return len(set(formula.parts)) == len(formula.parts) and len(component.choices) == len(formula.parts) and component.size > 1


class States(nn.Module):
    """All joint states of a component with what breaking its rules costs: for inference and for rule teachers.

    Args: hard: leave out states that break a hard rule. Those of a hierarchy are then its fine classes, and the most probable
    one is the closed form argmax_f log p_f + log q_parent(f).

    Buffers: states (S, L), broken (S, K') float: 1 where a rule does not hold.
    """

    def __init__(self, component: Component, owner: str, *, hard: bool = False) -> None:
        super().__init__()
        refuse_large(component, owner, kept=component.size)
        pieces = [_possible(component, *piece) if hard else piece for piece in component.states()]
        self.rules = component.rules
        self.register_buffer("states", torch.cat([states for states, _ in pieces]), persistent=False)
        self.register_buffer("broken", torch.cat([(~holds).float() for _, holds in pieces]), persistent=False)
        self.register_buffer("columns", torch.tensor([c for choice in component.choices for c in choice]), persistent=False)

    def log_marginals(self, literals: Tensor, weights: Tensor, strength: float) -> Tensor:
        """(G, L): log-probabilities under the nearest distribution that pays `strength * weights` (K',) for broken rules.

        Literals of other choices are left as they are.
        """
        states, broken = self.get_buffer("states"), self.get_buffer("broken")
        found = marginals(projected(literals, states, broken @ weights.to(broken), strength=strength), states)
        return literals.index_copy(1, self.get_buffer("columns"), found.index_select(1, self.get_buffer("columns")))

    def most_probable(self, literals: Tensor, costs: Tensor) -> Tensor:
        """(G, L): 1 at the literals of the most probable state, each broken rule at its cost (K'; inf if hard)."""
        states, broken = self.get_buffer("states"), self.get_buffer("broken")
        cost = torch.where(broken > 0, costs.to(broken), 0).sum(1)
        return states[(state_log_weights(literals, states) - cost).argmax(1)]


def _possible(component: Component, states: Tensor, holds: Tensor) -> tuple[Tensor, Tensor]:
    """The states in which the hard rules hold."""
    hard = [component.theory.rules[number].hard for number in component.rules]
    kept = holds[:, hard].all(1)
    return states[kept], holds[kept]


def refuse_large(component: Component, owner: str, *, kept: int = 0) -> None:
    """Raise RecipeError for a component with too many states to enumerate."""
    if component.size > STATES or kept * component.theory.literals > KEPT:
        circuit = "" if available() else f" or let semantic_loss compile a circuit: {command('circuits')};"
        raise RecipeError(
            f"{owner}: the concepts of {component.names} have {component.size:,} joint states, and at most {STATES:,} are "
            "enumerated; use sampling (constraint_sampling) or a t-norm (tnorm_constraint) instead, or split these rules;"
            f"{circuit} inference has how: milp."
        )


def by_rule(theory: Theory, owner: str) -> nn.ModuleList:
    """For each rule by itself, what computes the log-probability that it holds."""
    return nn.ModuleList(satisfaction(theory.component(number), owner) for number in range(len(theory.rules)))


def jointly(theory: Theory, owner: str) -> nn.ModuleList:
    """For each component, what computes the log-probability that all of its rules hold."""
    return nn.ModuleList(satisfaction(component, owner) for component in theory.components)


def total_log_probability(parts: Sequence[nn.Module] | nn.ModuleList, literals: Tensor) -> Tensor:
    """(G,): the log-probability that all components hold; they are independent."""
    return torch.stack([part(literals) for part in parts]).sum(0)
