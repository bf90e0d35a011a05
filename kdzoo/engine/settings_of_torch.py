"""What torch is told for the length of a run, whatever the process around it has told torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from kdzoo.engine.allocator import keep_freed_memory


@contextmanager
def settings_of_torch(settings: Mapping[str, Any]) -> Iterator[None]:
    """Threads and determinism as the recipe has them; gradients, dtype, precision and device as torch has them by default.

    A script's `torch.set_default_dtype`, or a notebook's `torch.no_grad()`, would be in no run's identity. What was there
    before comes back, but for how freed memory is kept.
    """
    keep_freed_memory()
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    dtype, precision, device = torch.get_default_dtype(), torch.get_float32_matmul_precision(), torch.get_default_device()
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads)
        stack.callback(torch.use_deterministic_algorithms, deterministic)
        stack.callback(torch.set_default_dtype, dtype)
        torch.set_num_threads(settings["runtime"]["threads"])
        torch.use_deterministic_algorithms(settings["train"]["deterministic"])
        torch.set_default_dtype(torch.float32)
        if precision != "highest":
            stack.callback(torch.set_float32_matmul_precision, precision)
            torch.set_float32_matmul_precision("highest")
        if device != torch.device("cpu"):
            stack.callback(torch.set_default_device, device)
            torch.set_default_device(None)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
