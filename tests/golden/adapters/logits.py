"""Golden names of the logit family."""

from __future__ import annotations

from typing import Any

import torch
from kdzoo_features.sdd import region_kl
from kdzoo_logits.curriculum_temperature import learned_temperature, reversal
from kdzoo_logits.dot import dot_step
from kdzoo_logits.mlkd import batch_level, class_level, sample_level, unsure_classes, unsure_samples
from kdzoo_logits.ps_kd import progressive_targets, share_at
from kdzoo_logits.tf_kd import virtual_teacher_kl
from kdzoo_logits.uskd import self_distillation
from kdzoo_logits.wkd_logit import non_target_transport
from kdzoo_logits.wsld import weighted_soft_labels

from kdzoo.functional.correlation import inter_class, intra_class
from kdzoo.functional.decoupled_kd import non_target_kl, target_class_kl
from kdzoo.functional.divergence import kl_divergence, softened_kl
from kdzoo.functional.gradient import scale_gradient
from kdzoo.functional.labels import cross_entropy, smooth_off_label
from kdzoo.functional.normalized_kd import confident_label_loss, non_target_cross_entropy
from kdzoo.functional.refined_logits import masked_correlation_kl, sample_confidence_kl
from kdzoo.functional.standardize import standardize
from kdzoo.functional.transformed_teacher import flatness, transformed_kl_rows
from kdzoo.protocol.outputs import Progress
from kdzoo.schedules import Warmup


def logits(case: Any, *names: Any) -> list[Any]:
    """The named inputs; by default student, teacher and, where there is one, the target."""
    names = names or [n for n in ("logit_s", "logit_t", "target") if n in case.inputs]
    return [case.inputs[name] for name in names]


def with_gradient(case: Any, loss: Any, **outputs: Any) -> dict[str, Any]:
    return {"out.loss": loss, **{f"out.{name}": value for name, value in outputs.items()}, **case.gradients(loss)}


def kd(case: Any) -> dict[str, Any]:
    (s, t, y), hp = logits(case), case.hyper
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


def kd_torchdistill(case: Any) -> Any:
    (s, t, y), hp = logits(case), case.hyper
    return with_gradient(case, hp["alpha"] * cross_entropy(s, y) + hp["beta"] * softened_kl(s, t, temperature=hp["T"]))


def dkd(case: Any) -> dict[str, Any]:
    given, hp = logits(case), case.hyper
    tckd, nckd = target_class_kl(*given, temperature=hp["T"]), non_target_kl(*given, temperature=hp["T"])
    warmup = Warmup(until=hp["warmup"])
    factors = [warmup.value(1.0, Progress(epoch - 1, 240, 0, 1)) for epoch in (1, 10, 20, 40)]
    return {
        **with_gradient(case, hp["alpha"] * tckd + hp["beta"] * nckd, tckd=tckd, nckd=nckd),
        **case.gradients(tckd, "_tckd"),
        **case.gradients(nckd, "_nckd"),
        "out.warmup_factor_epoch_1_10_20_40": torch.tensor(factors, dtype=case.dtype),
    }


def nkd(case: Any) -> Any:
    given, hp = logits(case), case.hyper
    label = confident_label_loss(*given)
    others = hp["gamma"] * non_target_cross_entropy(*given, temperature=hp["temp"])
    return with_gradient(case, label + others, loss_target_part=label, loss_nontarget_part_weighted=others)


def dist(case: Any) -> Any:
    given, hp = logits(case), case.hyper
    case.holds(eps=1e-8)
    inter, intra = inter_class(*given, temperature=hp["tau"]), intra_class(*given, temperature=hp["tau"])
    return with_gradient(case, hp["beta"] * inter + hp["gamma"] * intra, inter=inter, intra=intra)


def lskd(case: Any) -> Any:
    (s, t, _), hp = logits(case), case.hyper
    case.holds(ce_weight=0.1)  # of the hard term, which no output holds
    z_s, z_t = standardize(s, eps=hp["eps"]), standardize(t, eps=hp["eps"])
    loss = softened_kl(z_s, z_t, temperature=hp["base_temp"])
    return with_gradient(case, loss, weighted=hp["kd_weight"] * loss, z_s=z_s, z_t=z_t)


