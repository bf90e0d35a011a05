"""What is wrong with knowledge is told by `kdzoo check`: no data are opened for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdzoo.data.cifar import CIFAR10
from kdzoo.data.fashion_mnist import FashionMNIST
from kdzoo.engine.components import make
from kdzoo.errors import KdzooError
from kdzoo.recipe.load import load

FREE = {"fine": None, "coarse": None, "kind": {"a": [1], "b": [2]}, "top": ["x", "y"]}
BOTH = "no state satisfies the rules `r` and `s` together"
CASES: dict[str, tuple[list[str], str]] = {
    "a class": (['task.knowledge.rules={r: "fine.bga -> coarse.clothing"}'], "`fine` has no class `bga`; did you mean 'bag'"),
    "a head": (['task.knowledge.rules={r: "fin.bag -> coarse.clothing"}'], "fin"),
    "a label": (["task.knowledge.heads.coarse.clothing=[shrit]"], "no label 'shrit'; did you mean 'shirt'"),
    "a number": (['task.knowledge.rules={r: "exactly(4, fine.bag, fine.coat)"}'], "its number must be 0 to 2, got 4"),
    "contradictory rules": (['task.knowledge.rules={r: fine.bag, s: "not fine.bag"}'], BOTH),
    "a circle": (["task.knowledge.is_a=[{fine.bag: coarse.accessory}, {coarse.accessory: fine.bag}]"], "round in a circle"),
}


def checked(recipe: Any, *overrides: str) -> None:
    loaded = load(recipe, overrides)
    make(loaded.settings, loaded.provenance)


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: object, root: Path | None = None) -> None:
        raise AssertionError("the data were opened")

    for source in (FashionMNIST, CIFAR10):
        monkeypatch.setattr(source, "load", load)


@pytest.mark.parametrize("case", CASES)
def test_of_data_whose_classes_are_known(case: str) -> None:
    overrides, sentence = CASES[case]
    with pytest.raises(KdzooError) as error:
        checked("knowledge/superclasses", *overrides)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"r": "kind.c"}, "`kind` has no class `c`"),
        ({"r": "kind.a -> top.x", "s": "kind.a and not top.x"}, BOTH),
        ({"r": "kind.a -> top.x", "s": "kind.b or not top.x"}, None),
    ],
)
def test_of_data_whose_classes_no_head_has(rules: dict[str, str], sentence: str | None) -> None:
    knowledge = {"is_a": [], "heads": FREE, "rules": rules}
    recipe = {"extends": "knowledge/superclasses", "task": {"samples": {"data": "cifar10"}, "knowledge": knowledge}}
    if sentence is None:
        checked(recipe)
        return
    with pytest.raises(KdzooError) as error:
        checked(recipe)
    assert sentence in str(error.value)


def test_sums_of_pairs() -> None:
    with pytest.raises(KdzooError, match="no state satisfies the rule `r`"):
        checked("knowledge/pair_sum", 'task.rules={r: "total.3 and total.4"}')
