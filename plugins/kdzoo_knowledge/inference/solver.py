"""Integer programs by SciPy's `milp` (HiGHS), many at once: 64 samples are the blocks of one program."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kdzoo_knowledge.inference.linear import Program

BLOCK = 64
"""Samples that are solved together: what is lost at once when the time is up."""
Solve = Callable[[Program, np.ndarray, float | None], np.ndarray | None]
"""(program, weights (B, atoms), seconds) -> values (B, atoms) at the optimum, or None."""


@dataclass(frozen=True)
class Solved:
    """Values (B, atoms) of 0 and 1; which rows (B,) were solved to the optimum; seconds in the solver."""

    values: np.ndarray
    optimal: np.ndarray
    seconds: float


def feasible(program: Program) -> bool:
    """Whether any point satisfies a program."""
    return by_milp(program, np.zeros((1, program.atoms)), None) is not None


def maximized(program: Program, weights: np.ndarray, *, time_limit: float | None = None, solve: Solve | None = None) -> Solved:
    """argmax of weights (B, atoms) . x, less what broken rules cost, for each row; a row without a proven optimum is all zeros.

    Args:
        time_limit: seconds for a block of `BLOCK` rows; None for no limit. solve: by default `by_milp`.
    """
    values = np.zeros((len(weights), program.atoms))
    optimal = np.zeros(len(weights), dtype=bool)
    started = time.perf_counter()
    for start in range(0, len(weights), BLOCK):
        rows = slice(start, start + BLOCK)
        found = (solve or by_milp)(program, weights[rows], time_limit)
        if found is not None:
            values[rows], optimal[rows] = found, True
    return Solved(values, optimal, time.perf_counter() - started)


def by_milp(program: Program, weights: np.ndarray, time_limit: float | None) -> np.ndarray | None:
    """Values (B, atoms) at the optimum by HiGHS, or None."""
    from scipy import sparse  # these take a while, and few runs solve anything
    from scipy.optimize import Bounds, LinearConstraint, milp

    blocks = len(weights)
    costs = np.zeros((blocks, program.variables))
    costs[:, : program.atoms] = -weights
    for variable, cost in program.costs.items():
        costs[:, variable] = cost
    low, high = program.bounds()
    constraints = []
    if len(low):
        matrix = sparse.kron(sparse.identity(blocks), program.matrix(), format="csr")
        constraints.append(LinearConstraint(matrix, np.tile(low, blocks), np.tile(high, blocks)))
    found = milp(
        costs.ravel(),
        integrality=np.tile(np.array(program.whole, dtype=int), blocks),
        bounds=Bounds(0, np.tile(np.array(program.upper), blocks)),
        constraints=constraints,
        options={} if time_limit is None else {"time_limit": time_limit},
    )
    return None if found.status != 0 else found.x.round().reshape(blocks, -1)[:, : program.atoms]
