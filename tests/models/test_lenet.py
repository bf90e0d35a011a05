"""LeNet-5 and LeNet-5-half."""

import pytest
import torch

from kdzoo.models.lenet import LeNet5


@pytest.mark.parametrize(("maps", "parameters"), [((6, 16), 61_706), ((3, 8), 35_820)])
def test_its_sizes_are_the_published_ones(maps: tuple[int, int], parameters: int) -> None:
    net = LeNet5(classes=10, maps=maps)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="size must be at least 12"):
        LeNet5(classes=10, size=8)


def test_it_has_two_convolutions() -> None:
    with pytest.raises(ValueError, match="maps must be two numbers"):
        LeNet5(classes=10, maps=(6,))
