"""NORM: one representation of the teacher is matched by N of the student's, made by two linear layers inside the student.

Liu, Li, Li, Yao, "NORM: Knowledge Distillation via N-to-One Representation Matching", ICLR 2023, arXiv 2305.13803.

    norm = N mean (E_n(F_s) - F_t)^2 over n, b, c, h, w         E: 1x1 convolution and BatchNorm to N C_t channels
    F_s <- F_s + R(E(F_s))                                     R: 1x1 convolution and BatchNorm back, before the pooling

E and R belong to the student: it is the model `expanded` (`student: {use: expanded, base: {use: resnet8x4}, width: 256}`),
whose tap `expanded` the method reads; `width` is the teacher's channels. A larger teacher map is max-pooled. There is no
nonlinearity between them, so the deployed student has one 1x1 convolution in their place, with the same answers.

In practice: N = 8 with weight 1 and labels at 0.1 (CIFAR-100 README; N = 4 is the code's default), the weight stepped through
0.1, 0.5, 1, 0.5, 0.1 at epochs 10, 20, 180 and 210. Left out: the public code also trains and tests on layer-normalized
logits; combine with `kd` and `standardize` instead. Where the last stage is pooled at once the paper goes one step further
and merges the convolution into the classifier.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.functional.channels import many_to_one
from kdzoo.models.tap_names import expand, resolve
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.protocol.task import Model
from kdzoo_features.tap_checks import map_pairs, pairs


class Expansion(nn.Module):
    """A residual pair of linear layers: `x + R(E(x))`, (B, channels, H, W) through (B, wide, H, W)."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide))
        self.restore = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        restored: Tensor = self.restore(self.expand(x))
        return x + restored


@torch.no_grad()
def merged(expansion: Expansion) -> nn.Conv2d:
    """The one 1x1 convolution that does what `expansion` does in eval mode: `(1 + R E) x + R c_E + c_R`."""
    (e, c_e), (r, c_r) = _affine(expansion.expand), _affine(expansion.restore)
    both = nn.Conv2d(r.shape[0], r.shape[0], 1).to(r)
    both.weight.copy_((torch.eye(len(r)).to(r) + r @ e)[:, :, None, None])
    both.bias.copy_(r @ c_e + c_r)  # type: ignore[union-attr]
    return both


def _affine(layers: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Matrix (out, in) and offset (out,) of a 1x1 convolution followed by BatchNorm on its running statistics."""
    convolution, norm = layers
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale = norm.weight / (variance + norm.eps).sqrt()
    return scale[:, None] * convolution.weight.flatten(1), norm.bias - mean * scale


def expanded(*, classes: int, channels: int = 3, size: int, base: Model, width: int, copies: int = 8) -> nn.Module:
    """`base` with an `Expansion` to `copies * width` channels after its last stage, and the tap `expanded` inside it."""
    model = base(classes=classes, channels=channels, size=size)
    (last,) = expand(model, ("last",))
    path, is_input, _ = resolve(model, last)
    stage = model.get_submodule(path)
    shape = () if is_input else _shape(model, stage, torch.zeros(2, channels, size, size))
    if len(shape) != 4:
        raise RecipeError(
            f"expanded puts layers after a map (samples, channels, height, width), but {last!r} of {type(model).__name__} is "
            f"{'the input of a module' if is_input else f'of shape {tuple(shape)}'}; choose a convolutional base."
        )
    model.set_submodule(path, nn.Sequential(stage, Expansion(shape[1], copies * width)))
    for attribute in ("taps", "norms"):
        names = {name: _moved(where, path) for name, where in getattr(model, attribute, {}).items()}
        setattr(model, attribute, names | ({"expanded": f"{path}.1.expand"} if attribute == "taps" else {}))
    return model


def _moved(where: str, path: str) -> str:
    """A module path after `path` has become the first element of a Sequential."""
    inside = where == path or where.startswith((f"{path}.", f"{path}:"))
    return where.replace(path, f"{path}.0", 1) if inside else where


def _shape(model: nn.Module, stage: nn.Module, example: Tensor) -> torch.Size:
    """Shape of what `stage` gives in a forward that leaves no trace."""
    found: list[torch.Size] = []
    handle = stage.register_forward_hook(lambda _, __, output: found.append(output.shape))
    was = model.training
    with torch.no_grad():
        model.eval()(example)
    model.train(was)
    handle.remove()
    return found[0]


class NORM(Method):
    """Args: teacher_tap: the teacher's map."""

    def __init__(self, *, teacher_tap: str = "last") -> None:
        super().__init__()
        self.teacher_tap = teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=("expanded",), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = map_pairs(self, run)
        if student[0] % teacher[0] or teacher[1] < student[1] or teacher[2] < student[2]:
            raise CapabilityError(
                f"methods.{self.label} matches N student representations to one of the teacher, but tap 'expanded' has shape "
                f"{student} and tap {self.teacher_tap!r} of the teacher {teacher}: the channels must be a multiple, the map no "
                f"larger; set student.width={teacher[0]}."
            )

    @term()
    def norm(self, step: Step) -> Tensor:
        return many_to_one(*pairs(step)[0])

    def deploy(self, run: RunContext) -> nn.Module:
        model = copy.deepcopy(run.student)
        for path, module in list(model.named_modules()):
            if isinstance(module, Expansion):
                model.set_submodule(path, merged(module))
        return model
