"""Golden names of label smoothing and of the levels of a teacher's knowledge. `OUTPUTS` says what of a file is expected."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from kdzoo_logits.tf_kd import virtual_teacher_kl
from kdzoo_logits.wsld import difficulty, weighted_soft_labels
from kdzoo_smoothing.class_similarity import class_cosines, log_similarity
from kdzoo_smoothing.kd_pt import keep_label
from kdzoo_smoothing.kd_topk import keep_top, top_mask
from kdzoo_smoothing.online_ls import OnlineLS, class_targets_loss

from kdzoo.functional.divergence import kl_divergence, soft_cross_entropy, softened_kl
from kdzoo.functional.labels import cross_entropy, smooth_labels, smooth_off_label
from kdzoo.protocol.outputs import Output, Progress, Rows

EVERY = ("out_*", "grad_*")
STARTS = ("uniform", "zeros")


def student(case: Any) -> Any:
    """The student's logits, with a gradient."""
    return case.inputs.get("in_logits_s", case.inputs.get("in_logits")).detach().requires_grad_()


def gradient(loss: Any, of: Any, suffix: str = "") -> dict[str, Any]:
    return {f"grad.logits{suffix}": torch.autograd.grad(loss, of, retain_graph=True)[0]}


def both_conventions(case: Any, s: Any, rho: Any) -> Any:
    """Losses on a target rho as they are usually written: cross-entropy without T^2, and T^2 KL."""
    hp, y = case.hyper, case.inputs["in_targets"]
    share, t = hp["hp_lambda"], hp["hp_T"]
    goal = t * rho.log()
    labels = (1 - share) * cross_entropy(s, y)
    tang = labels + share * soft_cross_entropy(s, goal, temperature=t)
    hinton = labels + share * softened_kl(s, goal, temperature=t)
    outputs = {"out.out_rho": rho, "out.out_loss_tang": tang, "out.out_loss_t2kl": hinton}
    return outputs | gradient(tang, s, "_tang") | gradient(hinton, s, "_t2kl")


def log_teacher(case: Any) -> Any:
    return (case.inputs["in_logits_t"] / case.hyper["hp_T"]).log_softmax(-1)


def kd_pt(case: Any) -> Any:
    return both_conventions(case, student(case), keep_label(log_teacher(case), case.inputs["in_targets"]).exp())


def kd_topk(case: Any) -> Any:
    log_q, k = log_teacher(case), int(case.hyper["hp_k"])
    return both_conventions(case, student(case), keep_top(log_q, k).exp()) | {
        "out.out_mask": top_mask(log_q, k),
        "out.out_rho_k1": keep_top(log_q, 1).exp(),
        "out.out_teacher_argmax": log_q.argmax(-1),
    }


def kd_sim(case: Any) -> dict[str, Any]:
    s, y, weight, hp = student(case), case.inputs["in_targets"], case.inputs["in_weight_t"], case.hyper
    given = {"out.out_cosine": class_cosines(weight)}
    for negatives in ("signed", "clamp", "shift"):
        settings = {"alpha": hp["hp_alpha"], "temperature": hp["hp_T_sim"], "negatives": negatives}
        by_class = log_similarity(weight, **settings)
        labels = (1 - hp["hp_lambda"]) * cross_entropy(s, y)
        loss = labels + hp["hp_lambda"] * soft_cross_entropy(s, by_class[y])
        given |= {
            f"out.out_class_rho_{negatives}": by_class.exp(),
            f"out.out_rho_{negatives}": by_class[y].exp(),
            f"out.out_loss_{negatives}": loss,
            f"out.out_loss_kl_{negatives}": labels + hp["hp_lambda"] * kl_divergence(s, by_class[y]),
            **gradient(loss, s, f"_{negatives}"),
        }
    return given


def kd_vanilla(case: Any) -> dict[str, Any]:
    s, t, y, hp = student(case), case.inputs["in_logits_t"], case.inputs["in_targets"], case.hyper
    share, temperature = hp["hp_lambda"], hp["hp_T"]
    labels, soft = cross_entropy(s, y), soft_cross_entropy(s, t, temperature=temperature)
    hinton = (1 - share) * labels + share * softened_kl(s, t, temperature=temperature)
    tang, shen = (1 - share) * labels + share * soft, soft_cross_entropy(s, t)
    return {
        "out.out_ce_mean": labels,
        "out.out_kl_T_mean": kl_divergence(s, t, temperature=temperature),
        "out.out_xent_T_mean": soft,
        "out.out_loss_hinton": hinton,
        "out.out_loss_tang": tang,
        "out.out_loss_shen_soft": shen,
        **gradient(hinton, s, "_hinton"),
        **gradient(tang, s, "_tang"),
        **gradient(shen, s, "_shen_soft"),
    }


def label_smoothing(case: Any) -> dict[str, Any]:
    s, y, eps = student(case), case.inputs["in_targets"], case.hyper["hp_eps"]
    uniform = torch.full_like(s, 1 / s.shape[-1])
    given = {
        "out.out_ce": cross_entropy(s, y),
        "out.out_uniform_ce": cross_entropy(s, uniform),
        "out.out_equiv_szegedy_eps_for_shen": torch.tensor(eps * s.shape[-1] / (s.shape[-1] - 1), dtype=s.dtype),
    }
    for name, smoothed in {"szegedy": smooth_labels(y, s, eps), "shen": smooth_off_label(y, s, eps)}.items():
        each = torch.stack([cross_entropy(z[None], q[None]) for z, q in zip(s, smoothed, strict=True)])
        loss = cross_entropy(s, smoothed)
        given |= {
            f"out.out_targets_{name}": smoothed,
            f"out.out_per_sample_{name}": each,
            f"out.out_loss_{name}": loss,
            **gradient(loss, s, f"_{name}"),
        }
    return given


