"""Golden names of the analyses of label smoothing. Their keys have other prefixes: `OUTPUTS` says what is expected."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from kdzoo_smoothing.analyses.by_class import class_means
from kdzoo_smoothing.analyses.calibration import best_temperature, brier, calibration_errors, reliability
from kdzoo_smoothing.analyses.class_relation import contrast, cosine, nearest, pearson
from kdzoo_smoothing.analyses.confidence import entropy, summary
from kdzoo_smoothing.analyses.diffusion import center_distances, diffusion
from kdzoo_smoothing.analyses.grad_rescale import rescaling
from kdzoo_smoothing.analyses.mi_logit import information
from kdzoo_smoothing.analyses.penultimate import centroids, distances, pca_of, plane_of, within_scatter
from kdzoo_smoothing.analyses.stability import between_class, within_class
from torch import Tensor

from ..case import Case

Given = Mapping[str, Tensor]


def _out(**values: Tensor | float) -> Given:
    plain = {
        name: value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.double) for name, value in values.items()
    }
    return {f"out.out_{name}": value for name, value in plain.items()}


def calibration(case: Case) -> Given:
    logits, target = case.inputs["in_logits"].double(), case.inputs["in_targets"]
    best = best_temperature(logits, target)
    given = {"nll": F.cross_entropy(logits, target), "brier": brier(logits, target), "best_T": best}
    given["nll_best_T"] = F.cross_entropy(logits / best, target)
    for bins in (10, 15):
        found = reliability(logits, target, bins=bins)
        given[f"ece_{bins}"], given[f"mce_{bins}"] = calibration_errors(found)
        given |= {f"bin_acc_{bins}": found.accuracy, f"bin_conf_{bins}": found.confidence, f"bin_count_{bins}": found.samples}
    return _out(**given)


def class_relation(case: Case) -> Given:
    weight, group = case.inputs["in_weight"].double(), case.inputs["in_superclass"]
    near, together = cosine(weight), pearson(case.inputs["in_features"].double() @ weight.T, case.hyper["hp_T"])
    given: dict[str, Tensor | float] = {"cosine": near, "pearson": together, "topk_overlap_classes": nearest(near, 2)}
    for name, relation in {"cos": near, "pearson": together}.items():
        given[f"{name}_within"], given[f"{name}_between"] = contrast(relation, group)
    return _out(**given)


def diffused(case: Case) -> Given:
    target, names = case.inputs["in_targets"], {"T0": "in_features_T0", "T": "in_features_T"}
    relative = {
        name: center_distances(class_means(case.inputs[key].double(), target, int(target.max()) + 1))
        for name, key in names.items()
    }
    found = diffusion(relative["T0"], relative["T"], similar=case.hyper["hp_n_similar"])
    given = {f"dist_{name}": own for name, own in relative.items()}
    given |= {"eta": found.eta, "similar_classes": found.similar, "index": found.index}
    return _out(**given, eta_similar=found.eta_similar, eta_dissimilar=found.eta_others)


def grad_rescale(case: Case) -> Given:
    student, teacher = (case.inputs[f"in_logits_{which}"].detach().double() for which in "st")
    target, weight, temperature = case.inputs["in_targets"], case.hyper["hp_lambda"], case.hyper["hp_T"]
    found = rescaling(student, teacher, target, weight=weight, temperature=temperature)
    others = 1 - F.one_hot(target, student.shape[1])
    return _out(
        grad_ce=found.grad_ce,
        grad_kd=found.grad_kd,
        w=found.grad_kd / found.grad_ce,
        w_target=found.weight,
        w_nontarget_sum=(found.grad_kd * others).sum(1) / (found.grad_ce * others).sum(1),
        w_l1=found.weight_l1,
        teacher_conf=found.teacher,
        student_conf=found.student,
        c=found.teacher - found.student,
    )


def mi_logit(case: Case) -> Given:
    found = information(case.inputs["in_logit_diff"].double())
    return _out(mi=found.estimate, mu=found.means, sigma2=found.variance, upper=found.most)


def penultimate(case: Case) -> Given:
    features, templates, target = (case.inputs[f"in_{name}"] for name in ("features", "templates", "targets"))
    features, templates = features.double(), templates.double()
    plane, (main, variance) = plane_of(templates), pca_of(features, templates)
    return _out(
        plane_projector=plane.basis @ plane.basis.T,
        plane_coords=plane(features),
        plane_templates=plane(templates),
        pca_pairwise_dist=distances(main(features), main(features)),
        pca_explained_var=variance,
        centroid_dist=distances(*[centroids(features, target, range(3))] * 2),
        template_dist=distances(features, templates),
        within_scatter=within_scatter(features, target, range(3)),
    )


def stability(case: Case) -> Given:
    logits, target = case.inputs["in_logits"].double(), case.inputs["in_targets"]
    probabilities, means = logits.softmax(1), summary(logits, target)
    spread = within_class(probabilities, target)
    return _out(
        class_mean=class_means(probabilities, target, 5),
        count=torch.bincount(target),
        var_vector_sq=spread,
        stability=1 - spread.mean(),
        one_minus_stability=spread.mean(),
        alt_vector_norm=within_class(probabilities, target, "vector_norm").mean(),
        alt_scalar_sq=within_class(probabilities, target, "scalar_sq").mean(),
        alt_scalar_std=within_class(probabilities, target, "scalar_std").mean(),
        between_class=between_class(probabilities, target),
        mean_confidence=means["mean_confidence"],
        mean_target_prob=means["mean_target_probability"],
        mean_entropy=means["mean_entropy"],
        accuracy=means["accuracy"],
        confidence=probabilities.max(1).values,
        entropy=entropy(logits),
    )


ADAPTERS = {
    "calibration": calibration,
    "class_relation": class_relation,
    "diffusion": diffused,
    "grad_rescale": grad_rescale,
    "mi_logit": mi_logit,
    "penultimate": penultimate,
    "stability": stability,
}
OUTPUTS = dict.fromkeys(ADAPTERS, ("out_*", "grad_*"))
