"""Figure of every subject's difference: points and lines are numbers of the table of regions."""

from __future__ import annotations

import numpy as np

from relad.results.figures import bland_altman
from relad.results.tables.regions import region_rows
from tests.helpers.fake_study import entry

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


def test_nothing_makes_no_figure(study):
    study.scores = study.scores[study.scores["metric"] == "psnr"]
    assert bland_altman.draw(study, DIFFERENCES) is None
