"""Intervals and tests against values worked out independently."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from relad.results.statistics import (
    _detectable,
    bootstrap_ranks,
    detectable,
    equivalence_p,
    hodges_lehmann,
    holm,
    mean_interval,
    paired_comparison,
    t_detectable,
    too_few,
)


def test_the_interval_is_that_of_students_t():
    """Worked out by hand: mean 3.75, sd 3.0957, t(0.975, 3) = 3.1824."""
    low, high = mean_interval([1.0, 2.0, 4.0, 8.0], level=0.95)
    assert (low, high) == (pytest.approx(-1.1759, abs=1e-3), pytest.approx(8.6759, abs=1e-3))


@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_interval_covers_the_mean_as_often_as_it_says(n):
    """20,000 repeats have a standard error of 0.15 %; the percentile bootstrap fails at each n."""
    samples = np.random.default_rng(n).normal(3.0, 1.0, (20_000, n))
    intervals = np.array([mean_interval(s, level=0.95) for s in samples])
    covered = np.mean((intervals[:, 0] <= 3.0) & (intervals[:, 1] >= 3.0))
    assert covered == pytest.approx(0.95, abs=0.006)


def test_one_subject_and_an_infinite_value_have_no_interval():
    assert mean_interval([3.0], level=0.95) is None
    assert mean_interval([1.0, 2.0, np.inf], level=0.95) is None


def test_of_one_subject_no_interval_is_called_rough():
    assert too_few(1) == "With n = 1 there is no interval"
    assert too_few(5) == "With n = 5 the intervals are too rough" and not too_few(6)


def test_wilcoxon_reaches_its_smallest_p_when_all_subjects_agree():
    first = np.arange(10) + np.linspace(1, 2, 10)
    result = paired_comparison(first, np.arange(10))
    assert result.p == pytest.approx(2 / 2**10)  # 0.00195: ten subjects, exact, two-sided
    assert result.smallest_p == pytest.approx(2 / 2**10)
    assert result.effect == 1.0
    assert result.difference == pytest.approx(1.5)
    assert paired_comparison(np.arange(10), first).effect == -1.0


def test_wilcoxon_by_enumeration_of_signs():
    difference = np.array([0.5, -0.2, 1.1, 0.9, -0.4, 0.7])
    ranks = np.argsort(np.argsort(np.abs(difference))) + 1
    observed = ranks[difference > 0].sum()
    sums = [
        sum(r for r, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product([0, 1], repeat=6)
    ]
    p = 2 * np.mean([s >= observed for s in sums])
    result = paired_comparison(difference, np.zeros(6))
    assert result.p == pytest.approx(min(1, p))
    assert result.effect == pytest.approx((2 * observed - ranks.sum()) / ranks.sum())


@pytest.mark.parametrize("n", [6, 13, 50, 51, 80])
@pytest.mark.parametrize("shift", [0.0, 0.4, -0.9])
def test_p_is_that_of_scipy_where_nobody_is_served_alike(n, shift):
    difference = np.random.default_rng(n).normal(shift, 1.0, n)
    expected = stats.wilcoxon(difference, method="exact" if n <= 50 else "approx", correction=True)
    assert paired_comparison(difference, np.zeros(n)).p == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("n", [12, 21, 60, 80])
@pytest.mark.parametrize("equal", [0.0, 0.3, 0.75])
def test_what_is_refused_is_what_the_interval_does_not_hold(n, equal):
    """Ties and subjects whom both serve alike included, and the estimate never is refused."""
    rng = np.random.default_rng(n)
    for _ in range(200):
        difference = rng.normal(0.3, 1.0, n).round(1) * (rng.random(n) >= equal)
        found = paired_comparison(difference, np.zeros(n), level=0.95)
        low, high = found.interval
        assert (found.p <= 0.05) == (not low <= 0 <= high)
        assert found.p > 0.05 or found.difference != 0


def test_where_most_are_served_alike_the_rest_decides_nothing():
    """Six of 21 differ, all one way: Wilcoxon's own test, of the six alone, has p = 0.031."""
    difference = np.r_[np.zeros(15), 0.5 + np.arange(6)]
    found = paired_comparison(difference, np.zeros(21))
    assert (found.difference, found.p, found.effect) == (0.0, 1.0, 1.0)


