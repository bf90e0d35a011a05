"""Golden names of the feature, relation and contrast families, with the reductions and weights of the public code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from kdzoo.functional import connectors
from kdzoo.functional.attention import attention_transfer, attention_transfer_norm
from kdzoo.functional.channels import (
    channel_correlation,
    channel_distribution,
    channel_moments,
    generated_gap,
    many_to_one,
    neuron_selectivity,
    pearson_features,
)
from kdzoo.functional.class_maps import class_attention_unit
from kdzoo.functional.contrast import memory_scores, moved_memory, noise_contrast, partition
from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.factors import factor_attention, factor_transfer, factor_transfer_norm
from kdzoo.functional.features import gram, length, mean_squared_error, pooled, same_size
from kdzoo.functional.flow import flow_matrix, positions_by_channels, rows_by_width, singular_relation
from kdzoo.functional.information import correlation_information, mutual_information, variational_information
from kdzoo.functional.labels import cross_entropy
from kdzoo.functional.margins import activation_boundary, negative_margin, partial_distance
from kdzoo.functional.relations import (
    angle_relation,
    correlation_congruence,
    distance_relation,
    gaussian_correlation,
    neighbor_correlation,
    probability_transfer,
    similarity_preserving,
)
from kdzoo.functional.review import hierarchical_context
from kdzoo.functional.self_supervision import reliable_rows, transformation_similarity

Given = dict[str, Tensor]


def weighted(module: nn.Module, weights: Mapping[str, Tensor], prefix: str, *inputs: object) -> object:
    """Call `module` with the case's weights below `prefix`: its own parameters in their order, whatever their names."""
    values = [value for name, value in weights.items() if name.startswith(prefix)]
    names = [name for name, _ in module.named_parameters()]
    return functional_call(module.to(values[0].dtype), dict(zip(names, values, strict=True)), inputs)


def stages(loss: Any, case: Any, name: str = "per_stage", student: str = "feat_s", teacher: str = "feat_t") -> Given:
    """A loss per pair of maps, their sum and its gradients."""
    each = [loss(s, t) for s, t in zip(case.series(student), case.series(teacher), strict=True)]
    return {"out.loss": sum(each), f"out.{name}": torch.stack(each), **case.gradients(sum(each))}


def single(loss: Any, case: Any) -> Given:
    value = loss(case.inputs["feat_s"], case.inputs["feat_t"])
    return {"out.loss": value, **case.gradients(value)}


def at(case: Any) -> Any:
    return stages(lambda s, t: attention_transfer(s, t, power=case.hyper["p"]), case)


def at_paper(case: Any) -> Any:
    return stages(attention_transfer_norm, case)


def nst(case: Any) -> Any:
    return stages(neuron_selectivity, case)


def pkd(case: Any) -> Any:
    return stages(pearson_features, case)


def ickd(case: Any) -> Any:
    batch = case.inputs["feat_s0"].shape[0]  # torchdistill's second division by the batch size
    return stages(lambda s, t: channel_correlation(s, t) / batch, case)


def ft_repdistiller(case: Any) -> Any:
    case.holds(p1=2, p2=1)
    return stages(factor_attention, case, "per_pair", "factor_s", "factor_t")


def catkd(case: Any) -> Any:
    case.holds(normalize=1)
    return stages(
        lambda s, t: class_attention_unit(s, t, resolution=case.hyper["resolution"]), case, "per_pair", "cam_s", "cam_t"
    )


def reviewkd_hcl(case: Any) -> Any:
    return stages(hierarchical_context, case, "per_level")


def ft_paper(case: Any) -> dict[str, Any]:
    one, two = (f(case.inputs["factor_s"], case.inputs["factor_t"]) for f in (factor_transfer, factor_transfer_norm))
    return {"out.loss_p1": one, "out.loss_p2": two, **case.gradients(one, "_p1"), **case.gradients(two, "_p2")}


