import math

import numpy as np
import pytest
from scipy import stats

from kdzoo.benchmark.report.statistics import paired, summarize, t_quantile

VALUES = [91.2, 90.1, 92.7, 91.9]


def test_one_degree_of_freedom_is_the_cauchy_distribution() -> None:
    assert t_quantile(0.975, 1) == pytest.approx(math.tan(math.pi * 0.475))


def test_quantiles_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="probability must be above 0 and below 1, got 1"):
        t_quantile(1.0, 3)
    with pytest.raises(ValueError, match="degrees must be at least 1, got 0"):
        t_quantile(0.9, 0)


def test_mean_and_sd_are_numpys_with_one_degree_lost() -> None:
    found = summarize(VALUES)
    assert found.n == 4
    assert found.mean == pytest.approx(np.mean(VALUES))
    assert found.sd == pytest.approx(np.std(VALUES, ddof=1))


def test_the_interval_is_scipys_t_interval() -> None:
    expected = stats.t.interval(0.95, 3, loc=np.mean(VALUES), scale=stats.sem(VALUES))
    assert summarize(VALUES).interval == pytest.approx(expected)


def test_one_value_has_a_mean_and_nothing_else() -> None:
    found = summarize([90.0])
    assert (found.n, found.mean, found.sd, found.interval) == (1, 90.0, None, None)


def test_no_value_has_no_mean() -> None:
    assert summarize([]).mean is None


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert summarize([5.0, 5.0, 5.0]).interval == (5.0, 5.0)


def test_paired_differences_cancel_what_the_seeds_share() -> None:
    baseline = {0: 80.0, 1: 90.0, 2: 70.0}
    found = paired({seed: value + 1 for seed, value in baseline.items()}, baseline)
    assert found.mean == pytest.approx(1.0)
    assert found.interval == pytest.approx((1.0, 1.0))


def test_only_common_seeds_are_paired() -> None:
    assert paired({0: 2.0, 1: 5.0}, {1: 3.0, 2: 9.0}).mean == 2.0


def test_paired_intervals_are_those_of_scipys_paired_test() -> None:
    other = [90.0, 90.5, 91.0, 92.0]
    expected = stats.ttest_rel(VALUES, other).confidence_interval(0.95)
    found = paired(dict(enumerate(VALUES)), dict(enumerate(other)))
    assert found.interval == pytest.approx((expected.low, expected.high))