def test_identical_methods_do_not_differ():
    result = paired_comparison([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (result.p, result.effect, result.difference, result.spread) == (1.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("first", "second"), [([1.0, 2.0], [1.0]), ([], []), ([np.inf, 1.0], [0.0, 0.0])]
)
def test_refuses_what_cannot_be_paired(first, second):
    with pytest.raises(ValueError, match=r"pair"):
        paired_comparison(first, second)


def test_holm_by_hand():
    # Sorted: .01 x 4, .03 x 3, .04 x 2 (raised to .09), .2 x 1 (raised by none)
    assert holm([0.03, 0.2, 0.01, 0.04]) == pytest.approx([0.09, 0.2, 0.04, 0.09])


def test_holm_never_exceeds_one():
    assert holm([0.5, 0.9, 0.8]) == pytest.approx([1, 1, 1])


def test_holm_over_63_comparisons_of_ten_subjects_decides_nothing():
    assert holm([2 / 2**10] * 63)[0] == pytest.approx(0.123, abs=1e-3)


@pytest.mark.parametrize("n", [0, 1, 2, 13])
def test_holm_is_that_of_statsmodels(n):
    p = np.random.default_rng(n).uniform(0, 0.2, n).round(2)  # ties too
    expected = multipletests(p, method="holm")[1] if n else p
    np.testing.assert_allclose(holm(p), expected, rtol=1e-12)


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ValueError, match="p values"):
        holm([0.2, 1.2])


# --- the estimate and its interval ----------------------------------------------------------------


def test_hodges_lehmann_and_its_interval_on_published_data():
    """Depression scores before and after (Hollander & Wolfe 1973, table 3.1), as R's help has them.

    ``wilcox.test(x, y, paired = TRUE, conf.int = TRUE)`` gives V = 40, p = 0.03906, the estimate
    0.46 and the interval 0.010 to 0.786.
    """
    x = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    y = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    result = paired_comparison(x, y)
    assert result.p == pytest.approx(0.03906, abs=1e-5)
    assert result.difference == pytest.approx(0.46, abs=1e-9)
    assert result.interval == pytest.approx((0.010, 0.786), abs=1e-9)
    assert result.spread == pytest.approx(np.std(np.subtract(x, y), ddof=1))


@pytest.mark.parametrize("n", [7, 12, 25, 60])
def test_the_interval_holds_what_the_test_does_not_refuse(n):
    difference = np.random.default_rng(n).normal(0.4, 1.0, n)
    _, (low, high) = hodges_lehmann(difference, level=0.95)
    for end, inwards in ((low, 1e-9), (high, -1e-9)):
        inside, outside = (
            stats.wilcoxon(difference - end - step, correction=n > 50).pvalue
            for step in (inwards, -inwards)
        )
        assert outside <= 0.05 < inside


def test_five_subjects_have_no_interval_of_95_percent():
    """The smallest two-sided p of five is 0.0625."""
    assert hodges_lehmann([1.0, 2.0, 3.0, 4.0, 5.0], level=0.95) == (3.0, None)
    assert hodges_lehmann([1.0, 2.0, 3.0, 4.0, 5.0], level=0.9)[1] == (1.0, 5.0)


@pytest.fixture(scope="module")
def null() -> list:
    """2,000 comparisons of 20 subjects between whom there is no difference."""
    differences = np.random.default_rng(20).normal(0.0, 1.0, (2000, 20))
    return [paired_comparison(d, np.zeros(20)) for d in differences]


def test_intervals_cover_the_truth_as_often_as_they_say(null):
    covered = np.mean([low <= 0 <= high for low, high in (test.interval for test in null)])
    assert covered == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("level", [0.01, 0.05, 0.2, 0.5, 0.8])
def test_p_is_uniform_where_there_is_no_difference(null, level):
    """As far as ranks go in steps: p has at most 2.9 % of its probability in one value."""
    found = np.mean([test.p <= level for test in null])
    error = 3 * np.sqrt(level * (1 - level) / len(null))
    assert level - error - 0.029 * level < found < level + error


# --- power ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "family"), [(6, 1), (7, 2), (9, 7), (10, 1), (10, 11), (15, 60), (20, 7), (30, 1)]
)
def test_a_planted_difference_is_found_as_often_as_promised(n, family):
    """0.3 dB at the spread that promises it 80 %, at Holm's first step of a family.

    10,000 repeats have a standard error of 0.4 %. The statistic is counted here by ranks, and
    refused as its distribution over all signs says.
    """
    level = 0.05 / family
    spread = 0.3 / detectable(1.0, n, level=level, power=0.8)
    planted = np.random.default_rng(1000 + n).normal(0.3, spread, (10_000, n))
    ranks = np.abs(planted).argsort(axis=1).argsort(axis=1) + 1
    against = (ranks * (planted < 0)).sum(axis=1)
    statistics, where = np.unique(np.minimum(against, ranks.sum(axis=1) - against), True)[:2]
    p = [paired_comparison(planted[k], np.zeros(n)).p for k in where]
    found = np.mean(
        against <= max(s for s, each in zip(statistics, p, strict=True) if each <= level)
    )
    assert found == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 2.6, 19])
