"""Spread over error of several people: calibrated methods have 1, and the jackknife's interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from relad.errors import ReladError
from relad.imaging.psnr import psnr_of
from relad.results.metrics.ensemble import spread_skill
from relad.results.pooled import pseudo_values, ratio_of_sums
from relad.results.scores import mean_over_tracers, subject_values
from tests.helpers.fake_study import score

KEYS = ["cohort", "tracer", "method", "subject"]


def rows_of(scans, **columns) -> list[dict]:
    """Rows of both metrics of scans, each (K, n) samples and their (n,) truth."""
    found = []
    for i, (samples, truth) in enumerate(scans):
        error = np.square(samples.mean(axis=0) - truth).mean()
        values = {"spread_skill": spread_skill(samples, truth), "psnr": psnr_of(error, 4.0)}
        of = {"subject": f"S{i:03}", "sampler": "ddim-25x8", **columns}
        found += [score(metric=m, value=v, file="m.csv", **of) for m, v in values.items()]
    return found


def calibrated(rng: np.random.Generator, people: int, together: float):
    """Truth and samples of one law, whose errors go together over the image."""

    def draw(n: int) -> np.ndarray:
        image = np.sqrt(together) * rng.normal(size=(n, 1))
        return image + np.sqrt(1 - together) * rng.normal(size=(n, 200))

    return [(draw(8), draw(1)[0]) for _ in range(people)]


@pytest.mark.parametrize("together", [0.0, 0.3, 0.7])
def test_a_calibrated_method_has_1_however_its_errors_go_together(together):
    rng = np.random.default_rng(0)
    scores = pd.DataFrame(rows_of(calibrated(rng, 2000, together)))
    pooled = pseudo_values(scores, KEYS)
    assert pooled.mean() == pytest.approx(1, abs=0.03)
    ratios = scores.loc[scores["metric"] == "spread_skill", "value"]
    assert (ratios.mean() > 1.15) == (together > 0.5)  # what the mean of ratios makes of it


def test_it_is_the_ratio_of_sums_with_the_jackknifes_interval():
    rng = np.random.default_rng(1)
    scans = [(0.6 * samples, truth) for samples, truth in calibrated(rng, 9, 0.3)]
    rows = pd.DataFrame(rows_of(scans))
    variance = np.array([9 / 8 * s.var(axis=0, ddof=1).mean() for s, _ in scans])
    error = np.array([np.square(s.mean(axis=0) - t).mean() for s, t in scans])
    table = subject_values(rows, ["study"], ["unet"], ["spread_skill"], "brain")
    values = table["spread_skill"]

    def statistic(index):
        return np.sqrt(variance[index].sum() / error[index].sum())

    whole = statistic(np.arange(9))
    left_out = np.array([statistic(np.delete(np.arange(9), i)) for i in range(9)])
    assert values.mean() == pytest.approx(whole)
    assert values.to_numpy() == pytest.approx(whole - 8 * (left_out - left_out.mean()))
    assert stats.sem(values) ** 2 == pytest.approx(
        8 / 9 * np.square(left_out - left_out.mean()).sum()
    )
    ratios, psnr = (rows.loc[rows["metric"] == m, "value"] for m in ("spread_skill", "psnr"))
    assert ratio_of_sums(ratios.to_numpy(), psnr.to_numpy()) == pytest.approx(whole)


def test_seeds_are_summed_and_tracers_and_methods_kept_apart():
    rng = np.random.default_rng(2)
    rows = [
        row
        for method in ("rela", "unet")
        for tracer in ("tau", "amyloid")
        for seed in (0, 1)
        for row in rows_of(calibrated(rng, 5, 0.3), method=method, tracer=tracer, seed=seed)
    ]
    scores = pd.DataFrame(rows)
    table = subject_values(scores, ["study"], ["rela", "unet"], ["spread_skill", "psnr"], "brain")
    assert len(table) == 20
    one = scores[(scores["method"] == "rela") & (scores["tracer"] == "tau")]
    of = table[(table["method"] == "rela") & (table["tracer"] == "tau")]
    expected = pseudo_values(one, KEYS).to_numpy()
    assert of["spread_skill"].to_numpy() == pytest.approx(expected)
    assert of["psnr"].to_numpy() == pytest.approx(
        one[one["metric"] == "psnr"].groupby("subject")["value"].mean().to_numpy()
    )
    assert len(mean_over_tracers(table)) == 10


def test_one_subject_has_its_own_ratio():
    rows = pd.DataFrame(rows_of(calibrated(np.random.default_rng(3), 1, 0.0)))
    value = rows.loc[rows["metric"] == "spread_skill", "value"].iloc[0]
    assert pseudo_values(rows, KEYS).to_numpy() == pytest.approx([value])


def test_without_the_error_it_is_refused():
    rows = pd.DataFrame(rows_of(calibrated(np.random.default_rng(3), 3, 0.0)))
    told = r"m\.csv: no psnr beside spread_skill.* subject S000, fold 0, seed 0"
    with pytest.raises(ReladError, match=told):
        pseudo_values(rows[rows["metric"] != "psnr"], KEYS)


@pytest.mark.parametrize(("metric", "place"), [("spread_skill", 0), ("psnr", 1)])
def test_what_is_infinite_is_refused_with_the_person(metric, place):
    rng = np.random.default_rng(0)
    rows = rows_of(calibrated(rng, 3, 0.5), cohort="sim", tracer="tau", method="rela")
    assert rows[2 + place]["metric"] == metric
    rows[2 + place]["value"] = np.inf
    with pytest.raises(
        ReladError, match=r"m\.csv: .*infinite and cannot be averaged: .*subject S001"
    ):
        pseudo_values(pd.DataFrame(rows), KEYS)
