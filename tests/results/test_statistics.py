"""Intervals and tests against values worked out independently."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from relad.results.statistics import holm, mean_interval, paired_comparison


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


def test_wilcoxon_reaches_its_smallest_p_when_all_subjects_agree():
    first = np.arange(10) + np.linspace(1, 2, 10)
    result = paired_comparison(first, np.arange(10))
    assert result.p == pytest.approx(2 / 2**10)  # 0.00195: ten subjects, exact, two-sided
    assert result.smallest_p == pytest.approx(2 / 2**10)
    assert result.effect == 1.0
    assert result.median_difference == pytest.approx(1.5)
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


def test_identical_methods_do_not_differ():
    result = paired_comparison([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (result.p, result.effect, result.median_difference) == (1.0, 0.0, 0.0)


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


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ValueError, match="p values"):
        holm([0.2, 1.2])
