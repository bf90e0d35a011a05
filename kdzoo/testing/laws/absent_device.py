"""A device that no machine needs to have: tensors without values, which notice a mixture of devices and a host that reads.

Fake tensors carry a shape, a type and a device. They say they are on `DEVICE`, a device type that PyTorch knows but for which
autograd asks no driver, so that backward passes and optimizers run too (fake CUDA tensors stop at `backward` without a GPU).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdzoo.engine.run import Run
from kdzoo.protocol.outputs import map_tensors
from kdzoo.random import Counter, Streams

T = TypeVar("T")
DEVICE = torch.device("lazy", 0)
OWN = "kdzoo"
"""Objects of this project's packages may hold tensors of a task (look-up tables); others are left alone."""


class DeviceError(AssertionError):
    """Something that only works, or only works fast, where the host and the device are one."""


class Watch(TorchDispatchMode):
    """Refuses operations that mix the device with tensors of the host, and copies from the device to the host.

    Scalars of the host (no dimensions) may meet tensors of the device: PyTorch passes them as numbers. An index on the host is
    refused although PyTorch accepts it, as each use copies it.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_device = any(tensor.device.type == DEVICE.type for tensor in given)
        if on_device and func is not torch.ops.aten.copy_.default:
            left = [tensor for tensor in given if tensor.device.type == "cpu" and tensor.ndim]
            if left:
                raise DeviceError(f"{func} got a tensor of shape {tuple(left[0].shape)} that was left on the CPU.")
        try:
            result = func(*args, **(kwargs or {}))
        except (DataDependentOutputException, DynamicOutputShapeException):
            raise DeviceError(f"{func} makes the host wait for a value of the device (.item(), float, bool, a mask).") from None
        back = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.device.type == "cpu"]
        if on_device and back:
            raise DeviceError(f"{func} copies a tensor of the device to the host.")
        return result


class HostStreams(Streams):
    """Streams whose generators are the host's: there are none for `DEVICE`, and fake tensors hold no numbers anyway."""

    def generator(self, stream: str, *counters: Counter, device: torch.device | str = "cpu") -> torch.Generator:
        return super().generator(stream, *counters)

    @contextmanager
    def applied(self, device: torch.device, stream: str, *counters: Counter) -> Iterator[None]:
        with super().applied(torch.device("cpu"), stream, *counters):
            yield


@contextmanager
def on_absent_device(run: Run) -> Iterator[Callable[[T], T]]:
    """Move a run, before its optimizers are made, to `DEVICE`; yields what moves a tree of tensors (a batch) there.

    Parameters and buffers move, as `Module.to` would move them, and the task's tensors. Plain attributes of a method stay on
    the CPU, where a real run would have left them too.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        known: dict[int, Tensor] = {}

        def fake(tensor: Tensor) -> Tensor:
            if id(tensor) not in known:
                moved = mode.from_tensor(tensor.detach()).to(DEVICE)
                trained = isinstance(tensor, nn.Parameter)
                known[id(tensor)] = nn.Parameter(moved, tensor.requires_grad) if trained else moved
            return known[id(tensor)]

        def move(tree: T) -> T:
            return map_tensors(fake, tree)

        for module in [*run.learners.values(), *run.teachers.values(), *run.methods.values()]:
            _move_module(module, fake)
        run.source.device, run.precision.device = DEVICE, DEVICE
        run.source.streams = HostStreams(run.streams.seed)
        _move_object(run.task, move)
        run.task.__dict__.update({"device": DEVICE, "streams": run.streams})
        with Watch():  # type: ignore[no-untyped-call]
            yield move


def _move_module(module: nn.Module, fake: Callable[[Tensor], Tensor]) -> None:
    for child in module.modules():
        for held in (cast("dict[str, Tensor | None]", child._parameters), child._buffers):
            held.update({name: fake(tensor) for name, tensor in held.items() if tensor is not None})


def _move_object(thing: Any, move: Callable[[Any], Any]) -> None:
    """Move the tensors that an object holds, and those of the project's own objects inside it."""
    for name, value in list(vars(thing).items()):
        object.__setattr__(thing, name, _moved_value(value, move))


def _moved_value(value: Any, move: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _moved_value(item, move) for key, item in value.items()}
    if type(value).__module__.startswith(OWN) and hasattr(value, "__dict__"):
        moved = copy.copy(value)  # sources share their sets, and checks in `__post_init__` read values
        _move_object(moved, move)
        return moved
    return move(value)
