"""Weights files: safetensors, or torch files with nothing but tensors in them."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from kdzoo.errors import MissingError, RecipeError, looked


def load_weights(module: nn.Module, path: Path, where: str) -> None:
    """Load a `.safetensors` file, or a torch file with nothing but tensors in it, into a module."""
    state = read_weights(path, where)
    from_library = getattr(module, "from_library", None)  # a wrapper that may meet files which its library saved
    state = from_library(state) if from_library is not None else state
    own = module.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    if shapes:
        key = sorted(shapes)[-1]
        raise RecipeError(
            f"{where}: {path} does not fit the model: {key} is {tuple(state[key].shape)} in the file and "
            f"{tuple(own[key].shape)} in the model (another architecture, or another number of classes)."
        )
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has an unknown {unknown[0]}"
        raise RecipeError(f"{where}: {path} {what}; it was saved from another architecture.")
    module.load_state_dict(state)


def read_weights(path: Path, where: str) -> dict[str, Tensor]:
    """The tensors of a weights file; `~` is the user's own folder."""
    path = path.expanduser()
    if not path.is_file():
        raise MissingError(
            f"{where}: there is no file {path} ({looked(path)}); train that teacher first, or give it a recipe instead."
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise RecipeError(f"{where}: {path} cannot be read as weights ({said}); it is damaged or of another format.") from None
    except Exception as error:  # torch's unpickler refuses anything that is not plain tensors, with its own class
        raise RecipeError(
            f"{where}: {path} holds more than tensors{_foreign(str(error))}; loading it could run any code: "
            "save the model's state_dict() alone, best as .safetensors."
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    inside = state.values() if isinstance(state, dict) else [state]
    strange = [type(value).__name__ for value in inside if not (isinstance(value, Tensor) and isinstance(state, dict))]
    if strange:
        raise RecipeError(
            f"{where}: {path} is no weights file: it holds a {strange[0]} where tensors by name are expected; "
            "save the model's state_dict()."
        )
    return dict(state)


def _foreign(text: str) -> str:
    """What torch found in a file besides tensors, from its message, whose advice is not passed on."""
    found = re.search(r"(?:GLOBAL|global:?|class) [`'\"]?([A-Za-z_][\w.]*)", text)
    return f" ({found[1]})" if found else ""
