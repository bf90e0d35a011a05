"""Models of other libraries as kdzoo needs them: every module can be tapped, and weights come from a local file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from kdzoo.errors import RecipeError


def without_in_place_activations(net: nn.Module) -> nn.Module:
    """The same network, whose activations write to tensors of their own."""
    for layer in net.modules():
        if getattr(layer, "inplace", False):
            layer.inplace = False  # type: ignore[assignment]
    return net


def take_weights(net: nn.Module, state: Mapping[str, Tensor], file: Path, whose: str, *, fresh: str | None) -> None:
    """Load a state dict that came from a file.

    Args:
        whose: what messages call the network, e.g. `timm's resnet18`.
        fresh: the path of a classifier that stays as it is initialized.

    Raises RecipeError where it does not fit.
    """
    kept = {key: value for key, value in net.state_dict().items() if fresh is not None and key.startswith(f"{fresh}.")}
    try:
        net.load_state_dict({**state, **kept})
    except RuntimeError as error:
        misfit = str(error).split("\n")[1].strip()[:300]
        raise RecipeError(
            f"weights: {file} does not fit {whose}: {misfit} "
            "If only the classifier differs, set `head: fresh` to start a new one."
        ) from None
