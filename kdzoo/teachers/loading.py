"""Where a model-backed teacher's weights come from: a checkpoint file, a recipe of its own, or the user's own module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from kdzoo.errors import MissingError, RecipeError
from kdzoo.protocol.roles import Model, RecipeRef

if TYPE_CHECKING:
    from kdzoo.engine.run import Run


def built(
    run: Run, name: str, *, model: Model | None, checkpoint: str | None, recipe: RecipeRef | None, weights: str
) -> nn.Module:
    """The teacher's module with its weights.

    Raises:
        RecipeError: the checkpoint does not fit.
        MissingError: the checkpoint file is not there.
    """
    if recipe is not None:
        from kdzoo.engine.launch import trained  # the launcher builds runs, and runs build teachers

        return trained(run, recipe.settings, which=weights)
    assert model is not None  # one of both is there, as the teacher has made sure
    module = run.task.build(model)
    if checkpoint is not None:
        load_weights(module, Path(checkpoint), f"teachers.{name}.checkpoint")
    return module


def load_weights(module: nn.Module, path: Path, where: str) -> None:
    """Load a `.safetensors` file, or a torch file with nothing but tensors in it, into a module."""
    state = read_weights(path, where)
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
    """The tensors of a weights file."""
    if not path.is_file():
        raise MissingError(f"{where}: there is no file {path}; train that teacher first, or give it a recipe instead.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise RecipeError(f"{where}: {path} cannot be read as weights ({error}); it is damaged or of another format.") from None
    except Exception as error:  # torch's unpickler refuses anything that is not plain tensors, with its own class
        raise RecipeError(
            f"{where}: {path} holds more than tensors, so it is not loaded: {str(error).splitlines()[0]}"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    return dict(state)
