"""Differences over trainings: equal to the known tests, and true where trainings differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from relad.results.trainings import OverTrainings, over_trainings

REPEATS = 2000
#: Of a test that is wrong by far.
FEWER = 200


def at_home(means: np.ndarray, people: np.ndarray) -> np.ndarray:
    """(people, folds) differences: each person, a row of (folds, n), is tested in one fold."""
    folds, n = people.shape
    found = np.full((folds * n, folds), np.nan)
    for k in range(folds):
        found[k * n : (k + 1) * n, k] = means[k] + people[k]
    return found


def test_at_home_it_is_the_t_test_of_the_folds_means():
    rng = np.random.default_rng(0)
    people, means = rng.normal(size=(5, 12)), rng.normal(0.3, 0.4, 5)
    found = over_trainings(at_home(means, people))
    known = stats.ttest_1samp(means + people.mean(axis=1), 0)
    assert (found.trainings, found.freedom) == (5, 4)
    assert found.p == pytest.approx(known.pvalue)
    assert found.interval(0.9) == pytest.approx(tuple(known.confidence_interval(0.9)))
    margin = 1.5
    sides = [
        stats.ttest_1samp(means + people.mean(axis=1), bound, alternative=side).pvalue
        for bound, side in ((-margin, "greater"), (margin, "less"))
    ]
    assert found.p_within(margin) == pytest.approx(max(sides))


def test_elsewhere_the_variances_of_people_and_of_trainings_add_up():
    """Without a spread over trainings it is the t test over people, and the reverse."""
    rng = np.random.default_rng(0)
    people, means = rng.normal(0.5, 1, 12), rng.normal(0.5, 1, 4)
    alone = over_trainings(np.tile(people[:, None], 4))
    assert alone.p == pytest.approx(stats.ttest_1samp(people, 0).pvalue)
    alone = over_trainings(np.tile(means, (12, 1)))
    assert alone.p == pytest.approx(stats.ttest_1samp(means, 0).pvalue)
    both = over_trainings(people[:, None] + means)
    parts = {11: people.var(ddof=1) / 12, 3: means.var(ddof=1) / 4}
    assert both.error**2 == pytest.approx(sum(parts.values()))
    freedom = sum(parts.values()) ** 2 / sum(v**2 / k for k, v in parts.items())
    assert both.freedom == pytest.approx(freedom) and 3 < freedom < 14


def test_one_training_tells_no_spread():
    assert over_trainings(np.ones((5, 1))) is None


@pytest.mark.parametrize(("difference", "p"), [(0.0, 1.0), (0.25, 0.0)])
def test_trainings_without_any_spread(difference, p):
    found = over_trainings(np.full((4, 3), difference))
    assert (found.p, found.interval(0.95)) == (p, (difference, difference))
    assert found.p_within(0.3) == 0 and found.p_within(0.1) == (1.0 if difference else 0.0)
    assert found.detectable(level=0.05, power=0.8) == 0


@pytest.mark.parametrize("folds", [2, 3, 4, 5])
@pytest.mark.parametrize("home", [True, False], ids=["home", "elsewhere"])
def test_where_methods_are_the_same_and_their_models_are_not(folds, home):
    """Models differ by 0.4 dB, people by 0.5: 95 % intervals hold the truth, those of people not.

    Elsewhere, with two or three models, they hold it more often than they say.
    """
    rng = np.random.default_rng(1)
    misses = misses_people = 0
    for k in range(REPEATS):
        means = rng.normal(0, 0.4, folds)
        if home:
            differences = at_home(means, rng.normal(0, 0.5, (folds, 15)))
        else:
            differences = means + rng.normal(0, 0.5, (15, 1))
        found = over_trainings(differences)
        low, high = found.interval(0.95)
        misses += not low < 0 < high
        assert (found.p <= 0.05) == (not low < 0 < high)
        if k < FEWER:
            misses_people += stats.wilcoxon(np.nanmean(differences, axis=1)).pvalue <= 0.05
    assert misses_people / FEWER > 0.15
    few = not home and folds <= 3
    assert misses / REPEATS == pytest.approx(0.05, abs=0.015) or (few and misses / REPEATS < 0.05)


@pytest.mark.parametrize(("folds", "family"), [(2, 1), (2, 7), (3, 4), (4, 8), (5, 1)])
def test_a_planted_difference_is_found_as_often_as_promised(folds, family):
    rng = np.random.default_rng(2)
    spread, level = 0.3, 0.05 / family
    error = OverTrainings(folds, 0.0, spread / math.sqrt(folds), folds - 1)
    promised = error.detectable(level=level, power=0.8)
    found = sum(
        over_trainings(at_home(promised + rng.normal(0, spread, folds), np.zeros((folds, 2)))).p
        <= level
        for _ in range(REPEATS)
    )
    # The promise is of the true spread: that which is measured differs from it.
    assert found / REPEATS == pytest.approx(0.8, abs=0.03)
