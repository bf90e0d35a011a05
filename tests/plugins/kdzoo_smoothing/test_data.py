"""Made-up class hierarchies, long tails and nested subsets of classes."""

from typing import Any, ClassVar

import pytest
import torch
from kdzoo_smoothing.data.class_hierarchy import ClassHierarchy, class_scores, class_weights
from kdzoo_smoothing.data.long_tailed import LongTailed, tail
from kdzoo_smoothing.data.parts import first_of_classes
from kdzoo_smoothing.data.some_classes import SomeClasses

from kdzoo import testing
from kdzoo.data.digits import Digits
from kdzoo.data.sets import Images, ImageSet
from kdzoo.data.splits import FIXED_SEED
from kdzoo.data.streaming import Streamed
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.testing import tiny_recipe, tiny_run


class TestClassHierarchy(testing.DataContract):
    data = "class_hierarchy"
    settings: ClassVar[Any] = {"train": 50, "test": 20}


class TestLongTailed(testing.DataContract):
    data = "long_tailed"
    settings: ClassVar[Any] = {"data": {"use": "digits"}, "ratio": 10}


class TestSomeClasses(testing.DataContract):
    data = "some_classes"
    settings: ClassVar[Any] = {"data": {"use": "digits"}, "count": 3}


@pytest.mark.parametrize("tau", [0.0, 0.3, 0.9])
def test_cosines_are_tau_within_a_superclass_and_0_between(tau: float) -> None:
    weights = class_weights(3, 4, 20, tau=tau)
    group = torch.arange(3).repeat_interleave(4)
    expected = tau * (group[:, None] == group).double() + (1 - tau) * torch.eye(12, dtype=torch.float64)
    torch.testing.assert_close(weights @ weights.T, expected)


def test_without_sines_the_linear_classifier_is_perfect() -> None:
    source = ClassHierarchy(difficulty=0, train=200, test=10, seed=4)
    images = source.load().train
    x = (images.images.double().flatten(1) - 0.5) * 12
    assert torch.equal((x @ class_weights(4, 5, 36, tau=0.5, seed=4).T).argmax(1), images.labels)


def test_more_sines_leave_less_to_the_linear_classifier() -> None:
    shares = []
    for difficulty in (1, 2, 6):
        images = ClassHierarchy(difficulty=difficulty, train=2000, test=10).load().train
        x = (images.images.double().flatten(1) - 0.5) * 12
        shares.append(float(((x @ class_weights(4, 5, 36, tau=0.5).T).argmax(1) == images.labels).double().mean()))
    assert shares[0] == 1.0
    assert shares[0] > shares[1] > shares[2]


def test_scores_are_the_formula() -> None:
    x, weights, phases = torch.ones(1, 2), torch.tensor([[1.0, 0.0], [0.5, 1.0]]), torch.tensor([0.1, 0.2])
    s = torch.tensor([[1.0, 1.5]])
    expected = s + torch.sin(s + 0.1) + torch.sin(2 * s + 0.2)
    torch.testing.assert_close(class_scores(x, weights, phases), expected)


def test_every_class_is_about_as_frequent_and_has_a_name_with_its_superclass() -> None:
    made = ClassHierarchy(train=20_000, test=10).load()
    counts = torch.bincount(made.train.labels, minlength=20)
    assert counts.min() > 500
    assert made.class_names[0] == "0.0"
    assert made.class_names[-1] == "3.4"


