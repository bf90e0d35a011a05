"""The view `same_class`: another training image of the class, whatever batch the sample is in."""

from typing import Any

import pytest
import torch

from kdzoo.data.same_class import Classmates
from kdzoo.data.tensors import Tensors
from kdzoo.protocol.needs import Needs
from kdzoo.random import Streams
from kdzoo.tasks.image_classification import SAME_CLASS, ImageClassification

LABELS = torch.tensor([2, 0, 1, 2, 2, 0, 2, 3])


def test_a_classmate_is_another_sample_of_the_class() -> None:
    index = torch.arange(7)
    for u in torch.linspace(0, 1 - 2**-24, 9):
        found = Classmates(LABELS).of(index, u.expand(7))
        assert torch.equal(LABELS[found], LABELS[index])
        assert (found != index)[LABELS[index] != 1].all()


def test_every_other_member_is_equally_likely() -> None:
    uniform = torch.arange(300) / 300
    found = Classmates(LABELS).of(torch.zeros(300, dtype=torch.int64), uniform)
    assert torch.bincount(found, minlength=8).tolist() == [0, 0, 0, 100, 100, 0, 100, 0]


def test_a_sample_alone_in_its_class_is_its_own() -> None:
    assert Classmates(LABELS).of(torch.tensor([2, 7]), torch.tensor([0.0, 0.9])).tolist() == [2, 7]


@pytest.fixture
def task() -> ImageClassification:
    """Images whose pixels are their number; labels by number modulo 5. A third is held out."""
    labels = torch.arange(60) % 5
    images = torch.arange(60.0)[:, None, None, None].expand(60, 1, 2, 2).contiguous()
    own = {"mean": [0.0], "std": [1.0], "class_names": list("abcde")}
    data = Tensors(train_images=images, train_labels=labels, test_images=images[:5], test_labels=labels[:5], **own)
    opened = ImageClassification(data=data, validation=20)
    needs = Needs(views=frozenset({SAME_CLASS}))
    opened.open(needs=needs, streams=Streams(3), device=torch.device("cpu"), root=None)
    return opened


def seen(task: Any, *batches: Any, epoch: int = 0) -> Any:
    """Numbers of the images in the view, batch after batch."""
    given = task.batches("train", [torch.tensor(batch) for batch in batches], epoch=epoch, train=True)
    return torch.cat([batch.views[SAME_CLASS][:, 0, 0, 0] for batch in given]).long()


def test_the_view_shows_training_images_of_the_same_class(task: ImageClassification) -> None:
    everything = list(range(task.size("train")))
    others = seen(task, everything)
    own = task.places["train"]
    assert torch.equal(others % 5, own % 5)
    assert not (others == own).any()
    assert set(others.tolist()) <= set(own.tolist())


def test_the_view_depends_on_the_sample_and_the_epoch_alone(task: ImageClassification) -> None:
    index = [7, 3, 20, 11, 0, 5]
    assert torch.equal(seen(task, index), seen(task, index[:2], index[2:]))
    assert torch.equal(seen(task, index), seen(task, index[::-1]).flip(0))
    assert not torch.equal(seen(task, index), seen(task, index, epoch=1))


def test_evaluation_has_no_view(task: ImageClassification) -> None:
    (batch,) = task.batches("train", [torch.tensor([0, 1])], epoch=0, train=False)
    assert not batch.views
