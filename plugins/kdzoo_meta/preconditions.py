"""What can go wrong with a teacher that a gradient should reach, each in a sentence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

from torch import nn

from kdzoo.errors import CapabilityError, RecipeError, did_you_mean
from kdzoo.protocol.context import RunContext
from kdzoo_meta.gradients.constants import Blind

NO_SECOND_DERIVATIVE = ("the derivative for", "differentiate twice", "once_differentiable")


def freeze_others(run: RunContext, teacher: str, label: str, globs: Sequence[str]) -> None:
    """Freeze the teacher's parameters that match none of `globs`. Raises where nothing is left to move."""
    named = dict(run.model(teacher).named_parameters())
    if not any(p.requires_grad for p in named.values()):
        raise CapabilityError(
            f"methods.{label} moves teacher {teacher!r}, which has no trainable parameter; use a network as the teacher."
        )
    for name, parameter in named.items():
        parameter.requires_grad_(any(fnmatchcase(name, glob) for glob in globs))
    if not any(p.requires_grad for p in named.values()):
        raise RecipeError(
            f"methods.{label}.moves {list(globs)} matches no parameter of teacher {teacher!r}; {did_you_mean(globs[0], named)}"
        )


@contextmanager
def twice_differentiable(run: RunContext, label: str) -> Iterator[None]:
    """Turn torch's complaint about a loss that cannot be differentiated twice into a sentence that names the terms."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in NO_SECOND_DERIVATIVE):
            raise
        raise CapabilityError(
            f"methods.{label} differentiates the loss with respect to the student and then the teacher, but a term of "
            f"{_terms(run)} cannot be differentiated twice ({str(error).splitlines()[0][:160]}); remove that method."
        ) from error


def check_reached(run: RunContext, teacher: str, label: str) -> None:
    """Refuse a loss that does not depend on the teacher: a silent zero would look like training."""
    if all(p.grad is None for p in run.model(teacher).parameters()):
        raise CapabilityError(
            f"methods.{label} got no gradient for teacher {teacher!r}: no active term of {_terms(run)} lets one through to its "
            "answers (they are detached, cached, or only their argmax is used); add a method that compares soft answers, "
            "such as kd, or raise its weight above 0."
        )


def check_nonzero(run: RunContext, teacher: str, label: str) -> None:
    """A meta-gradient of exactly zero: an error where it can never be another, else a warning."""
    if any(p.grad is not None and p.grad.any() for p in run.model(teacher).parameters()):
        return
    if run.widths[teacher] == 1:
        raise CapabilityError(
            f"methods.{label}: the meta-gradient is 0, because teacher {teacher!r} has one logit and the softmax of one logit "
            "is always 1; use a method that compares the logits themselves."
        )
    warnings.warn(
        f"methods.{label}: the meta-gradient is exactly 0, so teacher {teacher!r} does not move; look at the inner rate and at "
        f"the weights of {_terms(run)}.",
        stacklevel=2,
    )


class InexactWarning(UserWarning):
    """A meta-gradient leaves something out."""


def warn_of_constants(found: Sequence[Blind], label: str) -> None:
    """Terms that take something as constant which moves."""
    for term in found:
        warnings.warn(
            f"methods.{label}: {term.term} takes as constant something that moves with the {term.of}'s answers, so the "
            f"meta-gradient leaves it out: on the first batch the derivative of this term's inner gradient is "
            f"{100 * term.error:.2g} % off.",
            InexactWarning,
            stacklevel=2,
        )


def warn_of_old_statistics(student: nn.Module, label: str) -> None:
    """A quiz in eval mode, where the student has running statistics: the inner step moves none."""
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats for module in student.modules()):
        warnings.warn(
            f"methods.{label}.quiz_mode=eval: the student's BatchNorm takes the quiz with the statistics from before the inner "
            "step; quiz_mode=train takes those of the quiz.",
            InexactWarning,
            stacklevel=2,
        )


def _terms(run: RunContext) -> str:
    """The active terms."""
    active = [f"{label}.{name}" for label, own in run.weights_now.items() for name, weight in own.items() if weight]
    return ", ".join(active) or "the recipe"
