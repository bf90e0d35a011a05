"""The small networks between a student's features and a teacher's shape."""

import math

import pytest
import torch
from torch import nn

from kdzoo.errors import CapabilityError
from kdzoo.functional.connectors import (
    AttentionFusion,
    BoundaryConnector,
    ClassifierProjector,
    Embed,
    HintRegressor,
    MaskedGenerator,
    Paraphraser,
    PointwiseConnector,
    RectifiedConnector,
    Translator,
    VariationalHead,
    alignment,
    size_regression,
)

SIZES = [((4, 8, 8), (6, 8, 8)), ((4, 8, 8), (6, 4, 4)), ((4, 4, 4), (6, 8, 8)), ((4, 7, 7), (6, 5, 5)), ((4, 8, 6), (6, 4, 3))]


@pytest.mark.parametrize(("student", "teacher"), SIZES)
def test_a_regressor_reaches_the_teachers_shape(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    regressed = HintRegressor(student, teacher)(torch.randn(2, *student))
    assert regressed.shape[1:] == teacher
    assert regressed.min() >= 0


def test_a_map_that_cannot_be_enlarged_is_refused_with_both_shapes() -> None:
    with pytest.raises(CapabilityError, match=r"student map \(4, 5, 5\) onto a teacher map \(6, 8, 8\)"):
        size_regression((4, 5, 5), (6, 8, 8))


def test_equal_shapes_need_no_boundary_connector() -> None:
    assert len(BoundaryConnector((4, 8, 8), (4, 8, 8))) == 0
    assert BoundaryConnector((4, 8, 8), (6, 8, 8))(torch.randn(2, 4, 8, 8)).min() < 0


def test_alignment_does_nothing_between_equal_channels() -> None:
    assert isinstance(alignment(4, 4), nn.Identity)
    assert alignment(4, 6)(torch.ones(1, 4, 2, 2)).shape == (1, 6, 2, 2)


def test_the_rectified_connector_ends_at_zero_and_the_plain_one_does_not() -> None:
    x = torch.randn(4, 3, 5, 5)
    assert RectifiedConnector(3, 6)(x).min() == 0
    assert PointwiseConnector(3, 6)(x).min() < 0


def test_the_variance_starts_where_it_was_told() -> None:
    _, log_scale = VariationalHead(3, 4, initial=5.0)(torch.randn(1, 3, 2, 2))
    torch.testing.assert_close(nn.functional.softplus(log_scale) + 1e-5, torch.full((4,), 5.0))


def test_the_paraphraser_restores_the_shape_from_a_narrower_code() -> None:
    paraphraser = Paraphraser(8, rate=0.5)
    factor, restored = paraphraser(torch.randn(2, 8, 4, 4))
    assert factor.shape == (2, 4, 4, 4)
    assert restored.shape == (2, 8, 4, 4)
    assert Translator(3, paraphraser.width)(torch.randn(2, 3, 4, 4)).shape == factor.shape


def test_embeddings_have_unit_length() -> None:
    embedded = Embed(2 * 3 * 3, 5)(torch.randn(4, 2, 3, 3))
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(4))


def test_the_projector_is_narrow_inside() -> None:
    projector = ClassifierProjector(4, 12, factor=3)
    assert [m.out_channels for m in projector if isinstance(m, nn.Conv2d)] == [4, 4, 12]
    assert projector(torch.randn(2, 4, 5, 5)).shape == (2, 12, 5, 5)


def test_a_masked_channel_does_not_reach_the_generator() -> None:
    generator = MaskedGenerator(3, 3)
    x, keep = torch.randn(2, 3, 4, 4), torch.tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    other = x.clone()
    other[:, 1] += 1
    torch.testing.assert_close(generator(x, keep), generator(other, keep))
    assert not torch.equal(generator(x, torch.ones_like(keep)), generator(other, torch.ones_like(keep)))


def test_fusion_mixes_the_deeper_map_by_position() -> None:
    block = AttentionFusion(3, 4, 5, fuse=True).eval()
    x, deeper = torch.randn(2, 3, 4, 4), torch.randn(2, 4, 2, 2, requires_grad=True)
    shown, fused = block(x, deeper, (8, 8))
    assert shown.shape == (2, 5, 8, 8)
    assert fused.shape == (2, 4, 8, 8)
    assert torch.autograd.grad(shown.sum(), deeper)[0].abs().sum() > 0


def test_the_deepest_level_has_nothing_to_fuse() -> None:
    block = AttentionFusion(3, 4, 5, fuse=False)
    assert block.attention is None
    assert block(torch.randn(2, 3, 1, 1).expand(2, 3, 2, 2), None, (2, 2))[0].shape == (2, 5, 2, 2)


def test_pointwise_weights_are_scaled_by_the_teachers_channels() -> None:
    weight = PointwiseConnector(64, 256)[0].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.05)