def lskd_dkd(case: Any) -> Any:
    (s, t, y), hp = logits(case), case.hyper
    given = standardize(s, eps=hp["eps"]), standardize(t, eps=hp["eps"]), y
    tckd, nckd = target_class_kl(*given, temperature=hp["T"]), non_target_kl(*given, temperature=hp["T"])
    return with_gradient(case, hp["alpha"] * tckd + hp["beta"] * nckd)


def ctkd(case: Any) -> dict[str, Any]:
    (s, t, theta), hp = logits(case, "logit_s", "logit_t", "theta"), case.hyper
    curve = {"loops": hp["decay_loops"], "first": hp["decay_max"], "last": hp["decay_min"]}
    factor = reversal(hp["epoch"], **curve)
    scale = {"start": hp["t_start"], "end": hp["t_end"]}
    loss = softened_kl(s, t, temperature=learned_temperature(scale_gradient(theta, factor), **scale)).squeeze()
    return {
        **with_gradient(case, loss, temperature=learned_temperature(theta, **scale)),
        **case.gradients(loss, "_after_lambda_scaling"),
        "out.lambda_at_epoch": torch.tensor(factor, dtype=case.dtype),
        "out.lambda_schedule_from_epoch0": torch.tensor([reversal(e, **curve) for e in range(13)], dtype=case.dtype),
    }


def ttm(case: Any) -> Any:
    return with_gradient(case, transformed_kl_rows(*logits(case), power=case.hyper["power"]).mean())


def wttm(case: Any) -> Any:
    (s, t), power = logits(case), case.hyper["power"]
    weight = flatness(t, power=power)
    return with_gradient(case, (weight * transformed_kl_rows(s, t, power=power)).mean(), sample_weight=weight)


def tfkd_self(case: Any) -> Any:
    (s, t, y), hp = logits(case), case.hyper
    kl = hp["multiplier"] * softened_kl(s, t, temperature=hp["T"]) / s.shape[-1]
    return with_gradient(case, (1 - hp["alpha"]) * cross_entropy(s, y) + hp["alpha"] * kl)


def tfkd_reg(case: Any) -> Any:
    (s, y), hp = logits(case), case.hyper
    kl = hp["multiplier"] * virtual_teacher_kl(s, y, correct=hp["correct_prob"], temperature=hp["T"])
    return with_gradient(case, (1 - hp["alpha"]) * cross_entropy(s, y) + hp["alpha"] * kl)


def tfkd_ls(case: Any) -> Any:
    s, y = logits(case)
    return with_gradient(case, cross_entropy(s, smooth_off_label(y, s, case.hyper["alpha"])))


def takd(case: Any) -> Any:
    (s, t, y), hp = logits(case), case.hyper
    kl = kl_divergence(s, t, temperature=hp["T"]) / s.shape[-1]
    loss = (1 - hp["lambda_"]) * cross_entropy(s, y) + hp["lambda_"] * hp["T"] ** 2 * kl
    return with_gradient(case, loss, kl_mean_reduction=kl)


def pskd(case: Any) -> Any:
    (s, past, y), hp = logits(case, "logit_s", "logit_prev", "target"), case.hyper
    share = share_at(Progress(hp["epoch_zero_based"], hp["end_epoch"], 0, 1), hp["alpha_T"])
    aim = progressive_targets(y, past.softmax(-1), share=share)
    return with_gradient(case, cross_entropy(s, aim), soft_target=aim, alpha_t=torch.tensor(share, dtype=case.dtype))


def wsld(case: Any) -> Any:
    hp = case.hyper
    return with_gradient(case, hp["alpha"] * weighted_soft_labels(*logits(case), temperature=hp["T"]))


def rld(case: Any) -> Any:
    given, hp = logits(case), case.hyper
    case.holds(logit_stand=0)
    scd = sample_confidence_kl(*given, temperature=hp["alpha_T"])
    mcd = masked_correlation_kl(*given, temperature=hp["T"])
    return with_gradient(case, hp["alpha"] * scd + hp["beta"] * mcd, scd=scd, mcd=mcd)


def dml(case: Any) -> dict[str, Any]:
    (one, two, y), hp = logits(case, "logit_1", "logit_2", "target"), case.hyper
    kl_one, kl_two = kl_divergence(one, two.detach()), kl_divergence(two, one.detach())
    loss_one = cross_entropy(one, y) + hp["lambda_kd"] * kl_one
    loss_two = cross_entropy(two, y) + hp["lambda_kd"] * kl_two
    return {
        "out.kl_1_from_2": kl_one,
        "out.kl_2_from_1": kl_two,
        "out.loss_1": loss_one,
        "out.loss_2": loss_two,
        **case.gradients(loss_one + loss_two),
    }


