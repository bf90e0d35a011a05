"""What a loss takes as constant although it moves: the part of the meta-gradient that is not there.

A term may detach weights that it makes of the teacher's answers (WSL), or answers of the student itself (mutual learning). Its
inner gradient g = dL/ds moves with them all the same, and differentiation does not see it. So on one batch the derivative of g
along a direction in the answers is compared with finite differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdzoo.protocol.context import Weights
from kdzoo.protocol.outputs import Output, Step, map_tensors
from kdzoo_meta.gradients.inner_objective import InnerObjective, Part
from kdzoo_meta.gradients.vectors import Vector

STEPS = (1e-3, 4e-3)
"""Of the finite differences, as shares of an answer's root mean square."""
SEEN = 0.01
"""A relative error of the derivative that is told; rounding in float32 and kinks stay below."""
SMALL = 1e-3
"""Derivatives below this share of the inner gradient are rounding."""
DIRECTIONS = 3
ROLES, ALONG = {"student": 0, "teacher": 1}, 2
"""Seeds of the directions in which answers move, and of the one in which the inner gradient is looked at."""


@dataclass(frozen=True)
class Blind:
    """A term whose inner gradient moves with answers `of` the teacher or the student otherwise than its derivative says."""

    term: str
    of: str
    error: float


def blind_terms(objective: InnerObjective, part: Part, theta: Vector, *, student: bool) -> list[Blind]:
    """The active terms whose derivative misses something, on one micro-batch.

    Args: student: look at the student's answers as well, whose derivative matters from the second inner step on.
    """
    answers = {view: output.detach() for view, output in objective.answers(part, theta).items()}
    fixed = {name: p.detach() for name, p in theta.items()}
    step = objective.step(part, answers)
    found = []
    for label, own in part.weights.items():
        for name, weight in own.items():
            if not weight:
                continue
            only = {label: {name: weight}}
            for of in ("teacher", "student") if student else ("teacher",):
                error = _least(_error(_Probe(objective, step, only, fixed, number), of) for number in range(DIRECTIONS))
                if error > SEEN:
                    found.append(Blind(f"methods.{label}.{name}", of, error))
    return found


def _least(errors: Iterator[float]) -> float:
    """The least of them, or the first that nobody needs to be told: what lies at a kink in one direction does not in others."""
    found = math.inf
    for error in errors:
        found = min(found, error)
        if found <= SEEN:
            break
    return found


def _error(probe: _Probe, of: str) -> float:
    """Relative, and less what finite differences with two steps differ by: rounding, or a curve."""
    exact, size = probe.derivative(of)
    measured = [_difference(probe, of, step) for step in STEPS]
    largest = max(abs(exact), *map(abs, measured))
    if not (math.isfinite(largest) and largest > SMALL * size):
        return 0.0
    gap, doubt = min(abs(exact - found) for found in measured), abs(measured[0] - measured[1])
    return max(gap - doubt, 0.0) / largest


def _difference(probe: _Probe, of: str, step: float) -> float:
    there, back = (probe.slope({of: sign * step})[0] for sign in (1.0, -1.0))
    return float(there - back) / (2 * step)


@dataclass(frozen=True)
class _Probe:
    """The inner gradient of one term along a direction in the student's answers, as a function of all answers."""

    objective: InnerObjective
    step: Step
    weights: Weights
    theta: Vector
    number: int

    def slope(self, moved: Mapping[str, float], *, graph: bool = False) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """<dL/ds, d>, and the answers, when those of a role are moved along its direction by a share of their size."""
        leaves: dict[str, list[Tensor]] = {role: [] for role in ROLES}
        directions = {role: self._directions(seed) for role, seed in ROLES.items()}
        looked, along = self._directions(ALONG), list[Tensor]()

        def leaf(role: str) -> Callable[[Tensor], Tensor]:
            def made(x: Tensor) -> Tensor:
                if not x.is_floating_point():
                    return x
                own = x.detach() + moved.get(role, 0.0) * directions[role](x)
                leaves[role].append(own.requires_grad_())
                if role == "student":
                    along.append(looked(x))
                return own

            return made

        step = _with_answers(self.step, self.objective.teacher, leaf("student"), leaf("teacher"))
        with self.objective.randomness("terms", step.batch):
            total = self.objective.run.total(step, self.weights, self.theta, commit=False)
        if not total.requires_grad:
            return total.detach() * 0, leaves
        first = torch.autograd.grad(total, leaves["student"], create_graph=graph, allow_unused=True)
        return _dot(first, along, total), leaves

    def derivative(self, of: str) -> tuple[float, float]:
        """The derivative of `slope` along the direction of a role, as autograd sees it; and the slope's own size."""
        slope, leaves = self.slope({}, graph=True)
        if not slope.requires_grad:
            return 0.0, float(slope.detach().abs())
        second = torch.autograd.grad(slope, leaves[of], allow_unused=True)
        moved = self._directions(ROLES[of])
        return float(_dot(second, [moved(x) for x in leaves[of]], slope)), float(slope.detach().abs())

    def _directions(self, seed: int) -> Callable[[Tensor], Tensor]:
        """Gives each tensor in turn a random direction of its size."""
        generator = torch.Generator().manual_seed(10 * self.number + seed)

        def direction(x: Tensor) -> Tensor:
            size = x.detach().square().mean().sqrt()
            return torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device) * size

        return direction


def _dot(found: tuple[Tensor | None, ...], along: list[Tensor], like: Tensor) -> Tensor:
    products = [(g * d).sum() for g, d in zip(found, along, strict=True) if g is not None]
    return torch.stack(products).sum() if products else torch.zeros_like(like.detach())


def _with_answers(step: Step, teacher: str, student: Callable[[Tensor], Tensor], taught: Callable[[Tensor], Tensor]) -> Step:
    """The step with each tensor of these answers made anew, also in its further views."""
    teachers = {name: _made(output, taught) if name == teacher else output for name, output in step.teachers.items()}
    views = {name: _with_answers(view, teacher, student, taught) for name, view in step.views.items()}
    return replace(step, student=_made(step.student, student), teachers=teachers, views=views, stash={}, _cache={})


def _made(output: Output, make: Callable[[Tensor], Tensor]) -> Output:
    """An output whose scores and features are made anew; labels and weights of rows stay."""
    rows = replace(output.rows, scores=map_tensors(make, output.rows.scores))
    return replace(output, rows=rows, features=map_tensors(make, dict(output.features)))
