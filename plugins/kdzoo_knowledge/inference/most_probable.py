"""The most probable state of a theory's heads in which its hard rules hold; broken soft rules cost their priority.

`exact` enumerates the possible states of each component, in tensors: for one hierarchy that is its closed form. `milp` solves
integer programs by HiGHS, `cp_sat` by OR-tools, with a limit of time. `auto` enumerates where that is possible. Where no
optimum was proven in time the most probable classes themselves are taken, counted, and said once.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from kdzoo_knowledge.exact import STATES, States
from kdzoo_knowledge.inference.cp_sat import by_cp_sat, check_installed
from kdzoo_knowledge.inference.linear import cost, program
from kdzoo_knowledge.inference.solver import by_milp, maximized
from kdzoo_knowledge.logic.weighted import FLOOR
from kdzoo_knowledge.theory import Theory

How = Literal["auto", "exact", "milp", "cp_sat"]
FEW = 2**16
"""States that `auto` enumerates at most: more take longer than the integer program."""


class SolverTimeWarning(UserWarning):
    """No optimum was proven in time."""


@dataclass(frozen=True)
class Inferred:
    """1 at the literals that hold (G, L); groundings without a proven optimum; seconds."""

    literals: Tensor
    fallbacks: int
    seconds: float


class MostProbable(nn.Module):
    """Inference in one theory. Args: how: see above. time_limit: seconds for 64 groundings, None for no limit."""

    def __init__(self, theory: Theory, *, how: How = "auto", time_limit: float | None = None, owner: str = "inference") -> None:
        super().__init__()
        self.theory, self.time_limit, self.owner, self.warned = theory, time_limit, owner, False
        if how == "cp_sat":
            check_installed(owner)
        self.solve = by_cp_sat if how == "cp_sat" else by_milp
        limit = {"auto": FEW, "exact": STATES, "milp": 0, "cp_sat": 0}[how]
        exact = how == "exact" or all(component.size <= limit for component in theory.components)
        parts = [States(component, owner, hard=True) for component in theory.components] if exact else []
        self.parts = nn.ModuleList(parts)
        for number, part in enumerate(parts):
            costs = torch.tensor([cost(theory.rules[rule]) for rule in part.rules])
            self.register_buffer(f"costs{number}", costs, persistent=False)
        self.program = None if exact else program(theory)

    @torch.no_grad()
    def forward(self, literals: Tensor) -> Inferred:
        """From log-probabilities (G, L)."""
        started = time.perf_counter()
        found, fallbacks = likeliest(self.theory, literals), 0
        if self.program is None:
            for number, part in enumerate(self.parts):
                assert isinstance(part, States)
                best = part.most_probable(literals, self.get_buffer(f"costs{number}"))
                columns = part.get_buffer("columns")
                found = found.index_copy(1, columns, best.index_select(1, columns).to(found.dtype))
            return Inferred(found, 0, time.perf_counter() - started)
        weights = literals.clamp_min(FLOOR).double().cpu()
        solved = maximized(self.program, self._of_atoms(weights).numpy(), time_limit=self.time_limit, solve=self.solve)
        optimal = torch.from_numpy(solved.optimal).to(found.device)
        chosen = self._literals(torch.from_numpy(solved.values).to(found.dtype)).to(found.device)
        fallbacks = int((~optimal).sum())
        self._warn(fallbacks)
        return Inferred(torch.where(optimal[:, None], chosen, found), fallbacks, solved.seconds)

    def _warn(self, fallbacks: int) -> None:
        if not fallbacks or self.warned:
            return
        self.warned = True
        warnings.warn(
            f"{self.owner}: the solver proved no optimum for {fallbacks} samples within {self.time_limit} seconds for each 64; "
            "they keep their most probable classes, whether or not the rules hold. Raise time_limit, or simplify the rules.",
            SolverTimeWarning,
            stacklevel=3,
        )

    def _of_atoms(self, weights: Tensor) -> Tensor:
        """(G, A): what it adds that an atom is true; of a binary concept, against its being false."""
        parts = []
        for variable in self.theory.variables:
            own = weights[:, variable.start : variable.start + variable.width]
            n = len(variable.head.classes)
            parts.append(own[:, :n] - own[:, n:] if variable.head.binary else own)
        return torch.cat(parts, 1)

    def _literals(self, atoms: Tensor) -> Tensor:
        """(G, L) from 0 and 1 of the atoms (G, A)."""
        parts, start = [], 0
        for variable in self.theory.variables:
            own = atoms[:, start : start + len(variable.head.classes)]
            parts += [own, 1 - own] if variable.head.binary else [own]
            start += len(variable.head.classes)
        return torch.cat(parts, 1)


def likeliest(theory: Theory, literals: Tensor) -> Tensor:
    """(G, L): 1 at the most probable literal of each choice, whatever the rules say."""
    parts = []
    for variable in theory.variables:
        own = literals[:, variable.start : variable.start + variable.width]
        n = len(variable.head.classes)
        if variable.head.binary:
            yes = own[:, :n] > own[:, n:]
            parts += [yes, ~yes]
        else:
            parts.append(torch.arange(n, device=own.device) == own.argmax(1, keepdim=True))
    return torch.cat(parts, 1).to(literals.dtype)
