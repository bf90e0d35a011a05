"""Students cut from a teacher: some of its layers, and the leading units of its hidden states."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError, RecipeError
from kdzoo_text.models.classifier import PROJECTIONS, layer_list, projection_paths

INNER = ("intermediate_size", "hidden_dim")
OUTER = ("hidden_size", "dim", "embedding_size")
"""What configurations call the width inside the feed-forward layers, and that of hidden states."""


def cut(model: nn.Module, layers: Sequence[int]) -> None:
    """Keep these layers, counted from 1, of a transformer."""
    path, own = layer_list(model)
    wrong = [number for number in layers if not 1 <= number <= len(own)]
    if wrong or not layers or list(layers) != sorted(set(layers)):
        raise RecipeError(f"layers must be different layers of the teacher's {len(own)}, in order, got {list(layers)}.")
    kept = nn.ModuleList(own[number - 1] for number in layers)
    for number, layer in enumerate(kept):
        for part in layer.modules():
            if hasattr(part, "layer_idx"):  # where a decoder keeps its keys and values
                part.layer_idx = number  # type: ignore[assignment]
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, kept)
    config: Any = model.config
    config.num_hidden_layers = len(layers)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[number - 1] for number in layers]
    with torch.device("meta"):
        expected = type(model)(copy.deepcopy(config)).state_dict()
    if expected.keys() != model.state_dict().keys():
        raise CapabilityError(
            f"a {type(model).__name__} of layers {list(layers)} could not be loaded again, as the first layer is built "
            "otherwise than the others; begin with layer 1."
        )


def narrowed(model: nn.Module, width: int) -> nn.Module:
    """A copy with narrower hidden states. Every weight keeps its leading entries; queries, keys and values those of each head.

    The inside of the feed-forward layers shrinks by the same factor.

    Raises:
        RecipeError: the heads do not divide the width. CapabilityError: its parts are otherwise than in a BERT.
    """
    config: Any = copy.deepcopy(model.config)
    heads, whole = int(config.num_attention_heads), int(config.hidden_size)
    if not 0 < width <= whole or width % heads:
        raise RecipeError(f"width must be a multiple of the {heads} heads and at most the teacher's {whole}, got {width}.")
    _, layers = layer_list(model)
    inner = next((name for name in INNER if hasattr(config, name)), None)
    if inner is None or not all(_attends_as_bert(layer, whole) for layer in layers):
        raise _otherwise(model)
    setattr(config, inner, getattr(config, inner) * width // whole)
    for name in OUTER:
        if getattr(config, name, None) == whole:
            setattr(config, name, width)
    small = type(model)(config)
    of_heads = _leading_of_heads(heads, whole // heads, width // heads)
    state, target = model.state_dict(), small.state_dict()
    if state.keys() != target.keys():
        raise _otherwise(model)
    with torch.no_grad():
        for name, value in target.items():
            value.copy_(_sliced(name, state[name], value.shape, of_heads))
    return small


def _attends_as_bert(layer: nn.Module, width: int) -> bool:
    """Whether queries, keys and values are separate maps of the hidden states, and one map leads back."""
    maps = [layer.get_submodule(path) for path in projection_paths(layer).values()]
    names = [f"{name}." for name, _ in layer.named_modules() if name.startswith("attention.")]
    square = all(part.weight.shape == (width, width) for part in maps)  # type: ignore[union-attr]
    return len(maps) == 3 and square and sum(map(_out_of_attention, names)) == 1


def _otherwise(model: nn.Module) -> CapabilityError:
    return CapabilityError(f"{type(model).__name__} cannot be made narrower: it is built otherwise than BERT; leave width out.")


def _leading_of_heads(heads: int, size: int, kept: int) -> Tensor:
    return (torch.arange(heads)[:, None] * size + torch.arange(kept)).flatten()


def _sliced(name: str, value: Tensor, shape: torch.Size, of_heads: Tensor) -> Tensor:
    inside = ".attention." in name
    for dim, size in enumerate(shape):
        if value.shape[dim] == size:
            continue
        by_head = inside and ((dim == 0 and _into_attention(name)) or (dim == 1 and _out_of_attention(name)))
        value = value.index_select(dim, of_heads) if by_head else value.narrow(dim, 0, size)
    return value


def _into_attention(name: str) -> bool:
    return any(f".{part}." in name for names in PROJECTIONS.values() for part in names)


def _out_of_attention(name: str) -> bool:
    return any(f".{part}." in f".{name}" for part in ("output.dense", "out_lin"))
