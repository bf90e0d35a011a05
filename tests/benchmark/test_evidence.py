"""How sure one may be of a difference between two rows."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import stats

from kdzoo.benchmark.report import ranking
from kdzoo.benchmark.report.evidence import (
    holm,
    interquartile_mean,
    ratio_interval,
    seeds_needed,
    sign_flip_p,
    smallest_p,
    superiority,
)
from kdzoo.benchmark.report.resampling import item_interval, paired_items
from kdzoo.benchmark.report.statistics import differences


def by_hand(differences: list[float]) -> float:
    """All signs, one after the other."""
    seen = abs(sum(differences))
    signs = list(itertools.product((1, -1), repeat=len(differences)))
    as_large = sum(abs(sum(s * d for s, d in zip(sign, differences, strict=True))) >= seen - 1e-9 for sign in signs)
    return as_large / len(signs)


@given(some.lists(some.integers(-9, 9), min_size=2, max_size=7), some.sampled_from([360, 872, 1821, 10_000]), some.data())
@settings(max_examples=60, deadline=None)
def test_the_sign_flip_p_counts_all_signs(items: list[int], n: int, data: some.DataObject) -> None:
    """Of accuracies in percent, whose ties float arithmetic would break; the expectation counts whole items."""
    base = [data.draw(some.integers(10, n - 10)) for _ in items]
    own = {seed: 100 * ((hits + more) / n) for seed, (hits, more) in enumerate(zip(base, items, strict=True))}
    other = {seed: 100 * (hits / n) for seed, hits in enumerate(base)}
    assert sign_flip_p(differences(own, other)) == pytest.approx(by_hand([float(each) for each in items]))


def test_many_differences_are_drawn_with_their_ties() -> None:
    values = [1.0, -1.0] * 10  # P(|sum| >= 0) is 1
    assert sign_flip_p(values) == 1.0
    assert sign_flip_p([0.1 + 1e-17 * k for k in range(20)]) < 1e-3


@pytest.mark.parametrize("n", [2, 5, 6, 10])
def test_differences_of_one_sign_have_the_smallest_p_there_is(n: int) -> None:
    assert sign_flip_p([1.0 + k for k in range(n)]) == pytest.approx(smallest_p(n))


def test_five_seeds_cannot_reach_five_percent_and_six_can() -> None:
    assert smallest_p(5) == 0.0625
    assert smallest_p(6) == 0.03125


def test_one_seed_has_no_p() -> None:
    assert sign_flip_p([3.0]) is None
    assert smallest_p(1) is None


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None}) == {"a": 0.03, "b": 0.06, "c": 0.06, "d": None}


def test_one_comparison_needs_no_correction() -> None:
    assert holm({"a": 0.04}) == {"a": 0.04}


def test_superiority_counts_ties_half_and_has_clopper_and_pearsons_interval() -> None:
    found = superiority([1.0, 2.0, 0.0, -1.0])
    assert found is not None
    assert found.value == 0.625
    low = stats.beta.ppf(0.025, 2, 3)
    high = stats.beta.ppf(0.975, 4, 1)
    assert found.interval == pytest.approx((low, high))


def test_where_less_is_better_superiority_turns() -> None:
    found = superiority([-1.0, -1.0, -1.0], higher_is_better=False)
    assert found is not None
    assert (found.value, found.interval[1]) == (1.0, 1.0)


def test_no_pair_has_no_superiority() -> None:
    assert superiority([]) is None


@pytest.mark.parametrize("sd", [0.1, 0.3, 1.0])
def test_the_seeds_needed_are_the_first_whose_interval_is_narrow_enough(sd: float) -> None:
    n = seeds_needed(sd, 0.2)
    assert n is not None

    def half(m: int) -> float:
        return float(stats.t.ppf(0.975, m - 1)) * sd / math.sqrt(m)

    assert half(n) <= 0.2
    assert n == 2 or half(n - 1) > 0.2


def test_what_no_number_of_seeds_resolves_has_no_number() -> None:
    assert seeds_needed(100.0, 0.001) is None
    assert seeds_needed(None, 0.2) is None


def test_a_resolution_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="resolve must be > 0, got 0"):
        seeds_needed(1.0, 0)


def test_the_interquartile_mean_forgets_the_outer_quarters() -> None:
    assert interquartile_mean([0.0, 2.0, 4.0, 100.0]) == 3.0
    assert interquartile_mean([]) is None


def test_fiellers_interval_of_a_known_gap_is_the_t_interval_divided_by_it() -> None:
    gains = [1.0, 2.0, 3.0, 2.5]
    found = ratio_interval(gains, [10.0] * 4)
    expected = stats.t.interval(0.95, 3, loc=np.mean(gains), scale=stats.sem(gains))
    assert found is not None
    assert found[0] == pytest.approx(np.mean(gains) / 10)
    assert found[1] == pytest.approx([bound / 10 for bound in expected])


def test_fiellers_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        shared = random.normal(0, 0.5, 5)
        found = ratio_interval((3 + shared + random.normal(0, 0.5, 5)).tolist(), (6 + shared).tolist())
        assert found is not None
        assert found[1] is not None
        inside += found[1][0] <= 0.5 <= found[1][1]
    assert 0.92 <= inside / 400 <= 0.98


def test_a_gap_that_may_be_zero_has_no_interval() -> None:
    found = ratio_interval([1.0, 2.0], [1.0, -0.9])
    assert found is not None
    assert found[1] is None
    assert ratio_interval([1.0], [0.0]) is None


def test_the_items_interval_is_that_of_the_ordinary_bootstrap() -> None:
    random = np.random.default_rng(0)
    differences = random.choice([-100.0, 0.0, 100.0], 500, p=[0.1, 0.75, 0.15])
    expected = stats.bootstrap((differences,), np.mean, n_resamples=4000, method="percentile", random_state=random)
    found = item_interval(differences)
    assert found == pytest.approx(tuple(expected.confidence_interval), abs=0.35)
    assert found == item_interval(differences), "the same data give the same interval"


def test_items_are_paired_and_averaged_over_common_seeds() -> None:
    ones, zeros = np.full(20, 100.0), np.zeros(20)
    assert paired_items({0: ones, 1: zeros, 2: ones}, {0: zeros, 1: zeros, 3: ones}) == pytest.approx((50.0, 50.0))
    assert paired_items({0: ones}, {1: zeros}) is None
    assert paired_items({0: None}, {0: zeros}) is None
    assert paired_items({0: ones}, {0: np.zeros(19)}) is None


def test_nemenyis_critical_difference_is_that_of_demsars_table() -> None:
    assert ranking.critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=1e-3)  # Table 5


def test_ranks_are_averaged_over_blocks_and_friedmans_test_is_scipys() -> None:
    values = {
        "a": {"x": 3.0, "y": 3.0, "z": 3.0},
        "b": {"x": 2.0, "y": 2.0, "z": 3.0},
        "c": {"x": 1.0, "y": 1.0, "z": 1.0},
        "part": {"x": 9.0},
    }
    found = ranking.rank_rows(values)
    assert found is not None
    assert found.ranks == pytest.approx({"a": 3.5 / 3, "b": 5.5 / 3, "c": 3.0})
    assert found.left_out == ["part"]
    assert found.friedman_p == pytest.approx(stats.friedmanchisquare([3, 3, 3], [2, 2, 3], [1, 1, 1]).pvalue)


@given(some.lists(some.integers(8_000, 9_000), min_size=3, max_size=5), some.integers(1, 50))
@settings(max_examples=25, deadline=None)
def test_rows_with_as_many_hits_share_their_rank_however_they_are_spread_over_seeds(hits: list[int], moved: int) -> None:
    def mean(row: list[int]) -> float:
        return float(np.mean([100 * (count / 9_999) for count in row]))

    a, b = mean(hits), mean([hits[0] + moved, hits[1] - moved, *hits[2:]])
    found = ranking.rank_rows({"a": {"x": a, "y": b}, "b": {"x": b, "y": a}, "worse": {"x": 1.0, "y": 1.0}})
    assert found is not None
    assert found.single["a"] == found.single["b"] == {"x": 1.5, "y": 1.5}


def test_where_less_is_better_the_lowest_is_first() -> None:
    found = ranking.rank_rows({"a": {"x": 3.0, "y": 3.0}, "b": {"x": 2.0, "y": 2.0}}, higher_is_better=False)
    assert found is not None
    assert list(found.ranks) == ["b", "a"]
    assert found.friedman_p is None


def test_one_block_ranks_nothing() -> None:
    assert ranking.rank_rows({"a": {"x": 1.0}, "b": {"x": 2.0}}) is None


def test_groups_are_neighbors_within_the_critical_difference() -> None:
    assert ranking.not_told_apart({"a": 1.0, "b": 1.5, "c": 2.4, "d": 4.0}, 1.0) == [["a", "b"], ["b", "c"]]
