"""The meta-gradient without a double backward: K inner steps forward, the quiz, and back through the steps.

    theta_k+1 = U(theta_k, g_k),  g_k = d total_k / d theta            k = 0 .. K-1, the batches of the window
    v = d quiz / d theta_K,  then for k = K-1 .. 0:
        w = (dU/dg)' v                                                 closed form (`pullbacks`)
        teacher.grad += d/dphi <g_k, w>                                one JVP of the student, one backward of the teacher
        v <- (dU/dtheta)' v + H_k w                                    only where an earlier step is left

For K = 1 this is one pass for g, one for v, one JVP, and the teacher's own forward and backward: three times the arithmetic
of a KD step.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kdzoo.protocol.outputs import Batch
from kdzoo_meta.gradients.inner_objective import InnerObjective, Part
from kdzoo_meta.gradients.inner_step import InnerStep, States
from kdzoo_meta.gradients.mixed_gradient import mixed_gradient
from kdzoo_meta.gradients.share import shared_gradient
from kdzoo_meta.gradients.vectors import Vector

Quiz = Sequence[tuple[Batch, float]]


def unrolled(
    objective: InnerObjective, inner: InnerStep, window: Sequence[Batch], quiz: Quiz, *, look_ahead: bool = True
) -> None:
    """Add the meta-gradient to the `.grad` of the teacher's parameters.

    Without `look_ahead` the quiz is taken by the student as it is, theta_0 for theta_K: an error of the order of the inner
    rate, and a forward and backward of the student less where the way back does not need g.
    """
    theta: Vector = {name: p.detach() for name, p in objective.run.trainable().items()}
    states: States = inner.states
    trail = []
    for batch in window:
        parts = objective.parts(batch)
        gradient = _gradient(objective, parts, theta) if look_ahead or inner.needs_gradient else dict(theta)
        trail.append((parts, theta, states, gradient if inner.needs_gradient else dict.fromkeys(gradient)))
        if look_ahead:
            theta, states = inner.step(theta, gradient, states)
        del parts, gradient
    to_theta = objective.quiz_gradient(quiz, theta)
    to_states: States = {}
    while trail:
        parts, theta, states, known = trail.pop()
        to_theta, along, to_states = inner.pull(theta, known, states, to_theta, to_states)  # type: ignore[arg-type]
        if not trail:
            to_theta = {}  # a copy of the student less while the teacher's graph is alive
        passed = mixed_gradient(objective, parts, theta, along, onward=bool(trail))
        to_theta = {name: v + passed[name] if name in passed else v for name, v in to_theta.items()}


def _gradient(objective: InnerObjective, parts: Sequence[Part], theta: Vector) -> dict[str, Tensor]:
    return shared_gradient(objective, parts) if objective.share else objective.gradient(parts, theta)