def sp(case: Any) -> dict[str, Any]:
    def rows_of_sum_one(s: Any, t: Any) -> Any:
        return (F.normalize(gram(s.flatten(1)), 1) - F.normalize(gram(t.flatten(1)), 1)).square().mean()

    pairs = list(zip(case.series("feat_s"), case.series("feat_t"), strict=True))
    return {
        **stages(similarity_preserving, case),
        "out.loss_torchdistill_L1rownorm": sum(rows_of_sum_one(s, t) for s, t in pairs),
    }


def pkt(case: Any) -> Any:
    return single(lambda s, t: probability_transfer(s, t, eps=case.hyper["eps"]), case)


def cwd(case: Any) -> Any:
    return single(lambda s, t: channel_distribution(s, t, temperature=case.hyper["tau"]), case)


def norm(case: Any) -> Any:
    case.holds(N=case.inputs["feat_s"].shape[1] // case.inputs["feat_t"].shape[1])
    return single(many_to_one, case)


def rkd(case: Any) -> dict[str, Any]:
    case.holds(eps=1e-12)
    s, t = case.inputs["feat_s"], case.inputs["feat_t"]
    distance, angle = distance_relation(s, t), angle_relation(s, t)
    loss = case.hyper["w_d"] * distance + case.hyper["w_a"] * angle
    return {
        "out.loss": loss,
        "out.distance": distance,
        "out.angle": angle,
        **case.gradients(loss),
        **case.gradients(distance, "_distance"),
        **case.gradients(angle, "_angle"),
    }


def cc(case: Any) -> dict[str, Any]:
    case.holds(feat_dim=len(case.weights["embed_s.linear.weight"]))
    embedded = [
        weighted(nn.Linear(*reversed(case.weights[f"embed_{n}.linear.weight"].shape)), case.weights, f"embed_{n}.", x)
        for n, x in (("s", case.inputs["feat_s"]), ("t", case.inputs["feat_t"]))
    ]
    loss = neighbor_correlation(*embedded)
    return {"out.loss": loss, **case.gradients(loss)}


def cc_kernel(case: Any) -> Any:
    s, t = case.inputs["emb_s"], case.inputs["emb_t"]
    kernel = {"gamma": case.hyper["gamma"], "order": case.hyper["max_p"]}

    def frobenius(k_s: Any, k_t: Any) -> Any:  # torchdistill: the norm itself, over B^2, of embeddings that are not normalized
        return length((k_s - k_t).flatten(), 0) / s.shape[0] ** 2

    losses = {
        "gaussian_torchdistill": frobenius(gaussian_correlation(s, **kernel), gaussian_correlation(t, **kernel)),
        "bilinear_torchdistill": frobenius(gram(s), gram(t)),
        "gaussian_aberhu": correlation_congruence(s, t, **kernel),
    }
    given = {f"out.loss_{name}": loss for name, loss in losses.items()}
    return given | {k: v for name, loss in losses.items() for k, v in case.gradients(loss, f"_{name}").items()}


def vid(case: Any) -> dict[str, Any]:
    each = []
    for i, (s, t) in enumerate(zip(case.series("feat_s"), case.series("feat_t"), strict=True)):
        head = connectors.VariationalHead(s.shape[1], t.shape[1], initial=case.hyper["init_pred_var"])
        mean, log_scale = weighted(head, case.weights, f"{i}.", s)
        each.append(variational_information(mean, t, log_scale, eps=case.hyper["eps"]))
    return {"out.loss": sum(each), "out.per_stage": torch.stack(each), **case.gradients(sum(each))}


def ab(case: Any) -> dict[str, Any]:
    raw = [
        activation_boundary(s, t, margin=case.hyper["margin"])
        for s, t in zip(case.series("feat_s"), case.series("feat_t"), strict=True)
    ]
    scaled = [w * x / 1000 * 3 for w, x in zip(case.hyper["stage_weights"], raw, strict=True)]
    batch = case.inputs["feat_s0"].shape[0]
    return {
        "out.loss": sum(scaled),
        "out.per_stage": torch.stack(scaled),
        "out.raw_sum_per_stage": torch.stack(raw) * batch,
        **case.gradients(sum(scaled)),
    }


def ft_modules(case: Any) -> dict[str, Any]:
    case.holds(p1=2, p2=1)
    s, t = case.inputs["feat_s"], case.inputs["feat_t"]
    paraphraser = connectors.Paraphraser(t.shape[1], rate=case.hyper["k"])
    factor_t, restored = weighted(paraphraser, case.weights, "paraphraser.", t)
    factor_s = weighted(connectors.Translator(s.shape[1], factor_t.shape[1]), case.weights, "translator.", s)
    loss, reconstruction = factor_attention(factor_s, factor_t.detach()), mean_squared_error(restored, t)
    auto = {k.replace("paraphraser", "paraphraser_mse"): w for k, w in case.weights.items() if k.startswith("paraphraser")}
    return {
        "out.factor_s": factor_s,
        "out.factor_t": factor_t,
        "out.loss": loss,
        "out.paraphraser_reconstruction_mse": reconstruction,
        **case.gradients(loss),
        **case.gradients(reconstruction, of=auto),
    }


def fsp(case: Any) -> dict[str, Any]:
    case.holds(weight=50.0)  # not used where the flows are learned: a stage of its own without other losses
    s, t = case.series("feat_s"), case.series("feat_t")
    each = [(flow_matrix(*a) - flow_matrix(*b)).square().mean() for a, b in zip(pairwise(s), pairwise(t), strict=True)]

    def max_pooled(first: Any, second: Any) -> Any:  # torchdistill shrinks the larger map by its maxima
        return flow_matrix(F.adaptive_max_pool2d(first, second.shape[-2:]), second)

    gaps = [max_pooled(*a) - max_pooled(*b) for a, b in zip(pairwise(s), pairwise(t), strict=True)]
    return {
        "out.loss": sum(each),
        "out.per_pair": torch.stack(each),
        "out.loss_torchdistill": sum(length(gap, 1).sum() for gap in gaps) / s[0].shape[0],
        **case.gradients(sum(each)),
    }


def kdsvd(matrix: Any, case: Any) -> Tensor:
    pairs = [[matrix(x) for x in case.series(name)] for name in ("feat_s", "feat_t")]
    return singular_relation(*pairs, rank=case.hyper["k"])


def kdsvd_repdistiller(case: Any) -> dict[str, Any]:
    each = kdsvd(positions_by_channels, case)
    return {"out.loss": each.sum(), "out.per_pair": each, **case.gradients(each.sum())}


def kdsvd_mdistiller(case: Any) -> dict[str, Any]:
    loss = kdsvd(rows_by_width, case).sum()
    return {"out.loss": loss, **case.gradients(loss)}


def fitnet(case: Any) -> Any:
    case.holds(bn_eps=nn.BatchNorm2d(1).eps)
    given: Given = {}
    losses = []
    for i, (s, t) in enumerate(zip(case.series("feat_s"), case.series("feat_t"), strict=True)):
        regressed = weighted(connectors.HintRegressor(s.shape[1:], t.shape[1:]), case.weights, f"{i}.", s)
        losses.append(mean_squared_error(regressed, t))
        given |= {f"out.loss{i}": losses[-1], f"out.regressed{i}": regressed}
    return given | case.gradients(sum(losses))


def ofd(case: Any) -> Any:
    case.holds(bn_eps=nn.BatchNorm2d(1).eps)
    given: Given = {}
    each = []
    for i, (s, t) in enumerate(zip(case.series("feat_s"), case.series("feat_t"), strict=True)):
        connector = connectors.PointwiseConnector(s.shape[1], t.shape[1])
        connected = weighted(connector, case.weights, f"connector.connectors.{i}.", s)
        margin = negative_margin(case.inputs[f"bn_bias{i}"], case.inputs[f"bn_weight{i}"])
        each.append(partial_distance(connected, t, margin))
        given |= {f"out.connected{i}": connected, f"out.margin{i}": margin}
    loss = sum(x / 2 ** (len(each) - 1 - i) for i, x in enumerate(each))
    return given | {"out.loss": loss, "out.per_stage_unweighted": torch.stack(each), **case.gradients(loss)}


def reviewkd_full(case: Any) -> dict[str, Any]:
    s, t = case.series("feat_s"), case.series("feat_t")
    case.holds(in_channels=[x.shape[1] for x in s], out_channels=[y.shape[1] for y in t])
    case.holds(shapes=[x.shape[-1] for x in reversed(s)], out_shapes=[y.shape[-1] for y in reversed(t)])
    width, deeper, fused = case.hyper["mid_channel"], None, []
    for i, (x, y) in enumerate(zip(reversed(s), reversed(t), strict=True)):
        block = connectors.AttentionFusion(x.shape[1], width, y.shape[1], fuse=i > 0)
        shown, deeper = weighted(block, case.weights, f"abf.{i}.", x, deeper, tuple(y.shape[-2:]))
        fused.insert(0, shown)
    loss = sum(hierarchical_context(f, y) for f, y in zip(fused, t, strict=True))
    return {"out.loss": loss, **{f"out.fused{i}": f for i, f in enumerate(fused)}, **case.gradients(loss)}


def srrl(case: Any) -> dict[str, Any]:
    s, t = case.inputs["feat_s"], case.inputs["feat_t"]
    connector = connectors.RectifiedConnector(s.shape[1], t.shape[1])
    projected = pooled(weighted(connector, case.weights, "connector.", s))
    matched = mean_squared_error(projected, pooled(t))
    logits = F.linear(projected, case.weights["teacher_fc.weight"], case.weights["teacher_fc.bias"])
    regressed = mean_squared_error(logits, case.inputs["logit_t"])
    loss = matched + case.hyper["weight"] * regressed
    return {"out.loss": loss, "out.fm": matched, "out.sr": regressed, **case.gradients(loss)}


def simkd(case: Any) -> dict[str, Any]:
    s, t = same_size(case.inputs["feat_s"], case.inputs["feat_t"])
    projector = connectors.ClassifierProjector(s.shape[1], t.shape[1], factor=case.hyper["factor"])
    projected = weighted(projector, case.weights, "transfer.", s)
    loss = mean_squared_error(projected, t)
    logits = F.linear(pooled(projected), case.weights["teacher_fc.weight"], case.weights["teacher_fc.bias"])
    return {"out.loss": loss, "out.student_logits": logits, "out.projected": projected, **case.gradients(loss)}


def mgd(case: Any) -> dict[str, Any]:
    s, t = case.inputs["feat_s"], case.inputs["feat_t"]
    keep = (case.inputs["uniform"] >= case.hyper["lambda_"]).to(s.dtype)
    assert keep.bool().equal(case.inputs["keep_mask"])
    generated = weighted(connectors.MaskedGenerator(s.shape[1], t.shape[1]), case.weights, "", s, keep)
    loss = case.hyper["alpha"] * generated_gap(generated, t)
    return {"out.loss": loss, **case.gradients(loss)}


def itrd(case: Any) -> dict[str, Any]:
    embedded = weighted(nn.Linear(24, 32), case.weights, "embed.", case.inputs["feat_s"])
    teacher = case.inputs["feat_t"]
    corr = correlation_information(embedded, teacher, alpha=case.hyper["alpha_it"])
    mutual = mutual_information(embedded, teacher)
    loss = case.hyper["lambda_corr"] * corr + case.hyper["lambda_mutual"] * mutual
    return {"out.loss": loss, "out.corr": corr, "out.mutual": mutual, **case.gradients(loss)}


def wkd_feat(case: Any) -> dict[str, Any]:
    hp = case.hyper
    case.holds(grid=1)
    mean, deviation = channel_moments(
        case.inputs["feat_s"], case.inputs["feat_t"], mean_weight=hp["mean_cov_ratio"], eps=hp["eps"]
    )
    loss = hp["weight"] * (mean + deviation)
    return {
        "out.loss": loss,
        "out.mean_loss": mean / hp["mean_cov_ratio"],
        "out.cov_loss": deviation,
        **case.gradients(loss),
    }


def crd(case: Any) -> Any:
    """Two steps: the constants Z come from the first, and each step's scores are read before its memory moves."""
    hp, given = case.hyper, {}
    case.holds(nce_k=case.inputs["contrast_idx_step0"].shape[1] - 1)
    memory = {n: case.inputs[f"memory_v{i}"] for n, i in (("s", 1), ("t", 2))}
    z: dict[str, Tensor] = {}
    for step in ("step0", "step1"):
        rows, index = case.inputs[f"contrast_idx_{step}"], case.inputs[f"idx_{step}"]
        named = {f"{name.replace('.', f'_{step}.', 1)}": w for name, w in case.weights.items()}
        named[f"feat_s_{step}"] = case.inputs[f"feat_s_{step}"]
        embedded, loss = {}, 0.0
        for name, other in (("s", "t"), ("t", "s")):
            x = case.inputs[f"feat_{name}_{step}"]
            embed = connectors.Embed(x.shape[1], hp["feat_dim"])
            embedded[name] = weighted(embed, case.weights, f"embed_{name}.", x)
            scores = memory_scores(embedded[name], memory[other], rows, temperature=hp["nce_t"])
            z.setdefault(name, partition(scores, hp["n_data"]))
            loss = loss + noise_contrast(scores / z[name], hp["n_data"], eps=hp["eps"])
        given |= {f"out.loss_{step}": loss, **case.gradients(loss, of=named)}
        for name, i in (("s", 1), ("t", 2)):
            moved = moved_memory(memory[name][index], embedded[name].detach(), momentum=hp["nce_m"])
            memory[name] = memory[name].index_copy(0, index, moved)
            given[f"out.memory_v{i}_after_{step}"] = memory[name]
    return given | {"out.Z_v1": z["s"], "out.Z_v2": z["t"]}


def sskd(case: Any) -> dict[str, Any]:
    hp, y = case.hyper, case.inputs["target"]
    logits = {n: case.inputs[f"logit_{n}"].unflatten(0, (-1, 4)) for n in "st"}
    embeddings = {n: case.inputs[f"ss_{n}"].unflatten(0, (-1, 4)) for n in "st"}
    normal = {n: x[:, 0] for n, x in logits.items()}
    rotated = {n: x[:, 1:].flatten(0, 1) for n, x in logits.items()}
    similar = {n: transformation_similarity(x[:, 1:].flatten(0, 1), x[:, 0]) for n, x in embeddings.items()}
    origin = torch.arange(len(y)).repeat_interleave(3)

    def kept_kl(pair: Mapping[str, Tensor], target: Tensor, keep: float, temperature: float) -> Tensor:
        kept = reliable_rows(pair["t"], target, keep=keep)
        return softened_kl(pair["s"], pair["t"], temperature=temperature, weight=kept.to(pair["s"].dtype))

    parts: Iterable[Tensor] = (
        cross_entropy(normal["s"], y),
        softened_kl(normal["s"], normal["t"], temperature=hp["kl_temp"]),
        kept_kl(similar, origin, hp["ss_ratio"], hp["ss_temp"]),
        kept_kl(rotated, y.repeat_interleave(3), hp["tf_ratio"], hp["tf_temp"]),
    )
    named = dict(zip(("ce", "kl", "ss", "tf"), parts, strict=True))
    loss = sum(w * x for w, x in zip(hp["weights_ce_kl_ss_tf"], named.values(), strict=True))
    return {"out.loss": loss, **{f"out.{name}": x for name, x in named.items()}, **case.gradients(loss)}


ADAPTERS = {
    **{f.__name__: f for f in (at, nst, pkd, ickd, ft_repdistiller, catkd, reviewkd_hcl, ft_paper, sp, pkt, cwd, norm)},
    **{f.__name__: f for f in (rkd, cc, cc_kernel, vid, ab, ft_modules, fsp, kdsvd_repdistiller, fitnet, ofd)},
    **{f.__name__: f for f in (reviewkd_full, srrl, simkd, mgd, itrd, wkd_feat, crd, sskd)},
    "at_paper_torchdistill": at_paper,
    "kdsvd_mdistiller_fp32": kdsvd_mdistiller,
}
