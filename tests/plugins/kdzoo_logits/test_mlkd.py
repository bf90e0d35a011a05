"""MLKD's temperatures: they are settings, and each one that is listed counts."""

import pytest
import torch
from kdzoo_logits.mlkd import MLKD, sample_level


def views() -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    x = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
    return (x[0], x[1]), (x[2], x[3])


def test_a_temperature_that_is_listed_twice_counts_twice() -> None:
    weak, strong = views()
    once = sample_level(weak, strong, both=(4.0,), weak_only=())
    torch.testing.assert_close(sample_level(weak, strong, both=(4.0, 4.0), weak_only=()), 2 * once)
    apart = [sample_level(weak, strong, both=(4.0,), weak_only=(t,)) - once for t in (4.0, 2.0)]
    torch.testing.assert_close(sample_level(weak, strong, both=(4.0,), weak_only=(4.0, 2.0)) - once, sum(apart))


def test_temperatures_are_settings_and_checked() -> None:
    assert MLKD(temperatures=[2, 3], weak_only=[]).temperatures == (2, 3)
    with pytest.raises(ValueError, match="temperatures"):
        MLKD(temperatures=[])
    with pytest.raises(ValueError, match="temperatures must be > 0"):
        MLKD(temperatures=[0])
