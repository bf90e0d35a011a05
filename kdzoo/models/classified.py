"""Whether a tap is what a model's classifier reads: for methods that apply a classifier to a tapped feature."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kdzoo.models.tap_names import classifier_of, expand, resolve

TOLERANCE = 1e-3  # of the largest logit: the order of sums differs, a missing layer changes the first digit


@torch.no_grad()
def classifier_reads(model: nn.Module, tap: str, answer: Callable[[nn.Module], Tensor]) -> bool:
    """Whether the classifier on the pooled tap gives the logits `answer(model)`, both in eval mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        feature, logits = _with_feature(model, tap, answer)
        pooled = feature.mean(tuple(range(2, feature.dim()))) if feature.dim() > 2 else feature
        classifier = classifier_of(model)
        if pooled.dim() < 2 or pooled.shape[-1] != classifier.in_features:
            return False
        expected = classifier(pooled)
    finally:
        for module, was in modes:
            module.training = was
    if expected.shape != logits.shape:
        return False
    return bool((expected - logits).abs().max() <= TOLERANCE * logits.abs().max())


def _with_feature(model: nn.Module, tap: str, answer: Callable[[nn.Module], Tensor]) -> tuple[Tensor, Tensor]:
    """The tapped feature and the logits of one forward."""
    path, is_input, keys = resolve(model, *expand(model, (tap,)))
    found: list[Tensor] = []

    def record(value: object) -> None:
        for key in keys:
            value = value[key]  # type: ignore[index]
        found.append(value)  # type: ignore[arg-type]

    module = model.get_submodule(path)
    if is_input:
        handle = module.register_forward_pre_hook(lambda _, args: record(args[0]))
    else:
        handle = module.register_forward_hook(lambda _, __, output: record(output))
    try:
        logits = answer(model)
    finally:
        handle.remove()
    return found[-1], logits
