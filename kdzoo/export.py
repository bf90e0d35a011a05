"""What a finished run deploys: rebuilt from its files, evaluated again, and exported: a graph for PyTorch or ONNX, or weights.

An exported folder holds the weights (or the graph), `model.json` (what the network is, its classes, how its inputs are
normalized, what it was trained on, and which numbers it has to reproduce) and `example.py`, which uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from kdzoo.engine.again import recipe_of
from kdzoo.engine.assemble import device_of
from kdzoo.engine.evaluate import evaluate
from kdzoo.engine.files import read_json, replace_file, write_json, writing
from kdzoo.engine.launch import DEPLOYED, deployable
from kdzoo.engine.precision import Precision
from kdzoo.engine.provenance import Made
from kdzoo.engine.run import Run
from kdzoo.engine.selection import save_weights
from kdzoo.engine.source import Source
from kdzoo.errors import CapabilityError, RecipeError, no_such
from kdzoo.exported_example import EXAMPLE, example
from kdzoo.exported_graph import GRAPH, PROGRAM, Graph, Program, named_inputs, write_onnx, write_program
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.task import Task
from kdzoo.recipe.build import build
from kdzoo.recipe.load import load, named, portable
from kdzoo.weights import load_weights

FORMAT = 1
CARD = "model.json"
Format = Literal["torch", "safetensors", "onnx", "pretrained"]


@dataclass(frozen=True)
class Deployed:
    """A deployed model on disk.

    Attributes:
        weights: its safetensors file, or its graph for PyTorch or ONNX.
        settings: the resolved recipe that it comes from.
        test: the metrics on test that it has to reproduce, if they are known.
        made: what is known of how it was made.
        reads: a graph's inputs that go by name -> how the task calls them; None where nobody wrote it.
    """

    weights: Path
    settings: Mapping[str, Any]
    test: Mapping[str, float] | None = None
    made: Made | None = None
    reads: Mapping[str, str] | None = None

    def module(self) -> nn.Module:
        """The network with its weights, on the CPU and in eval mode."""
        if self.weights.suffix == GRAPH:
            return Graph(self.weights, self.reads)
        if self.weights.suffix == PROGRAM:
            return Program(self.weights, self.reads)
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
        if not isinstance(card.get("recipe"), str | dict) or not isinstance(card.get("test"), dict):
            raise _damaged(folder / CARD)
        return Deployed(weights, load(card["recipe"]).settings, card["test"], reads=card.get("reads"))
    if (folder / "recipe.yaml").is_file():
        result = _read(folder / "result.json") if (folder / "result.json").is_file() else {}
        which = "last" if weights.name == DEPLOYED else weights.stem
        tested = result.get("test", {})
        if not isinstance(tested, dict):
            raise _damaged(folder / "result.json")
        return Deployed(weights, load(recipe_of(folder)).settings, tested.get(which), Made.read(folder))
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


def export(model: Deployed, out: Path, *, to: Format = "torch", force: bool = False) -> Path:
    """Write a deployed model, its `model.json` and an `example.py` to a folder; the file with the weights.

    Args:
        to: `torch`, a graph with its weights that plain PyTorch loads (`torch.export`); `safetensors`, the weights alone, for
            those who have the network's code; `onnx`, a graph for ONNX runtimes; `pretrained`, a folder for `from_pretrained`.
        force: write over an earlier export.

    Raises:
        MissingError: ONNX is asked for without the extra `onnx`.
        RecipeError: the folder holds an export already or cannot be written, or the model is a graph already.
        CapabilityError: the network cannot be traced.
    """
    if model.weights.suffix in (GRAPH, PROGRAM):
        raise RecipeError(f"{model.weights} is an export already; export the run folder, or its weights.")
    there = [name for name in (CARD, EXAMPLE, NAMES[to]) if (out / name).exists()]
    if there and not force:
        raise RecipeError(
            f"{out} holds {' and '.join(there)} already: choose another folder by --out, or write over it by --force."
        )
    run = _stand(model.settings)
    module = model.module()
    with writing(out):
        file = WRITERS[to](module, run.task, out)
        write_json(out / CARD, card(model, module, run.task, file))
        if text := example(to, file.name, run.task):
            replace_file(out / EXAMPLE, lambda beside: beside.write_text(text, "utf-8"))
    return file


def card(model: Deployed, module: nn.Module, task: Task, file: Path) -> dict[str, Any]:
    """The content of `model.json`."""
    return {
        "format": FORMAT,
        "weights": file.name,
        "student": named(model.settings["student"]),
        "class_names": None if (names := task.class_names()) is None else list(names),
        "parameters": sum(p.numel() for p in module.parameters()),
        "data": task.facts() | task.preprocessing(),
        "inputs": list(task.remarks()),
        "metric": task.metric,
        "test": model.test,
        "recipe": named(portable(model.settings)),
    } | ({"reads": named_inputs(module, task)} if file.suffix in (GRAPH, PROGRAM) else {})


def _torch(module: nn.Module, task: Task, out: Path) -> Path:
    file = out / NAMES["torch"]
    write_program(module, task, file)
    return file


def _onnx(module: nn.Module, task: Task, out: Path) -> Path:
    file = out / NAMES["onnx"]
    write_onnx(module, task, file)
    return file


def _safetensors(module: nn.Module, task: Task, out: Path) -> Path:
    file = out / NAMES["safetensors"]
    save_weights(module, file)
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
    task.save_preprocessing(out, module)
    return out / NAMES["pretrained"]


WRITERS: Mapping[str, Callable[[nn.Module, Task, Path], Path]] = {
    "torch": _torch,
    "safetensors": _safetensors,
    "onnx": _onnx,
    "pretrained": _pretrained,
}
NAMES = {
    "torch": f"model{PROGRAM}",
    "safetensors": "model.safetensors",
    "onnx": f"model{GRAPH}",
    "pretrained": "model.safetensors",
}


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
        weights = _read(place / CARD).get("weights")
        if not isinstance(weights, str):
            raise _damaged(place / CARD)
        return place / weights
    if (place / "result.json").is_file():
        return place / DEPLOYED
    if (place / "recipe.yaml").is_file():
        raise RecipeError(f"the run in {place} is not finished; start it again by `kdzoo run`, it resumes.")
    if not place.exists():
        raise RecipeError(no_such(place))
    runs = [file.parent for file in sorted(place.glob("*/result.json"))]
    if len(runs) == 1:
        return runs[0] / DEPLOYED
    several = f"; it holds {len(runs)} runs ({', '.join(run.name for run in runs[:5])}): name one" if runs else ""
    raise RecipeError(f"{place} is neither a run folder nor an exported folder nor a weights file{several}.")


def _read(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if content is None:
        raise _damaged(file)
    return content


def _damaged(file: Path) -> RecipeError:
    return RecipeError(
        f"{file} is damaged: it does not hold what was written there; make it again by the command that wrote it."
    )
