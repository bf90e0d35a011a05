"""Any classification model of timm by its name there, with named taps. timm is imported only when asked for (extra `timm`).

The in-place activations are switched off, so that every module can be tapped. timm says of its models which modules end a stage
and which one is the classifier; where it says nothing of stages (transformers, mostly), features are tapped by module path.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import nn

from kdzoo.errors import MissingError, RecipeError
from kdzoo.extras import command
from kdzoo.models.published import take_weights, without_in_place_activations
from kdzoo.models.tap_names import StageTaps, name_taps
from kdzoo.protocol.roles import Existing
from kdzoo.weights import read_weights


def timm(
    *,
    name: str,
    weights: Existing | None = None,
    head: Literal["file", "fresh"] = "file",
    classes: int,
    channels: int = 3,
    size: int = 224,
) -> nn.Module:
    """A timm classification model.

    Args:
        name: as timm calls it, e.g. `resnet18` or `vit_tiny_patch16_224`.
        weights: a local `.safetensors` or `.pth` state dict in timm's names; nothing is ever downloaded. Without it the model
            is random. A teacher with published weights also needs their `mean` and `sd`.
        head: take the classifier from the weights (`file`), or start a new one for other classes (`fresh`).
        channels: of the images.

    Raises:
        RecipeError: the name, the size or the weights do not fit.
        MissingError: timm cannot be imported, or the weights file is not there.
    """
    library = _library()
    if not library.is_model(name):
        known = library.list_models()
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"timm.list_models() names its {len(known)}."
        raise RecipeError(f"timm has no model {name!r}; {hint}")
    net = _built(library, name, classes, channels, size)
    classifier = _classifier(net)
    if weights is not None:
        file = Path(weights).expanduser()
        take_weights(net, read_weights(file, "weights"), file, f"timm's {name}", fresh=classifier if head == "fresh" else None)
    if classifier is not None and isinstance(net.get_submodule(classifier), nn.Linear):
        pooling = getattr(net, "global_pool", None)
        name_taps(
            net,
            stem=None,
            stages=list(_stages(net, channels, size)),
            pooled=f"{classifier}:input",
            classifier=classifier,
            classified="global_pool:input" if isinstance(pooling, nn.Module) and not isinstance(pooling, nn.Identity) else None,
        )
    return net


def _library() -> ModuleType:
    try:
        import timm as library
    except ImportError as error:
        if error.name != "timm":
            raise MissingError(
                f"timm cannot be imported ({str(error).splitlines()[0]}); it has to fit torch {torch.__version__} and "
                "torchvision: install them together, `pip install --force-reinstall torch torchvision timm`."
            ) from error
        raise MissingError(f"`use: timm` needs timm, which is not installed. Run: {command('timm')}") from None
    found: ModuleType = library
    return found


def _built(library: ModuleType, name: str, classes: int, channels: int, size: int) -> nn.Module:
    """The model for images of this size, where its architecture has to be told."""
    arguments: dict[str, Any] = {"pretrained": False, "num_classes": classes, "in_chans": channels}
    try:
        try:
            net: nn.Module = library.create_model(name, img_size=size, **arguments)
        except TypeError:  # a network without a size
            net = library.create_model(name, **arguments)
    except (AssertionError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise RecipeError(f"timm's {name} refuses {channels} channels of size {size}: {said} Choose another model.") from None
    return without_in_place_activations(net)


def _classifier(net: nn.Module) -> str | None:
    """The path of the last linear layer, as timm says it; None where there are several."""
    config = getattr(net, "pretrained_cfg", None) or getattr(net, "default_cfg", {})
    found = config.get("classifier")
    return found if isinstance(found, str) else None


def _stages(net: nn.Module, channels: int, size: int) -> Iterator[StageTaps]:
    """The modules that end a stage, as timm's `feature_info` has them, where they give maps (B, C, H, W); the stem is none."""
    info = [entry for entry in getattr(net, "feature_info", None) or () if isinstance(entry, dict) and entry.get("module")]
    modules = dict(net.named_modules())
    wanted = [entry for entry in info if entry["module"] in modules and entry.get("reduction", 4) >= 4]
    shapes: dict[str, tuple[int, ...]] = {}

    def heard(path: str) -> Callable[..., None]:
        return lambda module, inputs, output: shapes.update({path: tuple(output.shape) if torch.is_tensor(output) else ()})

    hooks = [modules[entry["module"]].register_forward_hook(heard(entry["module"])) for entry in wanted]
    was = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, channels, size, size))
    except RuntimeError:  # it takes no such images, which the engine says with the task's own
        shapes.clear()
    finally:
        net.train(was)
        for hook in hooks:
            hook.remove()
    for entry in wanted:
        shape = shapes.get(entry["module"], ())
        if len(shape) == 4 and shape[1] == entry.get("num_chs"):
            yield StageTaps(entry["module"])
