from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdzoo.data.splits import split, stratified

LABELS = torch.arange(1000) % 7


def share(part: Any, labels: Any = LABELS) -> Any:
    return torch.bincount(labels[part], minlength=int(labels.max()) + 1)


def test_parts_are_disjoint_and_leave_nothing_out() -> None:
    parts = split(LABELS, validation=0.1, parts={"quiz": 0.1, "pilot": 50})
    together = torch.cat(list(parts.values())).sort().values
    assert torch.equal(together, torch.arange(1000))
    assert {name: len(part) for name, part in parts.items()} == {"train": 760, "validation": 100, "quiz": 90, "pilot": 50}


classes = st.lists(st.integers(1, 60), min_size=1, max_size=12).map(torch.tensor)


@settings(max_examples=60, deadline=None)
@given(per_class=classes, fraction=st.floats(0, 1), seed=st.integers(0, 3))
def test_class_counts_stay_within_one_of_their_share(per_class: Any, fraction: Any, seed: Any) -> None:
    labels = torch.repeat_interleave(torch.arange(len(per_class)), per_class)
    count = round(fraction * len(labels))
    part = stratified(labels, count, seed=seed, stream="x")
    assert len(part) == len(part.unique()) == count
    assert ((share(part, labels) - per_class * count / len(labels)).abs() < 1).all()


@settings(max_examples=60, deadline=None)
@given(per_class=classes, fraction=st.floats(0, 1))
def test_every_class_can_keep_one(per_class: Any, fraction: Any) -> None:
    labels = torch.repeat_interleave(torch.arange(len(per_class)), per_class)
    count = round(fraction * (len(labels) - len(per_class)))
    part = stratified(labels, count, seed=0, stream="x", keep=1)
    assert len(part) == count
    assert (share(part, labels) < per_class).all()


def test_validation_depends_on_no_seed_and_no_size() -> None:
    plain = split(LABELS)["validation"]
    other = split(LABELS, train_size=100, subset_seed=3, parts={"quiz": 0.2}, parts_seed=9)["validation"]
    assert torch.equal(plain, other)


def test_the_subset_depends_on_its_seed() -> None:
    first, again, other = (split(LABELS, train_size=200, subset_seed=seed)["train"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert ((share(first) - 200 / 7).abs() < 1).all()


def test_the_quiz_depends_on_its_seed_and_comes_out_of_training() -> None:
    first, again, other = (split(LABELS, train_size=300, parts={"quiz": 0.1}, parts_seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first["quiz"], again["quiz"])
    assert not torch.equal(first["quiz"], other["quiz"])
    assert (len(first["train"]), len(first["quiz"])) == (270, 30)
    both = torch.cat([first["train"], first["quiz"]]).sort().values
    assert torch.equal(both, torch.cat([other["train"], other["quiz"]]).sort().values)


def test_two_parts_of_one_size_differ() -> None:
    parts = split(LABELS, parts={"a": 0.1, "b": 90})
    assert not set(parts["a"].tolist()) & set(parts["b"].tolist())


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    split(LABELS, train_size=100, parts={"quiz": 0.1})
    assert torch.equal(before, torch.get_rng_state())


def test_no_validation_where_none_is_wanted() -> None:
    assert set(split(LABELS, validation=0)) == {"train"}


def test_a_class_of_one_stays_in_training() -> None:
    labels = torch.tensor([0] * 50 + [1])
    parts = split(labels, validation=0.5, parts={"quiz": 0.5})
    assert 50 in parts["train"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"train_size": 0}, r"train_size is 0, but there are 900 training samples of 7 classes: choose a number from 7 to 900"),
        ({"train_size": 901}, "train_size is 901, but there are 900 training samples"),
        ({"train_size": 5}, "train_size is 5, .* of 7 classes"),
        ({"validation": 1000}, "validation asks for 1000 of 1000 samples: choose from 1 to 999"),
        ({"validation": -1}, "validation asks for -1 of 1000 samples"),
        ({"validation": 1.5}, "validation is the fraction 1.5: give one between 0 and 1"),
        ({"validation": 998}, "validation cannot be split off: 998 samples .* 7 classes can give 993 if each keeps 1"),
        ({"parts": {"quiz": 0}}, "quiz asks for 0 of 900 samples"),
        ({"parts": {"quiz": 0.0}}, "quiz is the fraction 0.0"),
        ({"parts": {"quiz": 0.0001}}, "quiz asks for 0 of 900 samples"),
        ({"parts": {"a": 0.6, "b": 0.6}}, "b cannot be split off: 540 samples are asked for, but the 7 classes can give 353"),
        ({"parts": {"test": 0.1}}, "may not be called 'test'"),
    ],
)
def test_impossible_sizes_are_refused_with_a_sentence(settings: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        split(LABELS, **settings)
