"""Figure of every subject's difference: points and lines are numbers of the table of regions."""

from __future__ import annotations

import numpy as np

from relad.results.figures import bland_altman
from relad.results.tables.regions import region_rows, regions_table
from tests.helpers.fake_study import entry, make_settings, score, scores_of

DIFFERENCES = entry("figure", "bland_altman")


def test_every_person_is_a_point_and_lines_are_bias_and_limits(study):
    figure = bland_altman.draw(study, DIFFERENCES)
    values = study.scores[study.scores["region"] == "hippocampus"]  # the first of tau's
    of = values[(values["method"] == "rela") & (values["tracer"] == "tau")]
    of = of[of["cohort"] == "study"].pivot(index="subject", columns="metric", values="value")
    ax = figure.axes[0]
    (points,) = ax.collections
    expected = np.stack([of[["suvr", "suvr_true"]].mean(axis=1), of["suvr"] - of["suvr_true"]], 1)
    np.testing.assert_allclose(points.get_offsets(), expected)
    rows = region_rows(study, DIFFERENCES)
    row = rows[(rows["region"] == "hippocampus") & (rows["method"] == "rela")].iloc[0]
    drawn = [line.get_ydata()[0] for line in ax.lines]
    assert drawn[0] == 0
    np.testing.assert_allclose(drawn[1:], [row["bias"], row["loa_low"], row["loa_high"]])
    assert ax.get_title() == "study\ntau (AV1451), n = 4\nhippocampus"


def test_a_tracer_whose_regions_nobody_has_shows_the_brain(study):
    figure = bland_altman.draw(study, DIFFERENCES)  # the made-up brain holds no cortex
    assert figure.axes[1].get_title().endswith("\nbrain")


TWO_SITES = {"siteA": ("brain", "thalamus", "hippocampus"), "siteB": ("brain", "thalamus")}


def two_sites(folder, seeds=(0,)):
    """Two external cohorts, in one of which nobody has the hippocampus, and their settings."""
    settings = make_settings()
    settings["cohorts"] |= {site: {"role": "external"} for site in TWO_SITES}
    rows = [
        score(cohort=site, method=method, subject=f"{site}{k}", region=region, metric=metric,
              value=1 + 0.1 * k + (0.01 * k**2 if metric == "suvr" else 0), seed=seed)
        for site, regions in TWO_SITES.items() for region in regions for k in range(6)
        for method in ("rela", "unet") for metric in ("suvr", "suvr_true") for seed in seeds
    ]  # fmt: skip
    return scores_of(folder, *rows, settings=settings), settings


def test_a_cohort_without_another_ones_region_is_drawn_in_its_own(tmp_path):
    study, settings = two_sites(tmp_path)
    figure = bland_altman.draw(study, entry("figure", "bland_altman_external", settings))
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == [
        "siteA\ntau (AV1451), n = 6\nhippocampus",
        "siteB\ntau (AV1451), n = 6\nthalamus",
    ]
    table = regions_table(study, entry("table", "regions", settings))
    left = "brain mask holds too little of the region: all 6 of siteB (tau (AV1451), hippocampus)"
    assert left in table.caption and "models" not in table.caption


def test_the_mean_of_several_models_is_told(tmp_path):
    study, settings = two_sites(tmp_path, seeds=(0, 1))
    figure = bland_altman.draw(study, entry("figure", "bland_altman_external", settings))
    assert figure.axes[0].get_title().endswith("\nmean of 2 models")
    caption = regions_table(study, entry("table", "regions", settings)).caption
    assert "the mean over a method's models (2 in siteA, 2 in siteB: seeds" in caption


def test_nothing_makes_no_figure(study):
    study.scores = study.scores[study.scores["metric"] == "psnr"]
    assert bland_altman.draw(study, DIFFERENCES) is None
