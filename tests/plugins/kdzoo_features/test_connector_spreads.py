"""Adapters start with the spread of the authors' ones."""

import pytest

from .conftest import Running, frozen

STUDENT, TEACHER = {"use": "tiny_cnn", "widths": [4, 48]}, {"use": "tiny_cnn", "widths": [4, 96]}


@pytest.mark.parametrize(("method", "spread"), [("srrl", (2 / 96) ** 0.5), ("ickd", (3 * 48) ** -0.5)])
def test_a_connectors_weights_start_with_the_authors_spread(method: str, spread: float, running: Running) -> None:
    run = running(method, student=STUDENT, teacher=frozen(TEACHER))
    assert run.methods[method].connector[0].weight.std().item() == pytest.approx(spread, rel=0.05)


def test_the_convolutions_of_early_exits_start_with_the_authors_spread(running: Running) -> None:
    run = running("byot", student={"use": "tiny_cnn", "widths": [32, 96]})
    pointwise = run.methods["byot"].exits[0].scale[0][5].weight
    assert pointwise.shape == (96, 32, 1, 1)
    assert pointwise.std().item() == pytest.approx((2 / 96) ** 0.5, rel=0.05)
