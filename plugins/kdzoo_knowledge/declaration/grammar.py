"""The text of a rule as a formula. A Lark grammar reads it; what is wrong is said with its column and the nearest names.

From the loosest to the tightest: `<->`, `->`, `xor`, `or`, `and`, `not`. `a -> b -> c` has two readings and is refused. Names
are `head.class`, or `role.head.class` for a part of a relation; a head alone, as an operand of a function, stands for all its
classes. Columns count from the start of the text, over the ends of its lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from kdzoo.errors import RecipeError, did_you_mean
from kdzoo_knowledge.declaration.expressions import OPERATIONS, Atom, Count, Expression, operation

GRAMMAR = r"""
?start: either_way
?either_way: implied | implied "<->" implied -> iff
?implied: exclusive | exclusive "->" exclusive -> if
?exclusive: either | either (XOR either)+ -> xor
?either: both | both (OR both)+ -> or
?both: single | single (AND single)+ -> and
?single: NOT single -> not
       | "(" either_way ")"
       | (NAME | AND | OR | XOR) "(" (operand ("," operand)*)? ")" -> call
       | NAME -> reference
?operand: either_way | INT -> number
AND: "and"
OR: "or"
XOR: "xor"
NOT: "not"
NAME: /[A-Za-z_]\w*(\.\w+)*/
%import common.INT
%import common.WS
%ignore WS
"""
WORDS = {
    "RPAR": "a closing parenthesis",
    "LPAR": "an opening parenthesis",
    "COMMA": "a comma",
    "INT": "a number",
    "NAME": "a name",
    "$END": "the end",
    "__ANON_0": "<->",
    "__ANON_1": "->",
}

BREAK = re.compile(r"\s")
DEPTH = 50
"""Connectives inside each other at most; far more would end in Python's own limit."""

MARK, NEAR = "^", 60
"""What marks the place of an error, and characters of the text that are shown on either side of it."""

Resolve = Callable[[Sequence[str]], Sequence[Atom]]
"""What the parts of a dotted name stand for: one atom, or all of a head. Raises ValueError with a sentence."""


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True)


def parse(text: str, resolve: Resolve, where: str = "a rule") -> Expression:
    """The formula that a text says.

    Args:
        where: the rule's place, for messages.

    Raises:
        RecipeError: the text is no formula, or says a name, a number of operands or a count that cannot be.
    """
    text = BREAK.sub(" ", text)
    (formula,) = _Reader(text, resolve, where).formulas(_tree(text, where))
    return formula


def check_form(text: str, where: str) -> None:
    """Refuse a text that is no formula, whatever its names are. Raises RecipeError."""
    text = BREAK.sub(" ", text)
    _tree(text, where)


def _tree(text: str, where: str) -> Tree[Token]:
    try:
        return _parser().parse(text)
    except UnexpectedInput as error:
        raise _refused(text, where, _column(error, text), _unexpected(error)) from None


class _Reader:
    """Makes formulas of parse trees."""

    def __init__(self, text: str, resolve: Resolve, where: str) -> None:
        self.text, self.resolve, self.where = text, resolve, where

    def formulas(self, tree: Tree[Token], *, many: bool = False, depth: int = 0) -> Sequence[Expression]:
        """What an operand stands for: one formula, or, if `many` may stand here, each atom of a head."""
        if tree.data == "reference":
            return self._reference(_token(tree), many=many)
        if depth > DEPTH:
            deep = f"more than {DEPTH} connectives stand inside each other; write several rules"
            raise _refused(self.text, self.where, tree.meta.column, deep)
        if tree.data == "call":
            return (self._call(tree, depth),)
        parts = [part for child in _subtrees(tree) for part in self.formulas(child, depth=depth + 1)]
        return (self._made(str(tree.data), tuple(parts), None, tree.meta.column),)

    def _reference(self, name: Token, *, many: bool) -> Sequence[Expression]:
        try:
            atoms = self.resolve(name.split("."))
        except ValueError as error:
            raise _refused(self.text, self.where, name.column or 1, str(error)) from None
        if len(atoms) > 1 and not many:
            inside = (
                f"`{name}` is a head of {len(atoms)} classes, which stands for all of them only in a function such as exists"
            )
            raise _refused(self.text, self.where, name.column or 1, f"{inside}; name one class, as in `{atoms[0]}`")
        return atoms

    def _call(self, tree: Tree[Token], depth: int) -> Expression:
        name, *operands = tree.children
        assert isinstance(name, Token)
        if name not in OPERATIONS:
            unknown = f"there is no function `{name}`; {did_you_mean(name, OPERATIONS)}"
            raise _refused(self.text, self.where, name.column or 1, unknown)
        numbers = [child for child in operands if isinstance(child, Tree) and child.data == "number"]
        k = None
        if numbers and issubclass(OPERATIONS[name], Count) and operands[0] is numbers[0]:
            k, operands, numbers = int(_token(numbers[0])), operands[1:], numbers[1:]
        if numbers:
            stray = _token(numbers[0])
            raise _refused(self.text, self.where, stray.column or 1, f"the number {stray} is no formula; expected a name here")
        trees = [child for child in operands if isinstance(child, Tree)]
        parts = [part for child in trees for part in self.formulas(child, many=True, depth=depth + 1)]
        return self._made(str(name), tuple(parts), k, name.column or 1)

    def _made(self, name: str, parts: tuple[Expression, ...], k: int | None, column: int) -> Expression:
        try:
            return operation(name, parts, k)
        except ValueError as error:
            raise _refused(self.text, self.where, column, str(error)) from None


def _subtrees(tree: Tree[Token]) -> Iterator[Tree[Token]]:
    return (child for child in tree.children if isinstance(child, Tree))


def _token(tree: Tree[Token]) -> Token:
    (token,) = tree.children
    assert isinstance(token, Token)
    return token


def _column(error: UnexpectedInput, text: str) -> int:
    at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    return len(text) + 1 if at_end else error.column


def _unexpected(error: UnexpectedInput) -> str:
    if isinstance(error, UnexpectedCharacters):
        return f"the character {error.char!r} has no meaning here"
    assert isinstance(error, UnexpectedToken)
    found = "it ends too early" if error.token.type == "$END" else f"`{error.token}` cannot stand here"
    wanted = sorted({WORDS.get(name, name.lower()) for name in error.accepts or error.expected})
    return f"{found}; expected {', '.join(wanted[:-1])}{' or ' if wanted[1:] else ''}{wanted[-1]}"


def _refused(text: str, where: str, column: int, why: str) -> RecipeError:
    """An error that shows the part of the text around its column, with a mark there."""
    before, after = text[: column - 1], text[column - 1 :]
    shown = f"{'...' * (len(before) > NEAR)}{before[-NEAR:]}{MARK}{after[:NEAR]}{'...' * (len(after) > NEAR)}"
    return RecipeError(f"{where}, column {column}: {why}{'' if why[-1] in '.?' else '.'} At {MARK} in: {shown}")
