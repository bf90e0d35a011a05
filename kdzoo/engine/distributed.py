"""Several processes under torchrun, without a module wrapper.

Parameters of methods sit outside any wrapper and `autograd.grad` is not synchronized by one, so the engine broadcasts at the
start and sums gradients itself. Every loss is weighted by its share of the whole batch, hence sums and not means.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


class ProcessGroup:
    """The processes of a run; a single one unless torchrun started several."""

    def __init__(self, device: torch.device) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.device = device
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def chunk(self, index: Tensor) -> Tensor:
        """This process's part of a batch's sample indices."""
        return index.tensor_split(self.size)[self.rank]

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()

    def broadcast(self, modules: Iterable[nn.Module]) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.size > 1:
            for module in modules:
                for tensor in module.state_dict().values():
                    dist.broadcast(tensor, src=0)

    def total(self, value: float) -> float:
        """The sum of a number over the processes."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return float(tensor.item())

    def any(self, flag: bool) -> bool:
        return self.total(float(flag)) > 0

    def reduce_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum gradients over the processes; a parameter that has one in some process gets zeros where it is missing."""
        if self.size == 1:
            return
        parameters = [p for p in parameters if p.requires_grad]
        there = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8, device=self.device)
        dist.all_reduce(there, op=dist.ReduceOp.MAX)
        used = [p for p, flag in zip(parameters, there.tolist(), strict=True) if flag]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for group in _by_dtype([p.grad for p in used if p.grad is not None]):
            flat = torch.cat([g.reshape(-1) for g in group])
            dist.all_reduce(flat)
            for grad, piece in zip(group, flat.split([g.numel() for g in group]), strict=True):
                grad.copy_(piece.view_as(grad))

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate along the first dimension over the processes, in rank order; gradients flow back to their owners."""
        return tensor if self.size == 1 else _Gather.apply(tensor, self.size, self.rank)  # type: ignore[no-any-return,no-untyped-call]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, tensor: Tensor, size: int, rank: int) -> Tensor:
        lengths = [torch.zeros(1, dtype=torch.int64, device=tensor.device) for _ in range(size)]
        dist.all_gather(lengths, torch.tensor([tensor.shape[0]], device=tensor.device))
        counts = [int(n.item()) for n in lengths]
        # Pieces may differ in length by one; gathering needs equal shapes.
        padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))
        padded[: tensor.shape[0]] = tensor
        pieces = [torch.empty_like(padded) for _ in range(size)]
        dist.all_gather(pieces, padded)
        ctx.place = (size, rank, sum(counts[:rank]), counts[rank])  # type: ignore[attr-defined]
        return torch.cat([piece[:n] for piece, n in zip(pieces, counts, strict=True)])

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Share.apply(grads[0], *ctx.place), None, None  # type: ignore[attr-defined,no-untyped-call]


class _Share(torch.autograd.Function):
    """The adjoint of gathering: sum over the processes and keep one's own part. Its adjoint in turn is gathering, so that a
    gradient of a gradient (MetaDistil's) crosses processes too."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, whole: Tensor, size: int, rank: int, start: int, length: int
    ) -> Tensor:
        ctx.place = (size, rank)  # type: ignore[attr-defined]
        whole = whole.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole[start : start + length].clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        return _Gather.apply(grads[0], *ctx.place), None, None, None, None  # type: ignore[attr-defined,no-untyped-call]


def _by_dtype(tensors: list[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())
