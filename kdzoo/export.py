"""What a finished run deploys: rebuilt from its files, evaluated again, and exported as safetensors, ONNX or a model folder.

An exported folder holds the weights (or the graph) and `model.json`: what the network is, what it was trained on, and which
numbers it has to reproduce.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdzoo.engine.again import recipe_of
from kdzoo.engine.assemble import device_of
from kdzoo.engine.evaluate import evaluate
from kdzoo.engine.files import replace_file, write_json, writing
from kdzoo.engine.launch import DEPLOYED, deployable
from kdzoo.engine.precision import Precision
from kdzoo.engine.provenance import Made
from kdzoo.engine.run import Run
from kdzoo.engine.selection import save_weights
from kdzoo.engine.source import Source
from kdzoo.errors import CapabilityError, MissingError, RecipeError
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import MAIN
from kdzoo.protocol.task import Task
from kdzoo.recipe.build import build
from kdzoo.recipe.load import load, portable
from kdzoo.weights import load_weights

FORMAT = 1
CARD = "model.json"
GRAPH = ".onnx"


@dataclass(frozen=True)
class Deployed:
    """A deployed model on disk.

    Attributes:
        weights: its safetensors file, or its ONNX graph.
        settings: the resolved recipe that it comes from.
        test: the metrics on test that it has to reproduce, if they are known.
        made: what is known of how it was made.
    """

    weights: Path
    settings: Mapping[str, Any]
    test: Mapping[str, float] | None = None
    made: Made | None = None

    def module(self) -> nn.Module:
        """The network with its weights, on the CPU and in eval mode."""
        if self.weights.suffix == GRAPH:
            return Graph(self.weights)
        module = deployable(self.settings)
        load_weights(module, self.weights, str(self.weights))
        return module.eval()


def deployed(place: Path, *, recipe: str | None = None) -> Deployed:
    """What a run folder deploys, or an exported folder, or a single weights file.

    Args:
        place: the folder or file.
        recipe: the recipe of a weights file that lies beside neither `recipe.yaml` nor `model.json`.

    Raises RecipeError if there is none, its run is not finished, or its recipe is not known.
    """
    weights = _weights(place)
    folder = weights.parent
    if recipe is not None:
        return Deployed(weights, load(recipe).settings)
    if (folder / CARD).is_file():
        card = _read(folder / CARD)
        return Deployed(weights, load(card["recipe"]).settings, card["test"])
    if (folder / "recipe.yaml").is_file():
        result = _read(folder / "result.json") if (folder / "result.json").is_file() else {}
        which = "last" if weights.name == DEPLOYED else weights.stem
        return Deployed(weights, load(recipe_of(folder)).settings, result.get("test", {}).get(which), Made.read(folder))
    raise RecipeError(f"{weights} lies beside neither recipe.yaml nor {CARD}; name its recipe: --recipe NAME.")


def evaluated(model: Deployed) -> dict[str, float]:
    """The task's metrics of a deployed model on test, computed as at the end of its run."""
    run = _stand(model.settings)
    module = model.module().to(run.device)
    if model.settings["train"]["channels_last"]:
        module.to(memory_format=torch.channels_last)
    return evaluate(run, module, "test").metrics


def differences(model: Deployed) -> list[str]:
    """What is otherwise now than it was in the model's run, in words."""
    device = device_of(model.settings["runtime"]["device"])
    return model.made.differences(model.settings, device) if model.made else []


def export(model: Deployed, out: Path, *, to: Literal["safetensors", "onnx", "pretrained"] = "safetensors") -> Path:
    """Write a deployed model and its `model.json` to a folder; the file with the weights.

    Raises:
        MissingError: ONNX is asked for without the extra `onnx`.
        RecipeError: the folder cannot be written, or the model is a graph already.
    """
    if model.weights.suffix == GRAPH:
        raise RecipeError(f"{model.weights} is an export already; export the run folder, or its weights.")
    run = _stand(model.settings)
    module = model.module()
    with writing(out):
        file = WRITERS[to](module, run.task, out)
        write_json(out / CARD, card(model, module, run.task, file))
    return file