def ls_as_uniform_kd(case: Any) -> dict[str, Any]:
    s, y, eps = student(case), case.inputs["in_targets"], case.hyper["hp_eps"]
    teacher = case.inputs["in_teacher_logits"]
    labels, smoothed = (1 - eps) * cross_entropy(s, y), cross_entropy(s, smooth_labels(y, s, eps))
    kl = labels + eps * kl_divergence(s, teacher)
    return {
        "out.out_loss_ls": smoothed,
        "out.out_loss_kd_xent": labels + eps * soft_cross_entropy(s, teacher),
        "out.out_loss_kd_kl": kl,
        "out.out_kl_offset": smoothed - kl,
        **gradient(smoothed, s),
    }


def online_ls(case: Any) -> dict[str, Any]:
    """The method's own term and hook, batch by batch, on a run that only says where it stands."""
    given = {}
    for start in STARTS:
        history, losses, soft_losses, gradients = _epochs(case, start)
        given |= {
            f"out.out_matrix_history_{start}": torch.stack(history),
            f"out.out_loss_{start}": torch.stack(losses),
            f"out.out_soft_loss_{start}": torch.stack(soft_losses),
            f"grad.logits_{start}": torch.stack(gradients),
        }
    return given


def _epochs(case: Any, start: Any) -> tuple[Any, Any, Any, Any]:
    logits, targets, alpha = case.inputs["in_logits"], case.inputs["in_targets"], case.hyper["hp_alpha"]
    epochs, batches, _, classes = logits.shape
    method = OnlineLS(start=start)
    method.setup(SimpleNamespace(classes=classes))
    method.to(case.dtype)
    if start == "uniform":
        method.targets_by_class.fill_(1 / classes)  # not rounded to float32
    history, losses, soft_losses, gradients = [method.targets_by_class.clone()], [], [], []
    for epoch, batch in [(e, b) for e in range(epochs) for b in range(batches)]:
        z, y = logits[epoch, batch].detach().requires_grad_(), targets[epoch, batch]
        soft = class_targets_loss(z, y, method.targets_by_class)
        loss = alpha * cross_entropy(z, y) + (1 - alpha) * soft
        gradients.append(torch.autograd.grad(loss, z)[0])
        losses.append(loss.detach())
        soft_losses.append(soft.detach())
        run = SimpleNamespace(progress=Progress(epoch, epochs, batch, batches), gather=lambda tensor: tensor)
        with torch.no_grad():
            method.after_step([SimpleNamespace(student=Output(Rows(z.detach(), y)))], run)
        if batch == batches - 1:
            history.append(method.targets_by_class.clone())
    return history, losses, soft_losses, gradients


def tf_kd(case: Any) -> dict[str, Any]:
    s, t, y, hp = student(case), case.inputs["in_logits_t"], case.inputs["in_targets"], case.hyper
    correct, temperature, classes = hp["hp_correct_prob"], hp["hp_reg_T"], s.shape[-1]
    made_up = smooth_off_label(y, s, 1 - correct)
    softened = (made_up / temperature).softmax(-1)
    term = virtual_teacher_kl(s, y, correct=correct, temperature=temperature)
    reg = (1 - hp["hp_reg_alpha"]) * cross_entropy(s, y) + hp["hp_reg_alpha"] * hp["hp_reg_multiplier"] * term
    as_paper = kl_divergence(s / temperature, softened.log())
    paper = (1 - hp["hp_reg_alpha"]) * cross_entropy(s, y) + hp["hp_reg_alpha"] * as_paper
    own = softened_kl(s, t, temperature=hp["hp_self_T"]) / classes
    self_taught = (1 - hp["hp_self_alpha"]) * cross_entropy(s, y) + hp["hp_self_alpha"] * hp["hp_self_multiplier"] * own
    return {
        "out.out_pd": made_up,
        "out.out_pd_tau": softened,
        "out.out_reg_loss_code": reg,
        "out.out_reg_loss_paper": paper,
        "out.out_self_loss_code": self_taught,
        **gradient(reg, s, "_reg_code"),
        **gradient(paper, s, "_reg_paper"),
        **gradient(self_taught, s, "_self_code"),
    }


def wsl(case: Any) -> dict[str, Any]:
    s, t, y, hp = student(case), case.inputs["in_logits_t"], case.inputs["in_targets"], case.hyper
    case.holds(hp_eps=1e-7)
    soft = weighted_soft_labels(s, t, y, temperature=hp["hp_T"])
    loss = cross_entropy(s, y) + hp["hp_alpha"] * soft
    each = {
        name: torch.stack([cross_entropy(z[None], label[None]) for z, label in zip(logits, y, strict=True)])
        for name, logits in {"s": s, "t": t}.items()
    }
    return {
        "out.out_weight": difficulty(s, t, y),
        "out.out_ce_s": each["s"],
        "out.out_ce_t": each["t"],
        "out.out_soft": soft,
        "out.out_loss": loss,
        **gradient(loss, s),
    }


ADAPTERS = {
    "kd_pt": kd_pt,
    "kd_topk": kd_topk,
    "kd_sim": kd_sim,
    "kd_vanilla": kd_vanilla,
    "label_smoothing": label_smoothing,
    "ls_as_uniform_kd": ls_as_uniform_kd,
    "online_ls": online_ls,
    "tf_kd": tf_kd,
    "wsl": wsl,
}
OUTPUTS = dict.fromkeys(ADAPTERS, EVERY)
