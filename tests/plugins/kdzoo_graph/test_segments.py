"""Sums over edges: closed forms, derivatives to any order, and no (E, d) tensor."""

from typing import Any

import pytest
import torch
from kdzoo_graph.models import segments
from kdzoo_graph.models.segments import aggregate, edge_dots, segment_softmax
from torch.utils._python_dispatch import TorchDispatchMode

ROW, COL = torch.tensor([0, 0, 1, 3, 3, 3]), torch.tensor([1, 2, 0, 0, 1, 2])


def draw(*shape: Any) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)), requires_grad=True)


def test_each_row_is_a_softmax_over_its_own_edges() -> None:
    logits = draw(6)
    found = segment_softmax(logits, ROW, 4)
    for part in ([0, 1], [2], [3, 4, 5]):
        torch.testing.assert_close(found[part], logits[part].softmax(0))


def test_large_logits_do_not_overflow() -> None:
    found = segment_softmax(torch.tensor([1000.0, 1000.0, -1000.0, 0.0, 900.0, 900.0]), ROW, 4)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.5, 1.0, 0.0, 0.5, 0.5]))


def test_aggregation_is_a_sparse_matrix_product_and_rows_without_edges_are_zero() -> None:
    weight, values = draw(6), draw(3, 5)
    dense = torch.zeros(4, 3, dtype=torch.float64).index_put((ROW, COL), weight, accumulate=True)
    torch.testing.assert_close(aggregate(weight, values, ROW, COL, rows=4), dense @ values)
    assert not aggregate(weight, values, ROW, COL, rows=4)[2].any()


def test_edge_dots_are_inner_products_of_both_ends() -> None:
    left, right = draw(4, 5), draw(3, 5)
    torch.testing.assert_close(edge_dots(left, right, ROW, COL), (left @ right.T)[ROW, COL])


@pytest.mark.parametrize("chunk", [1, 7, 10**6])
def test_derivatives_agree_with_differences_to_second_order_however_the_edges_are_cut(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "CHUNK", chunk)
    weight, values, left = draw(6), draw(3, 2), draw(4, 2)
    for function, given in (
        (lambda w, v: aggregate(w, v, ROW, COL, rows=4), (weight, values)),
        (lambda a, b: edge_dots(a, b, ROW, COL), (left, values)),
    ):
        assert torch.autograd.gradcheck(function, given, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(function, given)


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor had that any operation gave."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return out


def test_no_tensor_of_edges_times_width_is_made_forward_or_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, edges, width = 20, 4000, 16
    monkeypatch.setattr(segments, "CHUNK", 64 * width)
    ends = torch.randint(0, nodes, (2, edges), generator=torch.Generator().manual_seed(0)).sort(1).values
    weight, values = torch.ones(edges, requires_grad=True), torch.ones(nodes, width, requires_grad=True)
    with Largest() as seen:
        out = aggregate(segment_softmax(weight, ends[0], nodes), values, *ends, rows=nodes)
        (out.sum() + edge_dots(out, values, *ends).sum()).backward()
    assert seen.numbers <= edges
