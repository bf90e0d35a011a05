"""Golden names of the Lipschitz family. Their keys have other prefixes: `OUTPUTS` says what is expected."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch

from kdzoo.functional.flow import flow_matrix
from kdzoo.functional.labels import cross_entropy
from kdzoo.functional.lipschitz import module_gap, power_iteration, spectral_norm
from kdzoo.functional.margins import negative_margin, overhaul, partial_distance

EVERY = ("out_*", "grad_*")
CIFAR_STEPS = 10


def maps(case: Any, name: str) -> list[Any]:
    return [case.inputs[f"in_feat_{name}_{i}"].detach().requires_grad_() for i in range(3)]


def sigma(kind: Any, matrix: Any, start: Any, case: Any) -> Any:
    if kind == "exact":
        return spectral_norm(matrix, start, most=10_000, tolerance=1e-14)[0]
    return power_iteration(matrix, start, steps=case.hyper["hp_n_power_iterations"])[0]


def gaps(case: Any, pairing: Any, kind: Any, teacher: Any, starts: Any) -> Any:
    """One pairing and one kind of norm: matrices, norms, the loss and its gradients."""
    raw, connected = maps(case, "s_raw"), maps(case, "s_conn")
    after = raw if pairing == "official" else connected
    matrices = [flow_matrix(a, b) for a, b in zip(connected[:-1], after[1:], strict=True)]
    ours = [sigma(kind, m, v, case) for m, v in zip(matrices, starts, strict=True)]
    theirs = [sigma(kind, m, v, case) for m, v in zip(teacher, starts, strict=True)]
    loss = module_gap(ours, theirs)
    given = {f"out.out_loss_{kind}_{pairing}": loss}
    for i, (m, s) in enumerate(zip(matrices, ours, strict=True)):
        given |= {f"out.out_tm_s_{pairing}_{i}": m, f"out.out_sigma_{kind}_s_{pairing}_{i}": s}
        given[f"out.out_spectrum_s_{pairing}_{i}"] = torch.linalg.svdvals(m)
    named = {f"s_raw_{i}": x for i, x in enumerate(raw)} | {f"s_conn_{i}": x for i, x in enumerate(connected)}
    wanted = {f"grad.{kind}_{pairing}_{n}": x for n, x in named.items() if f"grad.{kind}_{pairing}_{n}" in case.expected}
    return given | dict(zip(wanted, torch.autograd.grad(loss, list(wanted.values())), strict=True))


def teachers_part(case: Any, matrices: Any, starts: Any) -> dict[str, Any]:
    given = {}
    for i, (m, v) in enumerate(zip(matrices, starts, strict=True)):
        given |= {f"out.out_tm_t_{i}": m, f"out.out_gram_t_{i}": m @ m.transpose(1, 2)}
        given |= {f"out.out_sigma_{kind}_t_{i}": sigma(kind, m, v, case) for kind in ("power", "exact")}
        given[f"out.out_spectrum_t_{i}"] = torch.linalg.svdvals(m)
    return given


def ofd_part(case: Any) -> Any:
    connected, teacher = maps(case, "s_conn"), [x.detach() for x in maps(case, "t")]
    margins = [negative_margin(case.inputs[f"in_bn_bias_{i}"], case.inputs[f"in_bn_weight_{i}"]) for i in range(3)]
    batch = len(teacher[0])
    loss = overhaul(connected, teacher, margins) * batch
    each = [partial_distance(s, t, m) * batch for s, t, m in zip(connected, teacher, margins, strict=True)]
    given = {"out.out_ofd_loss": loss, "out.out_ofd_terms": torch.stack(each)}
    given |= {f"out.out_margin_{i}": m for i, m in enumerate(margins)}
    gradients = torch.autograd.grad(loss, connected)
    return given | {f"grad.ofd_s_conn_{i}": g for i, g in enumerate(gradients)}


def london(case: Any) -> Any:
    teacher = [flow_matrix(a, b).detach() for a, b in pairwise(maps(case, "t"))]
    starts = [case.inputs[f"in_v0_{i}"].squeeze(2) for i in range(2)]
    given = teachers_part(case, teacher, starts) | ofd_part(case)
    for pairing in ("official", "connected"):
        for kind in ("power", "exact"):
            given |= gaps(case, pairing, kind, teacher, starts)
    labels = cross_entropy(case.inputs["in_logits_s"], case.inputs["in_targets"])
    on_cifar = case.hyper["hp_n_power_iterations"] == CIFAR_STEPS
    batch = len(case.inputs["in_targets"])
    by_ofd, by_lipschitz = (1 / (1000 * batch), 1 / 200) if on_cifar else (1 / (10000 * batch), 1 / (10000 * batch))
    gap = given["out.out_loss_power_official"]
    total = labels + by_ofd * given["out.out_ofd_loss"] + case.hyper["hp_alpha"] * by_lipschitz * gap
    return given | {"out.out_ce": labels, "out.out_total": total}


def power(case: Any) -> dict[str, Any]:
    matrix, start = case.inputs["in_matrix"].requires_grad_(), case.inputs["in_v0"].squeeze(2)
    norm = spectral_norm(matrix, start, most=10_000, tolerance=0)[0]
    estimates = [power_iteration(matrix, start, steps=int(n))[0] for n in case.inputs["hp_iterations"]]
    return {
        "out.out_estimates": torch.stack(estimates),
        "out.out_exact": norm,
        "out.out_spectrum": torch.linalg.svdvals(matrix),
        "grad.exact_sum": torch.autograd.grad(norm.sum(), matrix)[0],
    }


ADAPTERS = {"london": london, "power_iteration": power}
OUTPUTS = dict.fromkeys(ADAPTERS, EVERY)
