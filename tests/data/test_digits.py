import torch
from sklearn.datasets import load_digits

from kdzoo.data.digits import Digits


def test_every_image_is_in_exactly_one_part() -> None:
    data = Digits().load()
    assert (len(data.train), len(data.test)) == (1200, 597)
    together = torch.cat([data.train.images, data.test.images]).flatten(1).double() * 16 / 255
    original = torch.from_numpy(load_digits().data)
    assert sorted(together.round().tolist()) == sorted(original.tolist())


def test_the_test_part_is_stratified_and_always_the_same() -> None:
    first, again = Digits().load(), Digits().load()
    whole = torch.bincount(torch.from_numpy(load_digits().target)).double()
    assert ((torch.bincount(first.test.labels) - whole * 597 / 1797).abs() < 1).all()
    assert first.fingerprint == again.fingerprint
    torch.manual_seed(5)
    assert torch.equal(Digits().load().test.images, first.test.images)


def test_sixteen_gray_levels_span_the_bytes() -> None:
    data = Digits().load()
    assert len(data.train.images.unique()) == 17
    assert data.train.images.min() == 0
    assert data.train.images.max() == 255
    pixels = data.train.images.double() / 255
    torch.testing.assert_close(data.mean[0], pixels.mean().item())
    torch.testing.assert_close(data.std[0], pixels.std(correction=0).item())