def test_the_task_gives_the_drawn_vectors_to_models() -> None:
    recipe = {"task": {"data": {"use": "class_hierarchy", "train": 400, "test": 50}, "validation": 0}}
    with tiny_run(tiny_recipe("hard_label", recipe=recipe)) as run:
        order = torch.arange(400).split(400)
        inputs = next(iter(run.task.batches("train", order, epoch=0, train=False))).inputs
    assert inputs.shape == (400, 1, 6, 6)
    assert inputs.mean().abs() < 0.05
    assert (inputs.std() - 1).abs() < 0.05


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"side": 4}, "side must be at least 5, got 4: 4 superclasses of 5 classes take 24 directions"),
        ({"tau": 1.0}, "tau must be at least 0 and below 1, got 1"),
        ({"superclasses": 1, "subclasses": 1}, "classes must be at least 2, got 1"),
        ({"difficulty": -1}, "difficulty must be at least 0, got -1"),
    ],
)
def test_a_hierarchy_that_cannot_be_is_refused_in_words(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ClassHierarchy(**settings)


def test_sizes_fall_by_a_constant_factor_to_the_ratio() -> None:
    assert tail(1000, 4, 1000.0).tolist() == [1000, 100, 10, 1]
    assert tail(50, 3, 1.0).tolist() == [50, 50, 50]
    assert tail(3, 3, 1e6).tolist() == [3, 1, 1]


def test_a_class_never_gives_more_than_it_has() -> None:
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    places = first_of_classes(labels, torch.tensor([2, 2, 2]))
    assert torch.bincount(labels[places]).tolist() == [2, 2, 1]
    assert places.tolist() == sorted(places.tolist())


def test_only_the_training_part_gets_a_tail() -> None:
    whole, cut = Digits().load(), LongTailed(data=Digits(), ratio=20.0).load()
    counts = torch.bincount(cut.train.labels)
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)
    assert counts[0] / counts[-1] == pytest.approx(20, rel=0.1)
    assert torch.equal(cut.test.images, whole.test.images)
    assert cut.fingerprint != whole.fingerprint


def test_a_larger_ratio_leaves_a_subset() -> None:
    labels = Digits().load().train.labels
    few, more = (set(first_of_classes(labels, tail(120, 10, ratio)).tolist()) for ratio in (50.0, 10.0))
    assert few < more


def test_the_first_classes_keep_their_labels_in_all_parts() -> None:
    made = SomeClasses(data=Digits(), count=3).load()
    assert made.classes == 3
    assert made.class_names == ("0", "1", "2")
    for part in made.parts.values():
        assert part.labels.unique().tolist() == [0, 1, 2]


def test_each_class_keeps_so_many_training_images() -> None:
    made, whole = SomeClasses(data=Digits(), count=4, each=30).load(), SomeClasses(data=Digits(), count=4).load()
    assert torch.bincount(made.train.labels).tolist() == [30, 30, 30, 30]
    assert torch.equal(made.test.images, whole.test.images)


def test_more_classes_than_the_source_has_is_a_sentence() -> None:
    class Silent:
        def load(self, root: Any = None) -> ImageSet:
            return Digits().load(root)

    with pytest.raises(RecipeError, match="count is 11, but the source has 10 classes"):
        SomeClasses(data=Silent(), count=11).load()
    with pytest.raises(ValueError, match=r"^count must be at most 10, the number of classes of these data, got 11"):
        SomeClasses(data=Digits(), count=11)


@pytest.mark.parametrize("make", [lambda data: LongTailed(data=data), lambda data: SomeClasses(data=data, count=2)])
def test_streamed_images_are_a_sentence(make: Any) -> None:
    class Source:
        def load(self, root: Any = None) -> ImageSet:
            whole = Digits().load()
            streamed = Streamed(decoder=type("D", (), {"labels": whole.train.labels})(), size=8, channels=1)
            part = Images(streamed, whole.train.labels)
            changed = object.__new__(ImageSet)
            changed.__dict__.update({**vars(whole), "train": part})
            return changed

    with pytest.raises(CapabilityError, match="chooses among images in memory, but these are streamed"):
        make(Source()).load()


def test_what_is_kept_does_not_depend_on_a_seed() -> None:
    assert FIXED_SEED == 0
    assert LongTailed(data=Digits()).load().fingerprint == LongTailed(data=Digits()).load().fingerprint
