"""CAT-KD: the student attends to each class where the teacher does.

Guo, Yan, Li, Lin, "Class Attention Transfer Based Knowledge Distillation", CVPR 2023, arXiv 2304.12777.

    cat = mean (A_s - A_t)^2,   A = W F pooled to 2x2: (B, K, 2, 2)      W: the classifier (K, C), F: the last map (B, C, H, W)

In the paper both networks are rebuilt so that the classifier is a 1x1 convolution without bias before the pooling. For the
student this is the model `class_maps` (`student: {use: class_maps, base: {use: resnet8x4}, bias: false}`), whose tap
`class_maps` the method reads; for the teacher the maps are computed from its classifier. `CATKDUnit` brings each map to unit
length, the authors' choice between unlike architectures.

In practice, beside the labels' loss at weight 1: weight 15 for resnet32x4 -> resnet8x4, 0.7 for resnet56 -> resnet20, 1.8 for
resnet110 -> resnet32, 12 for wrn_40_2 -> wrn_16_2, 4.5 for vgg13 -> vgg8; with unit length 600 for the ShuffleNets from
resnet32x4. No deviations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.errors import RecipeError
from kdzoo.functional.class_maps import class_attention, class_attention_unit, class_maps
from kdzoo.models.classified import classifier_reads
from kdzoo.models.tap_names import CLASSIFIED, INPUT, classifier_of, named_taps
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.protocol.task import Model
from kdzoo.ranges import at_least
from kdzoo_features.tap_checks import map_pairs, pairs, teacher_classifier
from kdzoo_features.truncate import up_to


class ClassMaps(nn.Module):
    """A model whose last layer is a 1x1 convolution that gives class maps (B, K, H, W); the logits are their means.

    Built from `base` with its initial weights: its trunk up to the map that it pools, its classifier as the convolution.
    Without `bias` the logits are those of `base` less its classifier's bias.
    """

    def __init__(self, *, classes: int, channels: int = 3, size: int, base: Model, bias: bool = True) -> None:
        super().__init__()
        whole = base(classes=classes, channels=channels, size=size)
        linear = classifier_of(whole)
        self.trunk = self._trunk(whole, linear.in_features, _images(channels, size))
        self.maps = nn.Conv2d(linear.in_features, linear.out_features, 1, bias=bias and linear.bias is not None)
        given, own = linear.state_dict(), self.maps.state_dict()
        self.maps.load_state_dict({name: given[name].view_as(value) for name, value in own.items()})
        kept = dict(self.trunk.named_modules())
        taps = {name: path for name, path in named_taps(whole).items() if path.removesuffix(INPUT) in kept}
        self.taps = {name: f"trunk.{path}" for name, path in taps.items()} | {CLASSIFIED: f"maps{INPUT}", "class_maps": "maps"}

    @staticmethod
    def _trunk(whole: nn.Module, features: int, example: Tensor) -> nn.Module:
        """`whole` up to a map with as many channels as its classifier takes."""
        for tap in (CLASSIFIED, f"pooled{INPUT}"):
            if not classifier_reads(whole, tap, lambda model: model(example)):
                continue
            trunk = up_to(whole, tap, example)
            with torch.no_grad():
                shape = trunk.eval()(example).shape
            trunk.train(whole.training)
            if len(shape) == 4 and shape[1] == features:
                return trunk
        raise RecipeError(
            f"class_maps cannot rebuild {type(whole).__name__}: its classifier takes {features} features, but neither its last "
            "stage nor what it pools is a map on whose mean the classifier gives its logits; choose another base."
        )

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.maps(self.trunk(x))
        return maps.mean((2, 3))


def _images(channels: int, size: int) -> Tensor:
    """Two images that are not constant, without a random number."""
    return torch.linspace(-1, 1, 2 * channels * size * size).view(2, channels, size, size).mul(97).sin()


class CATKD(Method):
    """Args: resolution: positions a side that the maps are pooled to. teacher_tap: the map that the teacher pools."""

    def __init__(self, *, resolution: int = 2, teacher_tap: str = CLASSIFIED) -> None:
        super().__init__()
        at_least(1, resolution=resolution)
        self.resolution, self.teacher_tap = resolution, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, rows=False, student_taps=("class_maps",), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (_, teacher), *_ = map_pairs(self, run)
        for name, value in teacher_classifier(self, run, channels=teacher[0], tap=self.teacher_tap).items():
            self.register_buffer(name, value)

    def maps(self, step: Step) -> tuple[Tensor, Tensor]:
        """Class maps of student and teacher, (B, K, H, W) each."""
        student, teacher = pairs(step)[0]
        return student, class_maps(teacher, self.get_buffer("weight"))

    @term(weight=15.0)
    def cat(self, step: Step) -> Tensor:
        return class_attention(*self.maps(step), resolution=self.resolution)


class CATKDUnit(CATKD):
    """CAT-KD with class maps of unit length."""

    @term(weight=15.0)
    def cat(self, step: Step) -> Tensor:
        return class_attention_unit(*self.maps(step), resolution=self.resolution)