@pytest.mark.parametrize("family", [1, 2, 3, 5, 8, 12])
def test_the_power_of_a_t_test_by_the_integral_over_its_spread(freedom, family):
    """Where two or three trainings need tens of standard errors, as elsewhere."""
    level, n = 0.05 / family, freedom + 1
    found = t_detectable(n, level=level, power=0.8)
    spread = np.sqrt(stats.chi2.ppf((np.arange(100_000) + 0.5) / 100_000, freedom) / freedom)
    edge = stats.t.isf(level / 2, freedom) * spread
    assert stats.norm.sf(edge - found * np.sqrt(n)).mean() == pytest.approx(0.8, abs=1e-3)
    if freedom == 19:
        solved = TTestPower().solve_power(nobs=n, alpha=level, power=0.8)
        assert found == pytest.approx(float(solved), rel=1e-5)


def test_power_is_simulated_once_for_a_family_and_the_same_every_time():
    first = detectable(1.0, 11, level=0.05, power=0.8)
    _detectable.cache_clear()
    assert detectable(1.0, 11, level=0.05, power=0.8) == first
    assert detectable(3.0, 11, level=0.05, power=0.8) == 3 * first
    assert _detectable.cache_info()[:2] == (1, 1)


def test_what_can_be_found_scales_with_the_spread_and_more_power_needs_more():
    known = {"level": 0.05, "power": 0.8}
    assert detectable(2.0, 12, **known) == pytest.approx(2 * detectable(1.0, 12, **known))
    assert detectable(1.0, 12, level=0.05, power=0.9) > detectable(1.0, 12, **known)
    assert detectable(1.0, 12, level=0.01, power=0.8) > detectable(1.0, 12, **known)
    assert detectable(1.0, 24, **known) < detectable(1.0, 12, **known)
    assert detectable(0.0, 12, **known) == 0


def test_so_few_subjects_that_no_p_is_small_enough_find_nothing():
    assert detectable(1.0, 5, level=0.05, power=0.8) == np.inf
    assert np.isfinite(detectable(1.0, 6, level=0.05, power=0.8))


# --- equivalence ----------------------------------------------------------------------------------


def test_alike_is_what_differs_by_less_than_the_margin():
    rng = np.random.default_rng(1)
    first = rng.normal(20, 2, 20)
    assert equivalence_p(first, first + rng.normal(0, 0.1, 20), margin=0.3) < 1e-4
    assert equivalence_p(first, first + rng.normal(0.3, 0.1, 20), margin=0.3) > 0.05
    assert equivalence_p(first, first + rng.normal(0, 2.0, 20), margin=0.3) > 0.05
    assert equivalence_p(first, first, margin=0.3) < 1e-5


def test_at_the_margin_alike_is_said_no_oftener_than_the_level():
    differences = np.random.default_rng(2).normal(0.3, 0.2, (2000, 20))
    said = np.mean([equivalence_p(d, np.zeros(20), margin=0.3) <= 0.05 for d in differences])
    assert said == pytest.approx(0.05, abs=0.015)


def test_alike_is_inside_the_interval_of_twice_the_level():
    """Two one-sided tests at 5 % are one interval of 90 %."""
    for seed in range(40):
        difference = np.random.default_rng(seed).normal(0.12, 0.3, 15)
        _, (low, high) = hodges_lehmann(difference, level=0.9)
        inside = low > -0.3 and high < 0.3
        assert (equivalence_p(difference, np.zeros(15), margin=0.3) <= 0.05) == inside


@pytest.mark.parametrize("margin", [0.0, -0.3, np.nan, np.inf])
def test_a_margin_is_above_0(margin):
    with pytest.raises(ValueError, match="margin"):
        equivalence_p([1.0, 2.0], [1.0, 2.0], margin=margin)


# --- ranks ----------------------------------------------------------------------------------------


def test_a_method_that_is_best_in_everybody_is_always_first():
    losses = np.random.default_rng(0).normal(size=12) + np.array([[0.0], [-5.0], [5.0]])
    ranks = bootstrap_ranks(losses, repeats=200, seed=0)
    assert ranks.shape == (200, 3)
    assert (ranks == [2, 1, 3]).all()


def test_equal_methods_share_their_rank_and_like_ones_change_places():
    losses = np.random.default_rng(0).normal(size=(2, 10))
    same = bootstrap_ranks(losses[[0, 0]], repeats=50, seed=0)
    assert (same == 1.5).all()
    apart = bootstrap_ranks(losses - losses.mean(axis=1, keepdims=True), repeats=2000, seed=0)
    assert np.mean(apart[:, 0] == 1) == pytest.approx(0.5, abs=0.1)


def test_a_resample_takes_the_same_subjects_for_every_method():
    """Paired: a method that is better by the same in everybody is never behind."""
    losses = 100 * np.random.default_rng(0).normal(size=10) + np.array([[0.0], [0.1]])
    assert (bootstrap_ranks(losses, repeats=500, seed=1) == [1, 2]).all()
