"""What the methods of this family share: reading their taps in pairs, and refusing shapes that they cannot serve.

Every refusal comes before training, as a sentence that names the method, the taps and the shapes.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.func import functional_call

from kdzoo.errors import CapabilityError
from kdzoo.models.classified import classifier_reads
from kdzoo.models.tap_names import classifier_of
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.outputs import MAIN, Step

Shape = tuple[int, ...]


def pairs(step: Step) -> list[tuple[Tensor, Tensor]]:
    """The student's and the teacher's features in the order in which the method declared its taps."""
    return list(zip(step.student.features.values(), step.teacher.features.values(), strict=True))


def shape_pairs(method: Method, run: RunContext) -> list[tuple[Shape, Shape]]:
    """Shapes without the batch dimension of the paired taps; refuses lists of unequal length."""
    student, teacher = run.shapes(method), run.shapes(method, "teacher")
    if len(student) != len(teacher):
        raise CapabilityError(
            f"methods.{method.label} pairs the student's taps with the teacher's, but there are {len(student)} "
            f"({_listed(student)}) and {len(teacher)} ({_listed(teacher)}); name as many of each, e.g. "
            f"methods.{method.label}.student_taps=[stage1,stage2]."
        )
    return list(zip(student.values(), teacher.values(), strict=True))


def maps_only(method: Method, run: RunContext) -> None:
    """Refuse a tap that is not a map (C, H, W)."""
    for role in ("student", "teacher"):
        for tap, shape in run.shapes(method, role).items():
            if len(shape) != 3:
                raise CapabilityError(
                    f"methods.{method.label} compares feature maps (channels, height, width), but tap {tap!r} of the {role} "
                    f"has shape {shape}; choose a convolutional {role}, or a tap before its pooling."
                )


def map_pairs(method: Method, run: RunContext) -> list[tuple[Shape, Shape]]:
    """As `shape_pairs`, of taps that are all maps (C, H, W)."""
    maps_only(method, run)
    return shape_pairs(method, run)


def equal_channels(method: Method, run: RunContext, *, why: str, instead: str) -> list[tuple[Shape, Shape]]:
    """As `map_pairs`, of maps with equal channels in each pair."""
    found = map_pairs(method, run)
    for (student, teacher), s_tap, t_tap in zip(found, run.shapes(method), run.shapes(method, "teacher"), strict=True):
        if student[0] != teacher[0]:
            raise CapabilityError(
                f"methods.{method.label} {why}, so both maps need the same channels, but tap {s_tap!r} of the student has "
                f"{student[0]} (shape {student}) and tap {t_tap!r} of the teacher {teacher[0]} (shape {teacher}); "
                f"choose models of equal widths, or {instead}."
            )
    return found


def several_samples(method: Method, run: RunContext) -> None:
    """Refuse batches of one: the method relates samples to each other."""
    size = run.settings["train"]["batch_size"]
    if size < 2:
        raise CapabilityError(
            f"methods.{method.label} relates the samples of a batch to each other, but train.batch_size is {size}; "
            "set it to 2 or more."
        )


def teacher_classifier(method: Method, run: RunContext, *, channels: int, tap: str) -> dict[str, Tensor]:
    """Copies of the teacher's last linear layer, `weight` (K, C) and `bias` (K,), which must give its logits on the tap."""
    name = run.teacher_of(method)
    if run.teachers[name].trains:
        raise CapabilityError(
            f"methods.{method.label} copies the teacher's classifier once, but teacher {name!r} is trained in this run, so "
            "the copy would grow stale; use a frozen teacher."
        )
    classifier = classifier_of(run.model(name))
    if classifier.in_features != channels:
        raise CapabilityError(
            f"methods.{method.label} reads the teacher's classifier at tap {tap!r}, which has {channels} channels, but the "
            f"classifier takes {classifier.in_features} features; choose a teacher that pools this map right before it."
        )
    example = run.task.example()
    if not classifier_reads(run.model(name), tap, lambda model: run.task.forward(model, example, MAIN).rows.logits):
        raise CapabilityError(
            f"methods.{method.label} applies the teacher's classifier to tap {tap!r}, but on the mean of this map it does not "
            f"give the logits of {type(run.model(name)).__name__}: other layers stand between. Use the tap 'classified', or "
            "a teacher that pools a map for its last linear layer."
        )
    bias = classifier.bias if classifier.bias is not None else classifier.weight.new_zeros(classifier.out_features)
    return {"weight": classifier.weight.detach().clone(), "bias": bias.detach().clone()}


def still(module: nn.Module, x: Tensor) -> Tensor:
    """`module(x)` without a gradient for its own parameters; the one for `x` flows."""
    found: Tensor = functional_call(module, {name: p.detach() for name, p in module.named_parameters()}, (x,))
    return found


def _listed(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(shapes) or "none"
