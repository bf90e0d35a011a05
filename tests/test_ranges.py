"""Ranges of settings: what passes, and the sentence for what does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kdzoo import ranges
from kdzoo.optimizers import SGD, Adam

CASES: list[tuple[Callable[[Any], None], Any, str]] = [
    (lambda v: ranges.above(0, t=v), 0, "t must be > 0, got 0"),
    (lambda v: ranges.above(0, t=v), -1, "t must be > 0, got -1"),
    (lambda v: ranges.at_least(1, t=v), 0.5, "t must be at least 1, got 0.5"),
    (lambda v: ranges.between(0, 1, t=v), 1.5, "t must be between 0 and 1, got 1.5"),
    (lambda v: ranges.strictly_between(0, 1, t=v), 1, "t must be above 0 and below 1, got 1"),
    (lambda v: ranges.at_least_and_below(0, 1, t=v), 1, "t must be at least 0 and below 1, got 1"),
    (lambda v: ranges.finite(t=v), math.inf, "t must be a finite number, got inf"),
    (lambda v: ranges.above(0, t=v), math.nan, "t must be > 0, got nan"),
    (lambda v: ranges.above(0, t=v), True, "t must be > 0, got True"),
    (lambda v: ranges.above(0, t=v), "4", "t must be > 0, got '4'"),
    (lambda v: ranges.at_least(1, t=v), (8, 0), "t must be at least 1, got 0 in [8, 0]"),
]


@pytest.mark.parametrize(("check", "value", "sentence"), CASES)
def test_the_sentence_begins_with_the_name_and_ends_with_the_value(
    check: Callable[[Any], None], value: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match="must be") as error:
        check(value)
    assert str(error.value) == sentence


def test_bounds_numpy_numbers_lists_and_what_is_left_out_pass() -> None:
    ranges.between(0, 1, low=0, high=1, middle=np.float32(0.5), left_out=None)
    ranges.at_least_and_below(0, 1, momentum=0)
    ranges.at_least(1, widths=[1, np.int64(2)])


def test_an_optimizer_refuses_what_torch_would_refuse_after_the_teacher_was_trained() -> None:
    with pytest.raises(ValueError, match=r"^nesterov needs a momentum above 0"):
        SGD(nesterov=True, momentum=0.0)
    with pytest.raises(ValueError, match=r"^beta1 must be at least 0 and below 1, got 1"):
        Adam(beta1=1.0)
    with pytest.raises(ValueError, match=r"^weight_decay must be at least 0, got nan"):
        SGD(weight_decay=math.nan)
