"""Number formats: fp32, or autocast to bf16 or fp16 with loss scaling."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from kdzoo.protocol.outputs import Output, Rows

FORMATS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """How forwards are run and gradients scaled."""

    def __init__(self, name: str, device: torch.device) -> None:
        self.name, self.device, self.format = name, device, FORMATS[name]
        self.scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, self.format) if self.format is not None else nullcontext()

    def scaled(self, loss: Tensor) -> Tensor:
        return self.scaler.scale(loss) if self.scaler is not None else loss

    @property
    def scale(self) -> float:
        """What `scaled` multiplies by now."""
        return self.scaler.get_scale() if self.scaler is not None else 1.0

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Step the optimizer; False if fp16 overflowed and the step was skipped."""
        if self.scaler is None:
            optimizer.step()
            return True
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= before


def full_rows(output: Output) -> Output:
    """Logits in float32 if they came out in half precision: every loss starts from full numbers."""
    rows = _full(output.rows)
    heads = {name: _full(head) if isinstance(head, Rows) else head for name, head in output.heads.items()}
    same = rows is output.rows and all(heads[name] is head for name, head in output.heads.items())
    return output if same else replace(output, rows=rows, heads=heads)


def _full(rows: Rows) -> Rows:
    scores = rows.scores
    half = isinstance(scores, Tensor) and scores.dtype in (torch.float16, torch.bfloat16)
    return replace(rows, scores=scores.float()) if half and isinstance(scores, Tensor) else rows
