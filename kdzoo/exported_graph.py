"""A network as a graph with a free batch size, for PyTorch or ONNX, and such a graph in the place of the network."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from kdzoo import extras
from kdzoo.engine.files import replace_file
from kdzoo.errors import CapabilityError, MissingError, RecipeError
from kdzoo.protocol.outputs import MAIN
from kdzoo.protocol.task import Task

GRAPH, PROGRAM = ".onnx", ".pt2"


class _InPlace(nn.Module):
    """A graph in the place of the module that it was made of.

    Args: reads: its inputs that go by name -> how the task calls them; None where they are called alike.
    """

    def __init__(self, reads: Mapping[str, str] | None) -> None:
        super().__init__()
        self.reads = reads

    def renamed(self, named: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The inputs that the graph has, by its names."""
        return named if self.reads is None else {name: named[called] for name, called in self.reads.items()}


class Graph(_InPlace):
    """An ONNX graph in the place of a module, run by onnxruntime on the CPU."""

    def __init__(self, file: Path, reads: Mapping[str, str] | None = None) -> None:
        super().__init__(reads)
        runtime = _required("onnxruntime")
        self.session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        names = [entry.name for entry in self.session.get_inputs()]
        own = self.renamed(named)
        tensors = dict(zip(names, inputs, strict=False)) | {name: own[name] for name in names if name in own}
        given = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return torch.from_numpy(self.session.run(None, given)[0]).to(next(iter(tensors.values())).device)


class Program(_InPlace):
    """An exported graph of PyTorch's in the place of a module, on the CPU."""

    def __init__(self, file: Path, reads: Mapping[str, str] | None = None) -> None:
        super().__init__(reads)
        try:
            self.programs = [torch.export.load(file).module()]  # in a list: it refuses to be switched between modes
        except Exception as error:  # torch raises what its archive, its JSON or its unpickler raise
            raise RecipeError(f"{file} cannot be read as a graph of PyTorch ({' '.join(str(error).split())[:200]}).") from None

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        device = next(iter((*inputs, *named.values()))).device
        found = self.programs[0](*(x.cpu() for x in inputs), **{name: x.cpu() for name, x in self.renamed(named).items()})
        return tree_map(lambda x: x.to(device) if isinstance(x, Tensor) else x, found)


def write_program(module: nn.Module, task: Task, file: Path) -> None:
    """The graph as `torch.export` has it. Raises CapabilityError for a network that cannot be traced."""
    inputs, by_name, _ = _inputs(module, task)
    free = _free(task)
    shapes: Any = tuple(free for _ in inputs) if not by_name else _shapes(module, inputs, by_name, free)
    try:
        program = torch.export.export(module, inputs, by_name, dynamic_shapes=shapes)
    except Exception as error:  # whatever the network's code does to the tracer
        said = " ".join(str(error).split())[:300]
        raise CapabilityError(
            f"this network cannot be traced by torch.export ({type(error).__name__}: {said}); export its weights alone, "
            "--format safetensors."
        ) from error
    replace_file(file, lambda beside: _saved(program, beside))


def _saved(program: Any, beside: Path) -> None:
    """By an open file, as torch insists on a suffix of a name."""
    with beside.open("wb") as file:
        torch.export.save(program, file)


def write_onnx(module: nn.Module, task: Task, file: Path) -> None:
    """The graph with a free batch size, and free further axes as the task says. Its inputs are what the task calls it with."""
    _required("onnx"), _required("onnxscript")
    inputs, by_name, _ = _inputs(module, task)
    numbered = ["input"] if len(inputs) == 1 else [f"input{number}" for number in range(len(inputs))]
    free = _free(task)
    with warnings.catch_warnings():  # of inputs that share their free axes, all but the first are told that they do
        warnings.filterwarnings("ignore", message="# The axis name: ")
        program = torch.onnx.export(
            module,
            inputs,
            kwargs=by_name,
            dynamo=True,
            input_names=[*numbered, *by_name],
            output_names=["logits"],
            dynamic_shapes=(*(free for _ in inputs), *(free for _ in by_name)),
            verbose=False,
        )
    assert program is not None
    replace_file(file, lambda beside: program.save(str(beside), external_data=False))


def named_inputs(module: nn.Module, task: Task) -> dict[str, str]:
    """The inputs that go by name: what the graph calls them -> what the task does."""
    return _inputs(module, task)[2]


def _inputs(module: nn.Module, task: Task) -> tuple[tuple[Tensor, ...], dict[str, Tensor], dict[str, str]]:
    """What the task calls a model with, by place and by name, on two samples; by name only what the model reads.

    The third answer is what the model calls them -> what the task does. A free axis has two entries or more, as the tracer
    takes a single one for a fixed size.
    """
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return module(*args, **kwargs)

    with torch.no_grad():
        task.forward(call, task.example(), MAIN)
    args, kwargs = seen[0]
    if not all(isinstance(item, Tensor) for item in (*args, *kwargs.values())):
        raise CapabilityError("this task calls its models with more than tensors, which a graph cannot hold; use safetensors.")
    reads: dict[str, str] = module.reads(kwargs) if hasattr(module, "reads") else {name: name for name in kwargs}  # type: ignore[operator]
    axes = (0, *task.free_axes())
    return tuple(_two(arg, axes) for arg in args), {own: _two(kwargs[name], axes) for own, name in reads.items()}, reads


def _two(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in axes:
        tensor = tensor.repeat_interleave(2, axis) if tensor.shape[axis] == 1 else tensor
    return tensor


def _free(task: Task) -> dict[int, Any]:
    """The axes of inputs that a graph leaves free: the batch, and what else the task says."""
    free: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    return free | {axis: torch.export.Dim(name, min=2, max=most) for axis, (name, most) in task.free_axes().items()}


def _shapes(module: nn.Module, inputs: Sequence[Tensor], by_name: Mapping[str, Tensor], free: dict[int, Any]) -> Any:
    """The free axes by the names of the parameters of `forward`, as torch.export wants them where some go by name."""
    names = list(inspect.signature(module.forward).parameters)[: len(inputs)]
    return dict.fromkeys((*names, *by_name), free)


def _required(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingError(f"ONNX needs the package {module}, which is not installed. Run: {extras.command('onnx')}") from None
