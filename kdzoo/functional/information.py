"""Losses from information theory: a variational bound (VID), correlation and mutual information (ITRD)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from kdzoo.functional.features import gram, standardized, unit
from kdzoo.functional.float32 import in_float32


@in_float32
def variational_information(mean: Tensor, teacher: Tensor, log_scale: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Mean of `((mean - teacher)^2 / var + log var) / 2`: the negative log likelihood of the teacher's map, no constant.

    `mean`, `teacher`: (B, C, H, W). `log_scale` (C,): `var = softplus(log_scale) + eps` per channel.
    Ahn, Hu, Damianou, Lawrence, Dai, "Variational Information Distillation", CVPR 2019, arXiv 1904.05835.

    >>> values = torch.ones(2, 3)
    >>> variational_information(values, values, torch.zeros(3))
    tensor(-0.1832)
    """
    variance = (F.softplus(log_scale) + eps).view(1, -1, 1, 1)
    return 0.5 * ((mean - teacher).square() / variance + variance.log()).mean()


@in_float32
def correlation_information(student: Tensor, teacher: Tensor, *, alpha: float = 1.5) -> Tensor:
    """`log2 sum_c |1 - rho_c|^(2 alpha)`, rho_c the correlation over the batch of column c of (B, d) and (B, d).

    rho divides by B but the deviations by B - 1, as in the authors' code, so equal features do not reach log 0.
    Miles, Lopez Rodriguez, Mikolajczyk, "Information Theoretic Representation Distillation", BMVC 2022, arXiv 2112.00459.

    >>> draws = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 2.0]])
    >>> round(correlation_information(draws, draws).item(), 2)
    -5.0
    """
    rho = (standardized(student, 0) * standardized(teacher, 0)).mean(0)
    return (1 - rho).square().pow(alpha).sum().log2()


@in_float32
def mutual_information(student: Tensor, teacher: Tensor) -> Tensor:
    """ITRD's surrogate: `sum (G_s / tr G_s)^2 - sum (G_st / tr G_st)^2`, G the inner products of unit rows, G_st = G_s G_t.

    The product is elementwise; the first sum is the student's entropy that the bottleneck keeps low.

    >>> draws = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> round(mutual_information(draws, draws).item(), 4)
    0.0
    """
    g_s, g_t = gram(unit(student)), gram(unit(teacher))
    return _purity(g_s) - _purity(g_s * g_t)


def _purity(kernel: Tensor) -> Tensor:
    """Sum of squares of a (B, B) kernel matrix after division by its trace."""
    return (kernel / kernel.diagonal().sum().clamp_min(1e-12)).square().sum()
