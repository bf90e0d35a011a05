"""Rules from text and from Python, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kdzoo_knowledge.declaration.expressions import Atom, Expression, at_least, at_most, exactly, exists, for_all, iff
from kdzoo_knowledge.declaration.grammar import parse
from kdzoo_knowledge.declaration.knowledge import Knowledge, Rule, exclusive, is_a
from kdzoo_knowledge.declaration.vocabulary import Head, Vocabulary, slug

from kdzoo.errors import RecipeError

FINE, COARSE = Head("fine", ("boot", "bag", "shirt")), Head("coarse", ("footwear", "other"))
TAGS = Head("tags", ("old", "red"), binary=True)
WORD = Head("kind", ("person", "place"), of="word")
RELATION = Head("relation", ("lives_in", "none"), of="pair")
VOCABULARY = Vocabulary(
    {head.name: head for head in (FINE, COARSE, TAGS, WORD, RELATION)}, {"pair": {"left": "word", "right": "word"}}
)
BOOT, BAG, SHIRT = FINE.boot, FINE.bag, FINE.shirt

SAME = [
    ("fine.boot", BOOT),
    ("not fine.boot", ~BOOT),
    ("fine.boot and fine.bag and fine.shirt", BOOT & BAG & SHIRT),
    ("fine.boot or fine.bag", BOOT | BAG),
    ("fine.boot xor fine.bag", BOOT ^ BAG),
    ("fine.boot -> coarse.footwear", BOOT >> COARSE.footwear),
    ("if(fine.boot, coarse.footwear)", BOOT >> COARSE.footwear),
    ("fine.boot <-> coarse.footwear", iff(BOOT, COARSE.footwear)),
    ("not fine.boot or fine.bag and tags.red", ~BOOT | BAG & TAGS.red),
    ("fine.boot or fine.bag -> tags.red xor tags.old", (BOOT | BAG) >> (TAGS.red ^ TAGS.old)),
    ("at_least(2, fine)", at_least(2, BOOT, BAG, SHIRT)),
    ("at_most(1, tags, fine.boot)", at_most(1, TAGS.old, TAGS.red, BOOT)),
    ("exactly(1, fine.boot, not fine.bag)", exactly(1, BOOT, ~BAG)),
    ("exists(tags)", exists(*TAGS.atoms)),
    ("for_all(tags)", for_all(*TAGS.atoms)),
    (
        "relation.lives_in -> left.kind.person and right.kind.place",
        RELATION.lives_in >> (WORD.as_part("left")["person"] & WORD.as_part("right")["place"]),
    ),
]


@pytest.mark.parametrize(("text", "formula"), SAME, ids=[text for text, _ in SAME])
def test_a_text_and_pythons_operators_say_the_same(text: str, formula: Expression) -> None:
    assert parse(text, VOCABULARY.resolve) == formula
    assert parse(str(formula), VOCABULARY.resolve) == formula


BAD = [
    ("fine.bot -> coarse.footwear", 1, "did you mean 'boot'"),
    ("fine.boot -> coars.footwear", 14, "did you mean 'coarse'"),
    ("fine.boot -> coarse", 14, "head of 2 classes"),
    ("exist(fine)", 1, "did you mean 'exists'"),
    ("fine.boot -> fine.bag -> fine.shirt", 23, "cannot stand here"),
    ("iff(fine.bag", 13, "ends too early"),
    ("if(fine.boot)", 1, "takes 2 operands, got 1"),
    ("not(fine.boot, fine.bag)", 14, "cannot stand here"),
    ("at_least(4, fine)", 1, "must be 0 to 3, got 4"),
    ("at_least(fine)", 1, "needs a number first"),
    ("exists(2, fine)", 8, "is no formula"),
    ("fine.boot $ fine.bag", 11, "no meaning here"),
    ("", 1, "ends too early"),
    ("__import__(fine.boot)", 1, "no function"),
    ("left.kind", 1, "head of 2 classes"),
    ("left.fine.boot", 1, "which has no head `fine`"),
    ("left", 1, "is a role"),
    ("fine.boot.left", 1, "a part too many"),
    ("fine.boot\n-> fine.bot", 14, "did you mean 'boot'"),
    ("not " * 60 + "fine.boot", 205, "more than 50 connectives stand inside each other"),
    ("not(" * 60 + "fine.boot" + ")" * 60, 205, "more than 50 connectives stand inside each other"),
]


@pytest.mark.parametrize(("text", "column", "message"), BAD, ids=[text for text, _, _ in BAD])
def test_what_is_wrong_is_said_with_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, VOCABULARY.resolve, "knowledge.rules.mine")
    sentence, _, shown = str(caught.value).partition(" At ^ in: ")
    assert f"knowledge.rules.mine, column {column}: " in sentence
    assert message in sentence
    before, _, after = shown.partition("^")
    flat = text.replace("\n", " ")
    assert flat[: column - 1].endswith(before.removeprefix("..."))
    assert flat[column - 1 :].startswith(after.removesuffix("..."))


def test_a_circle_of_is_a_names_its_rules_and_no_other() -> None:
    other = Head("other", ("a", "b"))
    rules = [
        is_a(BOOT, COARSE.footwear),
        is_a(COARSE.footwear, other.a),
        is_a(other.a, COARSE.footwear),
        is_a(BAG, COARSE.other),
    ]
    with pytest.raises(RecipeError, match="circle") as caught:
        Knowledge.of(FINE, COARSE, other, rules=rules)
    named = [rule.name for rule in rules if f"`{rule.name}`" in str(caught.value)]
    assert named == ["coarse.footwear is_a other.a", "other.a is_a coarse.footwear"]


def test_rules_that_cannot_hold_together_are_named_and_the_innocent_are_not() -> None:
    rules = {
        "boots": BOOT >> COARSE.footwear,
        "red": TAGS.red | TAGS.old,
        "a boot": exactly(1, BOOT),
        "never": ~COARSE.footwear,
        "count": at_most(1, *TAGS.atoms),
    }
    with pytest.raises(RecipeError, match="no state satisfies") as caught:
        Knowledge.of(FINE, COARSE, TAGS, rules=rules)
    assert [name for name in rules if f"`{name}`" in str(caught.value)] == ["boots", "a boot", "never"]


def test_one_rule_that_can_never_hold_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"the rule `both`"):
        Knowledge.of(FINE, rules={"both": BOOT & BAG})


def test_a_rule_of_lower_priority_may_contradict() -> None:
    rules = [Rule("a boot", exactly(1, BOOT)), Rule("a bag", exactly(1, BAG), priority=90)]
    assert len(Knowledge.of(FINE, rules=rules).rules) == 2


def test_a_rule_about_two_kinds_of_things_is_refused() -> None:
    with pytest.raises(RecipeError, match="speaks of sample and word at once"):
        Knowledge(VOCABULARY, (Rule("mixed", BOOT >> WORD.person),))


STRANGE = Head("strange", ("a", "b"))
IN_PYTHON: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: Knowledge.of(FINE, rules={"r": STRANGE.a}),
        RecipeError,
        r"rules.r: there is no concept `strange`; known",
    ),
    (
        lambda: Knowledge.of(FINE, rules={"r": Atom("fine", "bot")}),
        RecipeError,
        "`fine` has no class `bot`; did you mean",
    ),
    (lambda: Knowledge.of(FINE, rules={"r": Atom("fine", "boot", "middle")}), RecipeError, "there is no concept `middle`"),
    (lambda: Knowledge.of(FINE, FINE), RecipeError, "two heads are called `fine`"),
    (lambda: Knowledge.of(FINE, rules=[Rule("r", BOOT), Rule("r", ~BAG)]), RecipeError, "two rules are called `r`"),
    (lambda: Rule("r", "fine.boot"), TypeError, "the rule 'r' needs a formula, such as `head.a >> head.b`, got 'fine.boot'"),  # type: ignore[arg-type]
    (lambda: Rule("r", BOOT, weight=-1), ValueError, "weight must be at least 0, got -1"),
    (lambda: Rule("r", BOOT, priority=101), ValueError, "priority must be between 0 and 100"),
    (lambda: Rule("r", BOOT, tnorm="goedel"), ValueError, "tnorm is 'goedel'; did you mean 'godel'"),  # type: ignore[arg-type]
    (lambda: FINE[9], IndexError, "fine has the classes 0 to 2, got 9"),
    (lambda: FINE[-1], IndexError, "fine has the classes 0 to 2, got -1"),
    (lambda: FINE[0:2], TypeError, r"fine\[...\] takes one class, by its name or its number, got slice"),  # type: ignore[index]
    (lambda: Knowledge.of(FINE, rules=[BOOT]), TypeError, "rules must be a mapping from names to formulas, or a list of Rule"),  # type: ignore[list-item]
    (lambda: at_least(True, BOOT), ValueError, "at_least needs a number first"),
    (lambda: BOOT >> True, TypeError, "if combines formulas, such as `head.label`; True is none"),  # type: ignore[operator]
    (lambda: at_least(BOOT, BAG), ValueError, r"at_least needs a number first, as in at_least\(1, ...\)"),  # type: ignore[arg-type]
    (lambda: at_most(3, BOOT, BAG), ValueError, "its number must be 0 to 2, got 3"),
    (lambda: exclusive("x", [BOOT, BOOT]), ValueError, "`fine.boot` stands twice in one exclusion"),
]


@pytest.mark.parametrize(("declare", "kind", "sentence"), IN_PYTHON, ids=[sentence for *_, sentence in IN_PYTHON])
def test_what_is_wrong_in_python_is_said_in_a_sentence(
    declare: Callable[[], object], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        declare()


def test_formulas_have_no_truth_value_of_their_own() -> None:
    with pytest.raises(TypeError, match="combine formulas by"):
        bool(BOOT)


def test_an_unknown_class_in_python_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'boot'"):
        _ = FINE.bot


def test_exclusive_is_at_most_one() -> None:
    assert exclusive("x", [BOOT, BAG]).formula == at_most(1, BOOT, BAG)


@pytest.mark.parametrize("name", ["and", "class", "a b", "1st"])
def test_unfit_names_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="cannot be a name"):
        Vocabulary({name: Head(name, ("a", "b"))})


def test_class_names_of_data_sets_become_names_of_rules() -> None:
    assert slug("T-shirt/top") == "t_shirt_top"
