from __future__ import annotations

from typing import Any

import pytest
import torch

from kdzoo.models.tiny import MLP, LinearNet, TinyCNN


def count(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_linear_net_is_one_linear_layer() -> None:
    net, images = LinearNet(classes=3, channels=1, size=8), torch.randn(5, 1, 8, 8)
    assert count(net) == 3 * 64 + 3
    torch.testing.assert_close(net(images), images.flatten(1) @ net.fc.weight.T + net.fc.bias)


def test_the_mlp_has_the_hidden_layers_it_was_asked_for(features: Any) -> None:
    found = features(MLP(classes=3, channels=1, size=8, hidden=(16, 12)), torch.randn(5, 1, 8, 8))
    assert {name: tuple(value.shape) for name, value in found.items() if name in ("stage1", "stage2", "pooled", "logits")} == {
        "stage1": (5, 16),
        "stage2": (5, 12),
        "pooled": (5, 12),
        "logits": (5, 3),
    }
    assert torch.equal(found["stage1"], found["stage1.preact"].relu())


def test_the_tiny_cnn_halves_the_map_per_width(features: Any) -> None:
    found = features(TinyCNN(classes=3), torch.randn(2, 3, 32, 32))
    shapes = [tuple(found[name].shape[1:]) for name in ("stage1", "stage2", "stage3", "pooled")]
    assert shapes == [(8, 16, 16), (16, 8, 8), (32, 4, 4), (32,)]


def test_the_tiny_cnn_has_a_bias_free_convolution_and_a_batchnorm_per_width() -> None:
    convolutions = 9 * (3 * 8 + 8 * 16 + 16 * 32)
    assert count(TinyCNN(classes=10)) == convolutions + 2 * (8 + 16 + 32) + 33 * 10


@pytest.mark.parametrize("size", [8, 28, 32])
def test_five_convolutions_fit_any_size(size: int) -> None:
    assert TinyCNN(classes=3, channels=1, widths=(8, 16, 32, 32, 64))(torch.randn(2, 1, size, size)).shape == (2, 3)


def test_a_net_without_dropout_is_deterministic_in_training() -> None:
    images = torch.randn(2, 3, 8, 8)
    for net in (MLP(classes=3, size=8), TinyCNN(classes=3)):
        assert torch.equal(net(images), net(images))


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 8, 8)
    for net in (MLP(classes=3, size=8, dropout=0.5), TinyCNN(classes=3, dropout=0.5)):
        assert not torch.equal(net(images), net(images))
        net.eval()
        assert torch.equal(net(images), net(images))


def test_the_logits_are_the_classifier_of_the_pooled_vector_even_under_dropout(features: Any) -> None:
    net = TinyCNN(classes=3, dropout=0.5)
    found = features(net, torch.randn(4, 3, 8, 8))
    assert torch.equal(net.fc(found["pooled"]), found["answer"])


def test_no_width_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden must name at least one width, got \[\]"):
        MLP(classes=3, size=8, hidden=())
    with pytest.raises(ValueError, match=r"widths must be at least 1, got 0 in \[8, 0\]"):
        TinyCNN(classes=3, widths=(8, 0))
