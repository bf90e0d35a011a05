"""Golden names of the logit family."""

from __future__ import annotations

from kdzoo.functional.divergence import kl_divergence, softened_kl
from kdzoo.functional.labels import cross_entropy


def kd(case):
    s, t, y, hp = case.inputs["logit_s"], case.inputs["logit_t"], case.inputs["target"], case.hyper
    kl, ce = softened_kl(s, t, temperature=hp["T"]), cross_entropy(s, y)
    total = hp["ce_weight"] * ce + hp["kd_weight"] * kl
    return {
        "out.kl_T2": kl,
        "out.kl_without_T2": kl_divergence(s, t, temperature=hp["T"]),
        "out.ce": ce,
        "out.total": total,
        **case.gradients(kl),
        **case.gradients(total, "_total"),
    }


ADAPTERS = {"kd": kd}
