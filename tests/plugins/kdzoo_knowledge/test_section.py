"""The section `knowledge` of a task: what it declares, and what is refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from kdzoo_knowledge.declaration.section import Declared, KnowledgeSection, declared

from kdzoo.errors import RecipeError
from kdzoo.recipe.find import builtin_folder

CLASSES = ("T-shirt/top", "Trouser", "Sneaker", "Bag")
HEADS: dict[str, Any] = {
    "fine": "data",
    "coarse": {"clothing": ["T-shirt/top", "trouser"], "footwear": "sneaker", "accessory": 3},
    "marks": {"binary": {"warm": [0], "worn": [0, 1, 2]}},
}


def read(**settings: Any) -> Declared:
    return declared(KnowledgeSection(**{"heads": HEADS, **settings}), CLASSES)


def test_a_hierarchy_of_heads_is_read_off_their_labels() -> None:
    rules = read(is_a=[{"fine": "coarse"}]).knowledge.rules
    assert [rule.name for rule in rules] == [
        "fine.t_shirt_top is_a coarse.clothing",
        "fine.trouser is_a coarse.clothing",
        "fine.sneaker is_a coarse.footwear",
        "fine.bag is_a coarse.accessory",
    ]


def test_a_hierarchy_of_classes_and_exclusion_are_rules() -> None:
    known = read(is_a=[{"fine.bag": "coarse.accessory"}], exclusive=[["marks.warm", "fine.bag"]]).knowledge
    assert [str(rule.formula) for rule in known.rules] == [
        "if(fine.bag, coarse.accessory)",
        "at_most(1, marks.warm, fine.bag)",
    ]


def test_a_rule_has_its_settings() -> None:
    spec = {"holds": "fine.bag -> coarse.accessory", "weight": 0.5, "priority": 90, "tnorm": "godel"}
    (rule,) = read(rules={"bags": spec}).knowledge.rules
    assert (rule.weight, rule.priority, rule.tnorm, rule.hard) == (0.5, 90, "godel", False)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"heads": {}}, r"knowledge.heads is empty"),
    ({"heads": {"fine": 3}}, r"heads.fine is 3; expected `data`"),
    ({"heads": {"coarse": {"a": ["trowser"], "b": [0]}}}, r"heads.coarse.a: the data have no label 'trowser'; did you mean"),
    ({"heads": {"coarse": {"a": [0, 1], "b": [1]}}}, r"`a` and `b` both cover label 1"),
    (
        {"heads": {"coarse": {"a": "shoe_*", "b": [1]}}},
        r"heads.coarse.a: no label of the data matches 'shoe_\*'; there are",
    ),
    ({"heads": {"hidden": ["a", "b", "a"]}}, r"heads.hidden: two classes have one name"),
    ({"heads": {"coarse": {"a": [0]}}}, r"a softmax head needs two or more"),
    ({"is_a": ["fine"]}, r"is_a\[0\] is 'fine'; expected \{child: parent\}"),
    ({"is_a": [{"fine.bagg": "coarse.accessory"}]}, r"is_a\[0\]: .*did you mean 'bag'"),
    ({"is_a": [{"fine.bag": "coarse"}]}, r"`coarse` is a head; name one of its classes"),
    ({"is_a": [{"coarse": "fine"}]}, r"`coarse.clothing` lies in 0 classes of `fine`"),
    ({"exclusive": [["fine.bag"]]}, r"exclusive\[0\] .* a list of two or more classes"),
    ({"exclusive": [["fine.bag", "fine.bag"]]}, r"exclusive\[0\]: `fine.bag` stands twice in one exclusion"),
    ({"sums": [{"fine": ["coarse"] * 9}]}, r"sums\[0\]: .*the parts have 19,683 joint states, and a rule lists at most 10,000"),
    ({"sums": [{"fine": "coarse"}]}, r"sums\[0\] .*expected \{whole: \[part, part\]\}"),
    ({"sums": [{"fine": ["marks", "coarse"]}]}, r"`marks` is no softmax head"),
    ({"rules": {"r": 3}}, r"rules.r is 3; expected a formula"),
    ({"rules": {"r": {"holds": "fine.bag", "wieght": 1}}}, r"rules.r: there is no setting 'wieght'; did you mean 'weight'"),
    ({"rules": {"r": {"holds": "fine.bag", "weight": -1}}}, r"rules.r.weight must be at least 0"),
    ({"rules": {"r": {"holds": "fine.bag", "weight": None}}}, r"rules.r.weight must be a number, got None"),
    ({"rules": {"r": {"holds": "fine.bag", "priority": 101}}}, r"rules.r.priority must be"),
    ({"rules": {"r": {"holds": "fine.bag", "tnorm": "goedel"}}}, r"rules.r.tnorm is 'goedel'; did you mean 'godel'"),
    ({"rules": {"r": "fine.bag -> corse.footwear"}}, r"rules.r, column 13: there is no concept `corse`; did you mean 'coarse'"),
    ({"rules": {"r": "at_least(5, fine)"}}, r"rules.r, column 1: .* must be 0 to 4, got 5"),
    ({"rules": {"a": "exactly(1, fine.bag)", "b": "not fine.bag"}}, r"no state satisfies the rules `a` and `b` together"),
    ({"is_a": [{"fine.bag": "coarse.accessory"}, {"coarse.accessory": "fine.bag"}]}, r"the hierarchy goes round in a circle"),
    ({"is_a": [{"fine.bag": "coarse.accessory"}, {"fine.bag": "coarse.footwear"}]}, r"so their child could never be"),
    ({"is_a": [{"fine": "coarse"}, {"fine": "coarse"}]}, r"two rules are called `fine.t_shirt_top is_a coarse.clothing`"),
]


@pytest.mark.parametrize(("settings", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_what_is_wrong_is_said_with_its_place(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        read(**settings)


def test_a_pattern_stands_for_all_labels_that_it_matches() -> None:
    covered = read(heads={"long": {"t": "t*", "other": [2, "b*"]}}).covered
    assert list(covered["long"]) == [(0, 1), (2, 3)]


def test_classes_of_the_data_that_rules_could_not_tell_apart_are_refused() -> None:
    with pytest.raises(RecipeError, match="'a b' and 'a-b' would both be called `a_b` in rules"):
        declared(KnowledgeSection(heads={"fine": "data"}), ["a b", "c", "a-b"])


@pytest.mark.parametrize("rule", ["fine.bag ->", {"holds": "fine.bag", "wieght": 1}, 3])
def test_a_rule_that_is_wrong_whatever_the_data_are_is_refused_before_they_are_loaded(rule: Any) -> None:
    with pytest.raises(RecipeError, match=r"task.knowledge.rules.r"):
        KnowledgeSection(heads={"fine": "data"}, rules={"r": rule})


def test_the_recipe_of_cifar100_puts_five_classes_into_each_of_its_superclasses() -> None:
    recipe = yaml.safe_load((builtin_folder() / "knowledge/cifar100_hierarchy.yaml").read_text())
    coarse = recipe["task"]["knowledge"]["heads"]["coarse"]
    assert {len(own) for own in coarse.values()} == {5}
    fine = sorted(name for own in coarse.values() for name in own)
    assert len(set(fine)) == 100
    section = KnowledgeSection(heads={"fine": "data", "coarse": coarse}, is_a=recipe["task"]["knowledge"]["is_a"])
    assert len(declared(section, fine).knowledge.rules) == 100
