"""How the student's answers change along a direction, by the backend that its modules allow."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from kdzoo.errors import PluginError
from kdzoo_meta.gradients.fd_logit import finite_difference
from kdzoo_meta.gradients.jvp import jvp
from kdzoo_meta.gradients.vectors import Vector

T = TypeVar("T")


class Tangents:
    """`jvp`, falling back to finite differences for good, with one warning, where an operator has no forward mode.

    Args: forward_mode: False goes by finite differences from the start.
    """

    def __init__(self, *, forward_mode: bool) -> None:
        self.forward_mode = forward_mode

    def __call__(self, function: Callable[[Vector], T], at: Vector, along: Vector) -> tuple[T, list[Tensor | None]]:
        if self.forward_mode:
            try:
                return jvp(function, at, along)
            except (NotImplementedError, PluginError) as error:  # a PluginError, where a model or method has the operator
                missing = _lacks_forward_mode(error)
                if missing is None:
                    raise
                self.forward_mode = False
                warnings.warn(
                    f"the student has no forward-mode differentiation ({missing}), so the meta-gradient goes on by finite "
                    "differences, which are inexact at kinks; backend=fd_logit says so without this warning, and "
                    "backend=double_backward is exact and takes more memory.",
                    stacklevel=2,
                )
        return finite_difference(function, at, along)


def _lacks_forward_mode(error: BaseException | None) -> str | None:
    """What torch says of an operator without forward mode, if that is behind an error."""
    while error is not None and not isinstance(error, NotImplementedError):
        error = error.__cause__
    return None if error is None else str(error).splitlines()[0][:120]
