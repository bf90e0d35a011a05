"""GCN, GAT and the plain table; decoders; what is read out of an encoder; models."""

from typing import Any

import pytest
import torch
from kdzoo_graph.models.baselines import GATEncoder, GCNEncoder, TableEncoder
from kdzoo_graph.models.decoders import ConvE, complex_product, distmult, transe
from kdzoo_graph.models.graph import Graph
from kdzoo_graph.models.heads import parts, width_of
from kdzoo_graph.models.registered import dan, entity_table, gat, gcn
from torch.nn import functional as F

from kdzoo.errors import RecipeError

FACTS = torch.tensor([[0, 0, 1], [1, 0, 2]])
SIZES = {"entities": 4, "relations": 2, "classes": 4}
QUERIES = torch.tensor([[0, 0], [3, 1]])


def graph(**settings: Any) -> Graph:
    return Graph(FACTS, entities=4, relations=2, **settings)


def test_gcn_is_the_normalized_adjacency_times_a_linear_layer() -> None:
    encoder, rows = GCNEncoder(width=3, layers=1, dropout=0.0), torch.randn(4, 3)
    adjacency = torch.eye(4)
    adjacency[[0, 1, 1, 2], [1, 0, 2, 1]] = 1
    degree = adjacency.sum(1)
    expected = (adjacency / (degree[:, None] * degree).sqrt() @ encoder.layers[0](rows)).relu()
    torch.testing.assert_close(encoder(rows, graph())[1], expected)


def test_gat_of_an_isolated_entity_is_its_own_value() -> None:
    encoder, rows = GATEncoder(width=3, layers=1, dropout=0.0), torch.randn(4, 3)
    torch.testing.assert_close(encoder(rows, graph())[1][3], F.elu(encoder.layers[0](rows))[3])


def test_the_plain_table_gives_every_row_as_it_is_unknown_ones_too() -> None:
    rows = torch.randn(4, 3)
    (found,) = TableEncoder()(rows, graph(known=torch.tensor([True, True, True, False])))
    assert found is rows


def test_decoders_are_their_formulas_on_unit_length() -> None:
    head, relation = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(transe(head, relation), F.normalize(torch.tensor([[3.0, 6.0]])))
    torch.testing.assert_close(distmult(head, relation), torch.tensor([[0.0, 1.0]]))
    turned = torch.view_as_real(torch.complex(*head.T) * torch.complex(*relation.T))
    torch.testing.assert_close(complex_product(head, relation), F.normalize(turned))


def test_conve_gives_a_prediction_of_the_same_width() -> None:
    decoder = ConvE(12).eval()
    assert decoder.shape == (3, 4)
    assert decoder(torch.randn(5, 12), torch.randn(5, 12)).shape == (5, 12)


def test_decoders_refuse_widths_they_cannot_fold() -> None:
    with pytest.raises(
        RecipeError, match=r"complex needs vectors of even width, this model's are 3 wide; change student\.width"
    ):
        entity_table(**SIZES, width=3, decoder="complex")
    with pytest.raises(RecipeError, match="conve folds a vector of 4 into 2x2, too narrow"):
        entity_table(**SIZES, width=4, decoder="conve")


@pytest.mark.parametrize(
    ("readout", "read"),
    [("last", [2]), ("input_and_last", [0, 2]), ("layers", [1, 2]), ("input_and_layers", [0, 1, 2])],
)
def test_the_readout_says_what_a_vector_is_made_of(readout: str, read: list[int]) -> None:
    assert parts([0, 1, 2], readout) == read
    assert parts([0], readout) == [0], "a table has nothing else"
    assert width_of(8, layers=2, readout=readout) == 8 * len(read)


@pytest.mark.parametrize("make", [dan, gcn, gat, entity_table])
@pytest.mark.parametrize("decoder", ["transe", "distmult", "complex", "conve"])
def test_every_model_scores_every_entity_with_every_decoder(make: Any, decoder: str) -> None:
    model = make(**SIZES, width=12, decoder=decoder).eval()
    scores = model(graph(), QUERIES)
    assert scores.shape == (2, 4)
    torch.testing.assert_close(model(graph(), QUERIES, torch.tensor([2, 0])), scores[:, [2, 0]])


def test_an_aligner_gives_cosines() -> None:
    model = dan(**{**SIZES, "classes": 0}, width=4, readout="input_and_layers").eval()
    pairs, others = torch.tensor([[0, 1], [2, 3]]), torch.tensor([[[0, 2], [1, 3]], [[0, 0], [3, 2]]])
    cosines, further = model(graph(), pairs, torch.arange(4), others)
    torch.testing.assert_close(cosines.diagonal(), torch.stack([cosines[0, 0], cosines[1, 1]]))
    assert cosines.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(cosines[0, 0], torch.tensor(1.0), msg="an entity and itself")
    torch.testing.assert_close(further[1, 0], torch.tensor(1.0))
    torch.testing.assert_close(further[0, 0], cosines[0, 2])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1"),
        ({"decoder_dropout": -0.1}, r"decoder_dropout must be at least 0 and below 1, got -0\.1"),
    ],
)
def test_settings_out_of_range_are_refused_in_words(settings: dict[str, float] | dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        dan(**SIZES, **settings)