def mlkd(case: Any) -> dict[str, Any]:
    names = ("logit_s_weak", "logit_t_weak", "logit_s_strong", "logit_t_strong", "target")
    (s_weak, t_weak, s_strong, t_strong, y), hp = logits(case, *names), case.hyper
    first, second, third, *weak_only = (hp["T"], *hp["extra_temperatures"])
    both = (first, second, third)
    ce = hp["ce_weight"] * (cross_entropy(s_weak, y) + cross_entropy(s_strong, y))
    kd = hp["kd_weight"] * sample_level((s_weak, t_weak), (s_strong, t_strong), both=both, weak_only=tuple(weak_only))
    cc = hp["kd_weight"] * class_level(s_weak, t_weak, temperatures=(*both, *weak_only))
    bc = hp["kd_weight"] * batch_level(s_weak, t_weak, temperatures=(*both, *weak_only))
    return {
        "out.loss_ce": ce,
        "out.loss_kd": kd,
        "out.loss_cc": cc,
        "out.loss_bc": bc,
        "out.total": ce + kd + cc + bc,
        "out.sample_mask": unsure_samples(t_weak),
        "out.class_mask": unsure_classes(t_weak),
        **case.gradients(ce + kd + cc + bc),
    }


def sdd_kd(case: Any) -> Any:
    given = logits(case, "logit_s_multi", "logit_t_multi", "target")
    return with_gradient(case, region_kl(*given, temperature=case.hyper["T"]))


def wkd_logit(case: Any) -> Any:
    given, hp = logits(case), case.hyper
    label = confident_label_loss(*given)
    settings = {"regularization": hp["sinkhorn_lambda"], "iterations": hp["sinkhorn_iter"]}
    wd = non_target_transport(*given, case.inputs["cost"], temperature=hp["T"], **settings)
    return with_gradient(case, label + hp["gamma"] * wd, loss_target_part=label, wd=wd)


def uskd(case: Any) -> dict[str, Any]:
    (s, feature, y), hp, w = logits(case, "logit_s", "feat_mid", "target"), case.hyper, case.weights
    weak = torch.nn.functional.linear(feature, w["fc.weight"], w["fc.bias"])
    loss = self_distillation(s, weak, y, alpha=hp["alpha"], beta=hp["beta"], mu=hp["mu"])
    head = {f"w.{name}": value for name, value in w.items()}
    return {**with_gradient(case, loss), **case.gradients(loss, of=head)}


def dot_optimizer(case: Any) -> dict[str, Any]:
    hp, given = case.hyper, case.inputs
    momentum = (hp["momentum_task"] + hp["momentum_kd"]) / 2
    settings = {"lr": hp["lr"], "momentum": momentum, "delta": hp["delta"], "weight_decay": hp["weight_decay"]}
    p, task, distill = given["p0"], None, None
    alone, alone_distill = given["kd_only_p0"], None
    path, alone_path = [], []
    for g_kd, g_ce, g_alone in zip(given["grad_kd"], given["grad_ce"], given["kd_only_grad_kd"], strict=True):
        p, task, distill = dot_step(p, (task, g_ce), (distill, g_kd), **settings)
        alone, _, alone_distill = dot_step(alone, (None, None), (alone_distill, g_alone), **settings)
        path.append(p)
        alone_path.append(alone)
    return {"out.p_after_each_step": torch.stack(path), "out.kd_only_p_after_each_step": torch.stack(alone_path)}


ADAPTERS = {
    "kd": kd,
    "kd_torchdistill": kd_torchdistill,
    "dkd": dkd,
    "nkd": nkd,
    "dist": dist,
    "lskd": lskd,
    "lskd_dkd": lskd_dkd,
    "ctkd": ctkd,
    "ttm": ttm,
    "wttm": wttm,
    "tfkd_self": tfkd_self,
    "tfkd_reg": tfkd_reg,
    "tfkd_ls": tfkd_ls,
    "takd": takd,
    "pskd": pskd,
    "wsld": wsld,
    "rld": rld,
    "dml": dml,
    "mlkd": mlkd,
    "sdd_kd": sdd_kd,
    "wkd_logit": wkd_logit,
    "uskd": uskd,
    "dot_optimizer": dot_optimizer,
}
