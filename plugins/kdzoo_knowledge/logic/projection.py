"""Rule teachers: the distribution nearest to a model's that expects the rules to hold.

Hu, Ma, Liu, Hovy, Xing, "Harnessing Deep Neural Networks with Logic Rules", ACL 2016 (arXiv 1603.06318), equation 4:

    q(y) proportional to p(y) exp(-C sum_l lambda_l (1 - r_l(y)))        q = argmin KL(q || p) + C sum_l lambda_l E_q[1 - r_l]

over the joint states of all heads that a rule speaks of. C = 0 gives p back; C to infinity is p given the rules. The authors'
code cuts the exponent at 60 and adds the last rule twice; here the sum is over each rule once, and nothing is cut.
Shapes: literals (B, L), states (S, L), penalties (S,) = sum_l lambda_l (1 - r_l); as in `weighted`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.float32 import in_float32
from kdzoo_knowledge.logic.weighted import FLOOR, state_log_weights


@in_float32
def projected(literals: Tensor, states: Tensor, penalties: Tensor, *, strength: float) -> Tensor:
    """(B, S): q over the joint states, at C = `strength` (infinite for conditioning on the rules)."""
    weights = state_log_weights(literals, states)
    if strength == float("inf"):
        return weights.masked_fill(penalties > 0, -torch.inf).softmax(1)
    return (weights - strength * penalties.to(weights.dtype)).softmax(1)


@in_float32
def marginals(joint: Tensor, states: Tensor) -> Tensor:
    """(B, L): log-probability of each literal under a distribution over the joint states."""
    return (joint @ states.to(joint.dtype)).clamp(0, 1).log().clamp_min(FLOOR)
