"""Which modules of torchvision's classification families are their stem and stages.

A table from the model's class to a function that finds the paths; a family that is missing here still has `pooled`, `logits`
and its module paths. The stages follow the convention of the CIFAR families: the last map at each resolution, after the ReLU.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from kdzoo.models.tap_names import StageTaps

Found = tuple[str, list[StageTaps]]


def _last(net: nn.Module, path: str) -> str:
    """The path of the last child of the module at `path`."""
    return f"{path}.{list(dict(net.get_submodule(path).named_children()))[-1]}"


def _last_norm(net: nn.Module, path: str) -> str:
    """The BatchNorm on the main path of the residual block at `path`; the one of the shortcut is called `downsample`."""
    children = net.get_submodule(path).named_children()
    return [f"{path}.{name}" for name, child in children if isinstance(child, nn.BatchNorm2d)][-1]


def _resnet(net: nn.Module) -> Found:
    last = {f"layer{n}": _last(net, f"layer{n}") for n in range(1, 5)}
    return "relu", [StageTaps(stage, f"{block}.relu:input", _last_norm(net, block)) for stage, block in last.items()]


def _regnet(net: nn.Module) -> Found:
    stages = [f"trunk_output.block{n}" for n in range(1, 5)]
    return "stem", [StageTaps(stage, f"{_last(net, stage)}.activation:input") for stage in stages]


def _shufflenet_v2(net: nn.Module) -> Found:
    return "conv1", [StageTaps(f"stage{n}") for n in (2, 3, 4)]


def _densenet(net: nn.Module) -> Found:
    """The stages are the concatenations, before the BatchNorm and ReLU that follow them: a pre-activation family."""
    return "features.relu0", [StageTaps(f"features.denseblock{n}") for n in range(1, 5)]


def _vgg(net: nn.Module) -> Found:
    layers = list(net.get_submodule("features").children())
    relus = [index - 1 for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    stages = []
    for index in relus:
        norm = f"features.{index - 1}" if isinstance(layers[index - 1], nn.BatchNorm2d) else None
        stages.append(StageTaps(f"features.{index}", f"features.{index}:input", norm))
    return stages[0].plain, stages[1:]


def _by_stride(net: nn.Module) -> Found:
    """`features` is a sequence whose last four steps to a smaller map open the four stages.

    These families end their blocks without a nonlinearity, so that the map is its own `preact`. A last 1x1 convolution
    (`Conv2dNormActivation`) belongs to the head.
    """
    children = list(net.get_submodule("features").children())
    halving = [n for n, child in enumerate(children) if _halves(child)]
    end = len(children) - (type(children[-1]).__name__ == "Conv2dNormActivation")
    ends = [following - 1 for following in [*halving[-3:], end]]
    return "features.0", [StageTaps(f"features.{n}", f"features.{n}") for n in ends]


def _halves(module: nn.Module) -> bool:
    return any(isinstance(layer, nn.Conv2d) and layer.stride != (1, 1) for layer in module.modules())


FAMILIES: dict[str, Callable[[nn.Module], Found]] = {
    "ResNet": _resnet,
    "RegNet": _regnet,
    "ShuffleNetV2": _shufflenet_v2,
    "DenseNet": _densenet,
    "VGG": _vgg,
    "MobileNetV2": _by_stride,
    "MobileNetV3": _by_stride,
    "EfficientNet": _by_stride,
    "ConvNeXt": _by_stride,
}


# The map that is pooled for a linear classifier, where it is not the last stage. DenseNet rectifies its own by a function, and
# MobileNetV3, VGG and ConvNeXt have layers between the pooling and the last linear one: they have no such map.
CLASSIFIED_MAPS = {"ShuffleNetV2": "conv5", "MobileNetV2": "features", "EfficientNet": "features"}


def stem_and_stages(net: nn.Module) -> tuple[str | None, list[StageTaps]]:
    """The stem and the stages of a torchvision model; nothing for a family that is not in the table."""
    find = FAMILIES.get(type(net).__name__)
    return find(net) if find else (None, [])
