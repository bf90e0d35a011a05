"""What a method takes for the input of a classifier is what the classifier reads, in every registered model."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
import torch
from kdzoo_features.cat_kd import ClassMaps
from torch import Tensor, nn

from kdzoo.models.classified import classifier_reads
from kdzoo.models.torchvision import torchvision

GRAPH = {"dan", "gcn", "gat", "entity_table"}
REBUILT = {"class_maps", "expanded", "torchvision", "timm", "separate_heads"}  # they need a base, a body or a name
TEXTS = {"bert", "hf", "student_from_teacher"}
VECTORS = {"linear", "mlp", "lenet5"}  # no map is pooled for their classifiers, and they must know the size
REGISTERED = {point.name: point for point in entry_points(group="kdzoo.models") if point.value.startswith("kdzoo")}
OWN = sorted(set(REGISTERED) - GRAPH - REBUILT - TEXTS)
CONVOLUTIONAL = sorted(set(OWN) - VECTORS)
FAMILIES = ["resnet18", "regnet_x_400mf", "shufflenet_v2_x0_5", "mobilenet_v2", "efficientnet_b0"]
WITHOUT_A_MAP = ["densenet121", "mobilenet_v3_small", "vgg11", "convnext_tiny"]


def images(size: int = 32, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))


def trained_like(net: nn.Module) -> nn.Module:
    """`net` with statistics and affine numbers as after training, so that no BatchNorm is the identity."""
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                layer.running_mean.normal_(std=0.2)
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(std=0.2)
    return net


def built(name: str) -> nn.Module:
    factory = REGISTERED[name].load()
    sized = {"size": 32} if name in VECTORS else {}
    return trained_like(factory(classes=5, channels=3, **sized))


@pytest.mark.parametrize("name", OWN)
def test_the_classifier_reads_the_pooled_vector(name: str) -> None:
    x = images()
    assert classifier_reads(built(name), "pooled", lambda model: model(x))


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_classifier_reads_the_mean_of_the_classified_map(name: str) -> None:
    x = images()
    assert classifier_reads(built(name), "classified", lambda model: model(x))


@pytest.mark.parametrize("name", FAMILIES)
def test_torchvisions_classified_maps_are_what_the_classifier_reads(name: str) -> None:
    x = images(64)
    assert classifier_reads(trained_like(torchvision(name=name, classes=5)), "classified", lambda model: model(x))


@pytest.mark.parametrize("name", WITHOUT_A_MAP)
def test_a_model_with_layers_after_its_pooling_has_no_map_that_its_classifier_reads(name: str) -> None:
    x = images(64)
    net = trained_like(torchvision(name=name, classes=5))
    assert classifier_reads(net, "pooled", lambda model: model(x))
    assert not classifier_reads(net, "classified", lambda model: model(x))


@pytest.mark.parametrize("name", ["wrn_16_2", "wrn_40_1", "mobilenet_v2_half", "shuffle_v2"])
def test_the_last_stage_is_not_what_these_classifiers_read(name: str) -> None:
    x = images()
    assert not classifier_reads(built(name), "last", lambda model: model(x))


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_network_that_is_rebuilt_to_class_maps_keeps_its_parameters_and_answers(name: str) -> None:
    base = built(name)
    count, expected = sum(p.numel() for p in base.parameters()), base.eval()(images()).detach()
    rebuilt = ClassMaps(classes=5, channels=3, size=32, base=lambda **_: base).eval()
    assert sum(p.numel() for p in rebuilt.parameters()) == count
    torch.testing.assert_close(rebuilt(images()), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_asking_leaves_modes_and_statistics_alone() -> None:
    net, x = built("wrn_16_1").train(), images()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    classifier_reads(net, "classified", lambda model: model(x))
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
