"""Losses as pure functions of tensors, usable in any training script; each is imported when it is first used.

>>> from kdzoo.functional import softened_kl
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kdzoo.errors import did_you_mean

if TYPE_CHECKING:
    from kdzoo.functional.attention import attention_transfer as attention_transfer
    from kdzoo.functional.attention import attention_transfer_norm as attention_transfer_norm
    from kdzoo.functional.channels import channel_correlation as channel_correlation
    from kdzoo.functional.channels import channel_distribution as channel_distribution
    from kdzoo.functional.channels import channel_moments as channel_moments
    from kdzoo.functional.channels import generated_gap as generated_gap
    from kdzoo.functional.channels import many_to_one as many_to_one
    from kdzoo.functional.channels import neuron_selectivity as neuron_selectivity
    from kdzoo.functional.channels import pearson_features as pearson_features
    from kdzoo.functional.class_maps import class_attention as class_attention
    from kdzoo.functional.class_maps import class_attention_unit as class_attention_unit
    from kdzoo.functional.contrast import noise_contrast as noise_contrast
    from kdzoo.functional.correlation import inter_class as inter_class
    from kdzoo.functional.correlation import intra_class as intra_class
    from kdzoo.functional.correlation import pearson as pearson
    from kdzoo.functional.decoupled_kd import non_target_kl as non_target_kl
    from kdzoo.functional.decoupled_kd import target_class_kl as target_class_kl
    from kdzoo.functional.divergence import kl_divergence as kl_divergence
    from kdzoo.functional.divergence import kl_rows as kl_rows
    from kdzoo.functional.divergence import soft_cross_entropy as soft_cross_entropy
    from kdzoo.functional.divergence import softened_kl as softened_kl
    from kdzoo.functional.factors import factor_attention as factor_attention
    from kdzoo.functional.factors import factor_transfer as factor_transfer
    from kdzoo.functional.factors import factor_transfer_norm as factor_transfer_norm
    from kdzoo.functional.features import mean_squared_error as mean_squared_error
    from kdzoo.functional.features import unit_gap as unit_gap
    from kdzoo.functional.flow import singular_relation as singular_relation
    from kdzoo.functional.information import correlation_information as correlation_information
    from kdzoo.functional.information import mutual_information as mutual_information
    from kdzoo.functional.information import variational_information as variational_information
    from kdzoo.functional.labels import cross_entropy as cross_entropy
    from kdzoo.functional.labels import smooth_labels as smooth_labels
    from kdzoo.functional.labels import smooth_off_label as smooth_off_label
    from kdzoo.functional.logit_gaps import logit_mse as logit_mse
    from kdzoo.functional.logit_gaps import soft_mse as soft_mse
    from kdzoo.functional.margins import activation_boundary as activation_boundary
    from kdzoo.functional.margins import partial_distance as partial_distance
    from kdzoo.functional.normalized_kd import confident_label_loss as confident_label_loss
    from kdzoo.functional.normalized_kd import non_target_cross_entropy as non_target_cross_entropy
    from kdzoo.functional.refined_logits import masked_correlation_kl as masked_correlation_kl
    from kdzoo.functional.refined_logits import sample_confidence_kl as sample_confidence_kl
    from kdzoo.functional.relations import angle_relation as angle_relation
    from kdzoo.functional.relations import correlation_congruence as correlation_congruence
    from kdzoo.functional.relations import distance_relation as distance_relation
    from kdzoo.functional.relations import neighbor_correlation as neighbor_correlation
    from kdzoo.functional.relations import probability_transfer as probability_transfer
    from kdzoo.functional.relations import similarity_preserving as similarity_preserving
    from kdzoo.functional.review import hierarchical_context as hierarchical_context
    from kdzoo.functional.self_supervision import transformation_similarity as transformation_similarity
    from kdzoo.functional.tokens import attention_kl as attention_kl
    from kdzoo.functional.tokens import score_mse as score_mse
    from kdzoo.functional.tokens import token_cosine as token_cosine
    from kdzoo.functional.tokens import token_mse as token_mse
    from kdzoo.functional.tokens import unit_mse as unit_mse
    from kdzoo.functional.transformed_teacher import flatness as flatness
    from kdzoo.functional.transformed_teacher import transformed_kl_rows as transformed_kl_rows

_LOSSES = {
    "attention": (
        "attention_transfer",
        "attention_transfer_norm",
    ),
    "channels": (
        "neuron_selectivity",
        "channel_distribution",
        "pearson_features",
        "channel_correlation",
        "channel_moments",
        "many_to_one",
        "generated_gap",
    ),
    "class_maps": (
        "class_attention",
        "class_attention_unit",
    ),
    "contrast": ("noise_contrast",),
    "correlation": (
        "pearson",
        "inter_class",
        "intra_class",
    ),
    "decoupled_kd": (
        "target_class_kl",
        "non_target_kl",
    ),
    "divergence": (
        "kl_rows",
        "kl_divergence",
        "softened_kl",
        "soft_cross_entropy",
    ),
    "factors": (
        "factor_transfer",
        "factor_transfer_norm",
        "factor_attention",
    ),
    "features": (
        "mean_squared_error",
        "unit_gap",
    ),
    "flow": ("singular_relation",),
    "information": (
        "variational_information",
        "correlation_information",
        "mutual_information",
    ),
    "labels": (
        "cross_entropy",
        "smooth_labels",
        "smooth_off_label",
    ),
    "margins": (
        "activation_boundary",
        "partial_distance",
    ),
    "normalized_kd": (
        "confident_label_loss",
        "non_target_cross_entropy",
    ),
    "refined_logits": (
        "sample_confidence_kl",
        "masked_correlation_kl",
    ),
    "relations": (
        "similarity_preserving",
        "distance_relation",
        "angle_relation",
        "probability_transfer",
        "correlation_congruence",
        "neighbor_correlation",
    ),
    "review": ("hierarchical_context",),
    "self_supervision": ("transformation_similarity",),
    "transformed_teacher": (
        "transformed_kl_rows",
        "flatness",
    ),
    "logit_gaps": ("soft_mse", "logit_mse"),
    "tokens": ("token_mse", "token_cosine", "unit_mse", "score_mse", "attention_kl"),
}
_HOME = {name: module for module, names in _LOSSES.items() for name in names}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    if name.startswith("_"):
        raise AttributeError(name)
    raise AttributeError(f"{__name__} has no loss {name!r}; {did_you_mean(name, _HOME)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
