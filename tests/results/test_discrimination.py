"""AUC, its interval, rates and cuts: by counting, by other formulas, and on data of known skill."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from relad.results.discrimination import (
    auc,
    auc_interval,
    paired_auc_p,
    share_interval,
    smallest_p,
    youden_cut,
)


def test_auc_is_the_share_of_pairs_ranked_rightly() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 6, 30).astype(float)  # with ties
    positive = random.uniform(size=30) > 0.6
    pairs = list(itertools.product(scores[positive], scores[~positive]))
    expected = sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
    assert auc(scores, positive) == pytest.approx(expected, abs=1e-12)
    assert auc(scores, np.ones(30, bool)) is None and auc(scores, np.zeros(30, bool)) is None


@pytest.mark.parametrize("area", [0.3, 0.5, 0.8, 0.97])
def test_the_interval_ends_where_the_score_test_does(area) -> None:
    """|A - found| = 1.96 of Hanley and McNeil's error at A, by their Q1 and Q2."""
    n, m = 9, 14
    more = (n + m) / 2 - 1
    for end in auc_interval(area, n, m, level=0.95):
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)
        variance = end * (1 - end) + more * (q1 - end**2) + more * (q2 - end**2)
        assert abs(end - area) == pytest.approx(
            1.959963985 * math.sqrt(variance / (n * m)), rel=1e-6
        )


def test_the_interval_has_a_width_where_nobody_is_ranked_wrongly() -> None:
    low, high = auc_interval(1.0, 5, 5, level=0.95)
    assert 0.5 < low < 0.75 and high == 1
    assert auc_interval(0.0, 5, 5, level=0.95) == pytest.approx((0.0, 1 - low))


@pytest.mark.parametrize(("n", "m", "area"), [(10, 10, 0.9), (14, 6, 0.75), (4, 4, 0.5)])
def test_the_interval_covers_what_it_says(n, m, area) -> None:
    """Where DeLong's covers 81, 88 and 88 %, and the bootstrap's hardly more."""
    random = np.random.default_rng(1)
    apart, covered = math.sqrt(2) * stats.norm.ppf(area), 0
    for _ in range(1000):
        pairs = random.normal(apart, 1, (n, 1)) > random.normal(0, 1, m)
        low, high = auc_interval(pairs.mean(), n, m, level=0.95)
        covered += low <= area <= high
    assert 925 <= covered <= 985


def test_a_paired_p_is_that_of_all_exchanges_of_ranks() -> None:
    """Of seven people all 128 exchanges are counted here, each AUC by sklearn."""
    random = np.random.default_rng(0)
    positive = np.array([True, True, True, False, False, False, False])
    first, second = random.normal(size=7) + 2 * positive, random.normal(size=7).round(1)
    ranks = np.stack([stats.rankdata(first), stats.rankdata(second)])
    found = []
    for swap in itertools.product([0, 1], repeat=7):
        one, other = (ranks[np.array(swap) ^ k, np.arange(7)] for k in (0, 1))
        found.append(abs(auc(one, positive) - auc(other, positive)))
    exact = np.mean(np.array(found) >= found[0] - 1e-12)
    assert found[0] == pytest.approx(abs(auc(first, positive) - auc(second, positive)))
    assert paired_auc_p(first, second, positive) == pytest.approx(exact, abs=0.04)
    assert paired_auc_p(second, first, positive) == pytest.approx(exact, abs=0.04)


def test_a_score_that_tells_no_more_is_seldom_found_to() -> None:
    """Scores of the same people that go together, as those of two methods do."""
    random = np.random.default_rng(1)
    positive = np.arange(30) < 15
    found = []
    for _ in range(300):
        shared = positive + random.normal(size=30)
        one, other = (shared + random.normal(size=30) for _ in range(2))
        found.append(paired_auc_p(one, other, positive))
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.03)
    better = positive + 0.3 * random.normal(size=30)
    assert paired_auc_p(better, random.normal(size=30), positive) < 0.01
    assert paired_auc_p(better, 2 * better + 1, positive) == 1


def test_an_interval_of_a_share_is_wilsons() -> None:
    z, hits, n = 1.959963985, 7, 9
    p = hits / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert share_interval(hits, n, level=0.95) == pytest.approx((middle - half, middle + half))


@pytest.mark.parametrize(("n", "m"), [(2, 3), (4, 4), (5, 1)])
def test_the_smallest_p_is_that_of_a_perfect_ranking(n, m) -> None:
    exact = stats.mannwhitneyu(range(10, 10 + n), range(m), method="exact").pvalue
    assert smallest_p(n, m) == pytest.approx(exact)


def test_the_cut_is_youdens_and_of_equals_the_nearest() -> None:
    scores = np.array([1.0, 1.2, 1.6, 2.0, 1.4])
    positive = np.array([False, False, True, True, True])
    assert youden_cut(scores, positive, near=0.0) == pytest.approx(1.3)
    scores, positive = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True])
    assert [youden_cut(scores, positive, near) for near in (0.0, 9.0)] == [1.5, 3.5]
    assert youden_cut(np.ones(4), positive, 0.0) is None
    assert youden_cut(scores, np.ones(4, bool), 0.0) is None
