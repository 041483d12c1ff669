"""Figure of regional SUVR: every cell is a number of the table."""

from __future__ import annotations

import numpy as np

from relad.results.figures import regions, style
from relad.results.tables.regions import region_rows
from tests.helpers.fake_study import entry

MAP = entry("figure", "regions")


def test_every_cell_is_that_of_the_table_and_shows_its_number(study):
    figure = regions.draw(study, MAP)
    rows = region_rows(study, MAP)
    axes = figure.axes[:4]  # tau and amyloid, bias above r
    assert axes[0].get_title() == "study\ntau (AV1451), n = 4"
    order = [label.get_text() for label in axes[2].get_yticklabels()]
    assert order[0] == "brain" and "thalamus" in order and "cortex" not in order
    for ax, tracer, key, form in (
        (axes[0], "tau", "bias_percent", "z.0f"),
        (axes[3], "amyloid", "r", "z.1f"),
    ):
        shown = ax.images[0].get_array()
        texts = iter(ax.texts)
        for line, region in zip(shown, order, strict=True):
            for cell, method in zip(line, ["rela", "unet", "template"], strict=True):
                of = rows[(rows["tracer"] == tracer) & (rows["region"] == region)]
                value = of.loc[of["method"] == method, key].item()
                assert cell == value
                assert next(texts).get_text() == format(value, form)


def test_a_cell_without_a_value_is_a_dash_on_grey(study):
    scores = study.scores
    same = (scores["method"] == "template") & (scores["metric"] == "suvr")
    study.scores = scores.assign(value=scores["value"].mask(same, 1.5))
    figure = regions.draw(study, MAP)
    below = figure.axes[2]
    column = below.images[0].get_array()[:, 2]
    assert np.ma.getmaskarray(np.ma.masked_invalid(column)).all()
    assert [text.get_text() for text in below.texts[2::3]] == ["-"] * len(column)
    assert below.get_facecolor()[0] == float(style.NO_VALUE)


def test_a_colour_bar_shows_that_values_lie_beyond_it(study):
    figure = regions.draw(study, MAP)
    limit = figure.axes[0].images[0].get_clim()[1]
    assert region_rows(study, MAP)["bias_percent"].abs().max() > limit
    assert figure.axes[1].images[0].colorbar.extend == "both"
    assert figure.axes[2].images[0].get_clim() == (-1, 1)
    only = study.scores["region"].isin(["brain", "hippocampus"])
    study.scores = study.scores[only & (study.scores["method"] == "rela")]
    figure = regions.draw(study, MAP)
    limit = figure.axes[0].images[0].get_clim()[1]
    assert region_rows(study, MAP)["bias_percent"].abs().max() < limit
    assert figure.axes[1].images[0].colorbar.extend == "neither"


def test_nothing_makes_no_figure(study):
    study.scores = study.scores[study.scores["metric"] == "psnr"]
    assert regions.draw(study, MAP) is None
