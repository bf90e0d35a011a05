"""Integer programs by OR-tools' CP-SAT (`pip install kdzoo[solvers]`), in the place of SciPy's HiGHS.

All coefficients of rules are whole numbers; weights are rounded to `1 / SCALE`, so states whose weights differ by less count as
equally probable.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from kdzoo.errors import MissingError
from kdzoo.extras import command
from kdzoo_knowledge.inference.linear import Program

SCALE = 10**6


def check_installed(owner: str) -> None:
    """Raise MissingError if OR-tools is not here."""
    if find_spec("ortools") is None:
        raise MissingError(f"{owner}: cp_sat needs OR-tools; install it by `{command('solvers')}`, or choose milp.")


def by_cp_sat(program: Program, weights: np.ndarray, time_limit: float | None) -> np.ndarray | None:
    """Values (B, atoms) at the optimum of weights (B, atoms) . x less the costs, or None if it was not found in time."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    objective, variables = [], []
    low, high = program.bounds()
    for block, row in enumerate(weights):
        x = [model.new_int_var(0, int(upper), f"x{block}.{number}") for number, upper in enumerate(program.upper)]
        for (terms, _, _), least, most in zip(program.rows, low, high, strict=True):
            inside = sum(int(value) * x[variable] for variable, value in terms.items())
            model.add_linear_constraint(inside, _whole(least), _whole(most))
        objective += [round(SCALE * float(weight)) * x[atom] for atom, weight in enumerate(row)]
        objective += [-round(SCALE * cost) * x[variable] for variable, cost in program.costs.items()]
        variables.append(x[: program.atoms])
    model.maximize(sum(objective))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    if time_limit is not None:
        solver.parameters.max_time_in_seconds = time_limit
    if solver.solve(model) != cp_model.OPTIMAL:
        return None
    return np.array([[solver.value(each) for each in own] for own in variables], dtype=float)


def _whole(bound: float) -> int:
    """A bound as CP-SAT takes it; what is infinite is beyond any sum."""
    return int(np.clip(bound, -(2**40), 2**40))
