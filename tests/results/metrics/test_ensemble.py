"""Scores of several samples: against their definitions, and on forecasts of known skill."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from relad.errors import DataError
from relad.results.metrics import ensemble
from relad.results.metrics.ensemble import coverage, crps, spread_skill


def forecast(count: int, voxels: int = 40_000, spread: float = 1.0) -> tuple:
    """K samples and the truth, drawn alike around a voxel's mean; ``spread`` is the samples'."""
    random = np.random.default_rng(count)
    mean = random.normal(1.5, 0.5, voxels)
    samples = mean + 0.2 * spread * random.normal(size=(count, voxels))
    return samples.astype(np.float32), mean + 0.2 * random.normal(size=voxels)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_crps_is_the_fair_form_over_all_pairs(count, monkeypatch):
    monkeypatch.setattr(ensemble, "_BLOCK", 64)  # more voxels than are sorted at once
    samples, truth = forecast(count, voxels=150)
    x = samples.astype(float)
    pairs = np.abs(x[:, None] - x[None]).sum(axis=(0, 1)) / (2 * count * (count - 1))
    expected = (np.abs(x - truth).mean(axis=0) - pairs).mean()
    assert crps(samples, truth) == pytest.approx(expected, rel=1e-12)


def test_crps_of_one_image_is_its_mae():
    samples, truth = forecast(1)
    assert crps(samples, truth) == pytest.approx(np.abs(samples[0] - truth).mean(), rel=1e-12)


@pytest.mark.parametrize("count", [2, 8, 30])
def test_crps_of_draws_is_that_of_the_distribution_whatever_their_number(count):
    """Of N(m, s) against y of the same: s / sqrt(pi), by E|x - y| - E|x - x'| / 2."""
    assert crps(*forecast(count)) == pytest.approx(0.2 / math.sqrt(math.pi), rel=0.02)


def test_crps_is_proper():
    """Too sure and too unsure are both worse than right."""
    sure, right, unsure = (crps(*forecast(20, spread=s)) for s in (0.3, 1.0, 3.0))
    assert right < min(sure, unsure)


@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_spread_skill_by_hand_and_1_where_the_truth_is_one_more_draw(count, spread):
    samples, truth = forecast(count, spread=spread)
    x = samples.astype(float)
    rmse = math.sqrt(((x.mean(0) - truth) ** 2).mean())
    expected = math.sqrt((count + 1) / count * x.var(0, ddof=1).mean()) / rmse
    assert spread_skill(samples, truth) == pytest.approx(expected, rel=1e-12)
    if spread == 1.0:
        assert expected == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("level", [0.8, 0.9])
@pytest.mark.parametrize("count", [2, 8, 30])
def test_intervals_cover_what_they_promise_at_every_number_of_samples(count, level):
    assert coverage(*forecast(count), level=level) == pytest.approx(level, abs=0.01)


def test_coverage_of_the_too_sure_is_that_of_the_narrow_interval():
    """K many and spread halved: the share of a normal variable within half its quantile."""
    inside = 2 * stats.norm.cdf(stats.norm.ppf(0.9) / 2) - 1
    samples, truth = forecast(200, voxels=8000, spread=0.5)
    assert coverage(samples, truth, level=0.8) == pytest.approx(inside, abs=0.02)


def test_samples_without_spread_cover_nothing_and_a_mean_without_error_has_any_skill():
    samples, truth = forecast(3)
    assert coverage(np.repeat(samples[:1], 3, axis=0), truth, level=0.9) == 0
    assert spread_skill(np.repeat(samples[:1], 3, axis=0), truth) == 0
    assert spread_skill(np.array([[1.0], [3.0]]), np.array([2.0])) == math.inf


def test_what_cannot_be_scored_is_refused():
    samples, truth = forecast(3, voxels=5)
    for function in (spread_skill, lambda x, y: coverage(x, y, level=0.8)):
        with pytest.raises(DataError, match="1 samples where at least 2 are needed"):
            function(samples[:1], truth)
    with pytest.raises(DataError, match=r"\(3, 5\) are not of the \(4,\) voxels"):
        crps(samples, truth[:4])
    samples[1, 2] = np.nan
    with pytest.raises(DataError, match="samples hold NaN"):
        crps(samples, truth)
    with pytest.raises(DataError, match="truth holds NaN"):
        crps(samples[:1], np.full(5, np.inf))