def card(model: Deployed, module: nn.Module, task: Task, file: Path) -> dict[str, Any]:
    """The content of `model.json`."""
    return {
        "format": FORMAT,
        "weights": file.name,
        "student": model.settings["student"],
        "parameters": sum(p.numel() for p in module.parameters()),
        "data": task.facts() | task.preprocessing(),
        "inputs": list(task.remarks()),
        "metric": task.metric,
        "test": model.test,
        "recipe": portable(model.settings),
    }


class Graph(nn.Module):
    """An ONNX graph in the place of a module, run by onnxruntime on the CPU."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        runtime = _required("onnxruntime")
        self.session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        names = [entry.name for entry in self.session.get_inputs()]
        tensors = dict(zip(names, inputs, strict=False)) | {name: named[name] for name in names if name in named}
        given = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return torch.from_numpy(self.session.run(None, given)[0]).to(next(iter(tensors.values())).device)


def _safetensors(module: nn.Module, task: Task, out: Path) -> Path:
    file = out / "model.safetensors"
    save_weights(module, file)
    return file


def _onnx(module: nn.Module, task: Task, out: Path) -> Path:
    """The graph with a free batch size, and free further axes as the task says. Its inputs are what the task calls it with."""
    _required("onnx"), _required("onnxscript")
    inputs, named = _inputs(module, task)
    numbered = ["input"] if len(inputs) == 1 else [f"input{number}" for number in range(len(inputs))]
    free: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    free |= {axis: torch.export.Dim(name, min=2) for axis, name in task.free_axes().items()}
    with warnings.catch_warnings():  # of inputs that share their free axes, all but the first are told that they do
        warnings.filterwarnings("ignore", message="# The axis name: ")
        program = torch.onnx.export(
            module,
            inputs,
            kwargs=named,
            dynamo=True,
            input_names=[*numbered, *named],
            output_names=["logits"],
            dynamic_shapes=(*(free for _ in inputs), *(free for _ in named)),
            verbose=False,
        )
    file = out / "model.onnx"
    assert program is not None
    replace_file(file, lambda beside: program.save(str(beside), external_data=False))
    return file


def _pretrained(module: nn.Module, task: Task, out: Path) -> Path:
    """As the model's own library saves it, for its own way of loading, with what its inputs are made by."""
    save: Callable[[str], object] | None = getattr(module, "save_pretrained", None)
    if save is None:
        raise CapabilityError(
            f"the model {type(module).__name__} has no save_pretrained, which models of the transformers library have; "
            "use --format safetensors."
        )
    save(str(out))
    task.save_preprocessing(out)
    return out / "model.safetensors"


WRITERS: Mapping[str, Callable[[nn.Module, Task, Path], Path]] = {
    "safetensors": _safetensors,
    "onnx": _onnx,
    "pretrained": _pretrained,
}


def _inputs(module: nn.Module, task: Task) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """What the task calls a model with, by place and by name, on two samples."""
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return module(*args, **kwargs)

    with torch.no_grad():
        task.forward(call, task.example(), MAIN)
    args, kwargs = seen[0]
    if not all(isinstance(item, Tensor) for item in (*args, *kwargs.values())):
        raise CapabilityError("this task calls its models with more than tensors, which ONNX cannot hold; use safetensors.")
    return args, kwargs


def _stand(settings: Mapping[str, Any]) -> Run:
    """The part of a run that evaluation needs: the task with its data, the device, the precision."""
    device = device_of(settings["runtime"]["device"])
    torch.set_num_threads(settings["runtime"]["threads"])
    task: Task = build("tasks", settings["task"], "task")
    source = Source.opened(task, settings, Needs(), device)
    precision = Precision(settings["train"]["precision"], device)
    return Run(settings=settings, source=source, needs=Needs(), own_needs={}, precision=precision)


def _weights(place: Path) -> Path:
    if place.is_file():
        return place
    if (place / CARD).is_file():
        return place / str(_read(place / CARD)["weights"])
    if (place / "result.json").is_file():
        return place / DEPLOYED
    if (place / "recipe.yaml").is_file():
        raise RecipeError(f"the run in {place} is not finished; start it again by `kdzoo run`, it resumes.")
    raise RecipeError(f"{place} is neither a run folder nor an exported folder nor a weights file.")


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise RecipeError(f"{file} is damaged: it holds no JSON mapping; make it again by the command that wrote it.")
    return content


def _required(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingError(f"ONNX needs the package {module}, which is not installed. Run: pip install 'kdzoo[onnx]'") from None
