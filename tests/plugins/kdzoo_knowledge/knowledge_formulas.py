"""Random formulas of every kind, for Hypothesis: over a softmax head of three classes and nine binary concepts."""

from __future__ import annotations

from hypothesis import strategies as st
from kdzoo_knowledge.declaration.expressions import OPERATIONS, Count, Expression, operation
from kdzoo_knowledge.declaration.vocabulary import Head

BITS = Head("bits", tuple(f"b{i}" for i in range(9)), binary=True)
KIND = Head("kind", ("x", "y", "z"))
HEADS = {head.name: head for head in (BITS, KIND)}
ATOMS = st.sampled_from([*BITS.atoms, *KIND.atoms])


@st.composite
def operations(draw: st.DrawFn, parts: st.SearchStrategy[Expression]) -> Expression:
    name = draw(st.sampled_from(sorted(OPERATIONS)))
    fewest, most = OPERATIONS[name].operands
    operands = draw(st.lists(parts, min_size=fewest, max_size=most or 4))
    k = draw(st.integers(0, len(operands))) if issubclass(OPERATIONS[name], Count) else None
    return operation(name, tuple(operands), k)


FORMULAS = st.recursive(ATOMS, operations, max_leaves=6)
