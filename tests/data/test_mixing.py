"""mixup, CutMix, label noise and RandAugment as settings of the task; augmentation of folders, which is off by default."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from kdzoo.data.label_noise import noisy
from kdzoo.data.mixing import Mixing, mixed_labels
from kdzoo.engine.launch import opened
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.protocol.needs import Needs
from kdzoo.random import Streams
from kdzoo.recipe.load import load
from kdzoo.tasks.image_classification import ImageClassification


def numbers_for(count: Any, mixing: Any, seed: int = 3) -> Any:
    return Streams(seed).uniform(torch.arange(count), mixing.draws, "mixing")


def opened_task(data: str = "digits", **settings: Any) -> Any:
    mapping = {
        "task": {"use": "image_classification", "data": data, **settings},
        "student": "linear",
        "methods": {"hard_label": {}},
    }
    return opened(load(mapping).settings)


def batch_of(task: Any, index: Any, *, epoch: int = 0, train: bool = True) -> Any:
    return next(iter(task.batches("train", [torch.as_tensor(index)], epoch=epoch, train=train)))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_shares_of_mixup_are_betas(alpha: float) -> None:
    mixing = Mixing(mixup=alpha)
    ones, zeros = torch.ones(4000, 1, 2, 2), torch.zeros(4000, 1, 2, 2)
    images, share = mixing(ones, zeros, numbers_for(4000, mixing))
    assert torch.allclose(images[:, 0, 0, 0], share)
    assert stats.kstest(share.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_cutmix_takes_a_rectangle_and_its_share_is_that_of_the_pixels() -> None:
    mixing = Mixing(cutmix=1.0)
    images, share = mixing(torch.ones(500, 1, 20, 16), torch.zeros(500, 1, 20, 16), numbers_for(500, mixing))
    assert torch.allclose(images.mean((1, 2, 3)), share, atol=1e-6)
    for image in images[:, 0] == 0:
        rows, columns = image.any(1).nonzero(), image.any(0).nonzero()
        if len(rows):
            assert image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
    assert 0.2 < share.mean() < 0.8


def test_with_both_each_sample_gets_one_of_them() -> None:
    mixing = Mixing(mixup=1.0, cutmix=1.0)
    images, _ = mixing(torch.ones(2000, 1, 8, 8), torch.zeros(2000, 1, 8, 8), numbers_for(2000, mixing))
    cut = ((images == 0) | (images == 1)).flatten(1).all(1)
    assert 0.45 < cut.float().mean() < 0.55


def test_mixed_labels_are_probabilities_in_the_same_shares() -> None:
    found = mixed_labels(torch.tensor([0, 1]), torch.tensor([2, 1]), torch.tensor([0.75, 0.3]), 3)
    assert torch.allclose(found, torch.tensor([[0.75, 0, 0.25], [0, 1.0, 0]]))


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_a_mixed_sample_does_not_depend_on_its_batch(settings: dict[str, float]) -> None:
    task = opened_task(**settings, rand_augment=2)
    whole = batch_of(task, range(32))
    parts = [batch_of(task, [index]) for index in range(32)]
    assert torch.equal(whole.inputs, torch.cat([part.inputs for part in parts]))
    assert torch.equal(whole.target, torch.cat([part.target for part in parts]))
    assert whole.target.shape == (32, 10)
    assert torch.allclose(whole.target.sum(1), torch.ones(32))
    assert not torch.equal(whole.inputs, batch_of(task, range(32), epoch=1).inputs)


def test_evaluation_and_held_out_parts_are_not_mixed() -> None:
    plain, mixed = opened_task(), opened_task(mixup=1.0, cutmix=1.0, rand_augment=2)
    for split in ("train", "validation", "test"):
        found = [next(iter(t.batches(split, [torch.arange(8)], epoch=0, train=False))) for t in (plain, mixed)]
        assert torch.equal(found[0].inputs, found[1].inputs)
        assert torch.equal(found[0].target, found[1].target)


def test_mixing_is_refused_beside_further_views() -> None:
    task = ImageClassification(data=opened_task().data, mixup=0.2)
    with pytest.raises(CapabilityError, match=r"further views \(second\).*leave them out, or the method"):
        task.open(needs=Needs(views=frozenset({"second"})), streams=Streams(0), device=torch.device("cpu"), root=None)


def test_label_noise_is_symmetric_and_as_frequent_as_it_says() -> None:
    labels = torch.arange(10).repeat(2000)
    found = noisy(labels, 0.3, classes=10, seed=1)
    wrong = found != labels
    assert abs(wrong.float().mean() - 0.3) < 0.015
    shift = (found - labels)[wrong] % 10
    counts = torch.bincount(shift, minlength=10)[1:].double()
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 26.1  # chi-squared, 8 degrees of freedom, p = 0.001
    assert not torch.equal(found, noisy(labels, 0.3, classes=10, seed=2))
    assert (noisy(labels, 1.0, classes=10, seed=1) != labels).all()


def test_label_noise_leaves_validation_and_test_and_is_said() -> None:
    plain, spoiled = opened_task(), opened_task(label_noise=0.5)
    for split, same in {"train": False, "validation": True, "test": True}.items():
        index = [torch.arange(plain.size(split))]
        found = [next(iter(t.batches(split, index, epoch=0, train=False))).target for t in (plain, spoiled)]
        assert torch.equal(*found) is same
    assert any(f"Label noise: {spoiled.spoiled} of 1080 training labels" in remark for remark in spoiled.remarks())
    assert not any("noise" in remark for remark in plain.remarks())


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("label_noise", 1.5, "label_noise must be between 0 and 1"),
        ("mixup", -1.0, "mixup must be at least 0"),
        ("cutmix", float("nan"), "cutmix must be "),
        ("rand_augment", -1, "rand_augment must be at least 0"),
    ],
)
def test_impossible_settings_are_refused(setting: str, value: Any, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        opened_task(**{setting: value})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cats", "dogs"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(6):
                pixels = generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("in_memory_mb", [512, 0])
def test_images_of_a_folder_are_not_changed_unless_one_says_so(folder: Path, in_memory_mb: int) -> None:
    data = {"use": "image_folder", "folder": str(folder), "size": 16, "in_memory_mb": in_memory_mb}
    plain, photographs = opened_task(data, workers=0), opened_task(data | {"augment": True}, workers=0)
    still = batch_of(plain, range(8), train=False).inputs
    assert torch.equal(batch_of(plain, range(8)).inputs, still)
    assert torch.equal(batch_of(photographs, range(8), train=False).inputs, still)
    assert not torch.equal(batch_of(photographs, range(8)).inputs, still)
    assert not torch.equal(batch_of(opened_task(data, flip=True, workers=0), range(8)).inputs, still)


@pytest.mark.parametrize("settings", [{"mixup": 1.0}, {"label_noise": 0.5}, {"rand_augment": 2}])
def test_streamed_images_are_mixed_and_spoiled_as_those_in_memory(
    folder: Path, settings: dict[str, float] | dict[str, int]
) -> None:
    data = {"use": "image_folder", "folder": str(folder), "size": 16, "mean": [0.5] * 3, "std": [0.2] * 3}
    held, streamed = (opened_task(data | {"in_memory_mb": mb}, workers=0, **settings) for mb in (512, 0))
    for part in range(2):
        index = range(4 * part, 4 * part + 4)
        ours, theirs = batch_of(held, index), batch_of(streamed, index)
        assert torch.equal(ours.target, theirs.target)
        if "rand_augment" not in settings:  # a streamed step draws from another stream
            assert torch.allclose(ours.inputs, theirs.inputs, atol=1e-6)
