"""Any classification model of torchvision by its name there, with named taps. torchvision is imported only when asked for.

The in-place activations are switched off, so that every module can be tapped. GoogLeNet and Inception are built without their
auxiliary classifiers, whose outputs would come as a tuple in training.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdzoo.errors import MissingError, RecipeError, did_you_mean
from kdzoo.models.published import take_weights, without_in_place_activations
from kdzoo.models.tap_names import name_taps
from kdzoo.models.torchvision_taps import CLASSIFIED_MAPS, stem_and_stages
from kdzoo.protocol.roles import Existing
from kdzoo.weights import read_weights

# What a builder has to be told besides the number of classes: (image size, are there weights?) -> arguments.
# The published weights of GoogLeNet and Inception expect images rescaled by the model itself (`transform_input`).
EXTRA: dict[str, Callable[[int, bool], dict[str, Any]]] = {
    "googlenet": lambda _, given: {"aux_logits": False, "init_weights": not given, "transform_input": given},
    "inception": lambda _, given: {"aux_logits": False, "init_weights": not given, "transform_input": given},
    "maxvit": lambda size, _: {"input_size": (size, size)},
    "vit": lambda size, _: {"image_size": size},
}
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


def torchvision(
    *,
    name: str,
    weights: Existing | None = None,
    head: Literal["file", "fresh"] = "file",
    classes: int,
    channels: int = 3,
    size: int = 224,
) -> nn.Module:
    """A torchvision classification model.

    Args:
        name: as torchvision calls it, e.g. `resnet18`.
        weights: a local `.safetensors` or `.pth` state dict; nothing is ever downloaded. Without it the model is random.
        head: take the classifier from the weights (`file`), or start a new one for other classes (`fresh`).
        channels: 1 or 3. A gray image counts as three equal channels: the first convolution is summed over its inputs.

    Raises:
        RecipeError: the name, the number of channels, the size or the weights do not fit.
        MissingError: torchvision cannot be imported, or the weights file is not there.
    """
    library = _library()
    known = library.list_models(module=library)
    if name not in known:
        raise RecipeError(f"torchvision has no classification model {name!r}; {did_you_mean(name, known)}")
    if channels not in (1, 3):
        raise RecipeError(f"torchvision models take 1 or 3 channels, the task has {channels}; use one of kdzoo's own models.")
    net = _built(library, name, classes, size, given=weights is not None)
    if channels == 1:
        _make_gray(net)
    classifier = [path for path, layer in net.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    if weights is not None:
        _load(net, weights, classifier, fresh=head == "fresh")
    if isinstance(net.get_submodule(classifier), nn.Linear):  # SqueezeNet's is a convolution, and pools after it
        stem, stages = stem_and_stages(net)
        pooled, read = f"{classifier}:input", CLASSIFIED_MAPS.get(type(net).__name__)
        name_taps(net, stem=stem, stages=stages, pooled=pooled, classifier=classifier, classified=read)
    return net


def _library() -> ModuleType:
    try:
        from torchvision import models
    except (ImportError, RuntimeError, OSError) as error:
        cause = str(error).split("\n")[0]
        raise MissingError(
            f"torchvision cannot be imported ({cause}); it has to fit torch {torch.__version__}: "
            "install both together, `pip install --force-reinstall torch torchvision`."
        ) from error
    return models


def _built(library: ModuleType, name: str, classes: int, size: int, *, given: bool) -> nn.Module:
    arguments = EXTRA.get(name.split("_")[0], lambda *_: {})(size, given)  # type: ignore[no-untyped-call]
    try:
        net: nn.Module = library.get_model(name, weights=None, num_classes=classes, **arguments)
    except (AssertionError, ValueError) as error:
        raise RecipeError(
            f"torchvision's {name} refuses images of size {size}: {error} Choose another size or model."
        ) from None
    return without_in_place_activations(net)


def _make_gray(net: nn.Module) -> None:
    if getattr(net, "transform_input", False):
        raise RecipeError(f"the weights of {type(net).__name__} are for 3 channels, the task has 1; leave them out.")
    first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    first.weight = nn.Parameter(first.weight.detach().sum(dim=1, keepdim=True))
    first.in_channels = 1


def _load(net: nn.Module, weights: str, classifier: str, *, fresh: bool) -> None:
    file = Path(weights).expanduser()
    state = _modern(read_weights(file, "weights"))
    first = next(path for path, layer in net.named_modules() if isinstance(layer, nn.Conv2d)) + ".weight"
    if first in state and net.state_dict()[first].shape[1] == 1:
        state[first] = state[first].sum(dim=1, keepdim=True)
    take_weights(net, state, file, f"torchvision's {type(net).__name__}", fresh=classifier if fresh else None)


def _modern(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published files as the models without auxiliary classifiers want them, with the older names of DenseNet's layers."""
    renamed = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", key): value for key, value in state.items()}
    return {key: value for key, value in renamed.items() if not key.startswith(AUXILIARY)}
