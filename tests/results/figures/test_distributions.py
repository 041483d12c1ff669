"""Figure of every subject's values."""

from __future__ import annotations

import numpy as np
import pytest

from relad.results.figures import distributions, style
from relad.results.scores import read_all
from tests.helpers.fake_study import FakeStudy, entry

DISTRIBUTIONS = entry("figure", "distributions")


def test_every_subject_is_a_point_at_its_value(study):
    figure = distributions.draw(study, DISTRIBUTIONS)
    values = study.values(DISTRIBUTIONS, ["rela", "unet", "template"])
    for k, metric in enumerate(DISTRIBUTIONS.metrics):
        ax = figure.axes[2 * k]  # tau
        points = [np.asarray(c.get_offsets()) for c in ax.collections]
        expected = [
            of[metric].to_numpy()
            for _, of in values[values["tracer"] == "tau"].groupby("method", observed=True)
        ]
        assert len(points) == 3
        for line, (shown, wanted) in enumerate(zip(points, expected, strict=True)):
            np.testing.assert_array_equal(shown[:, 0], wanted)
            assert np.abs(shown[:, 1] - line).max() < 0.5


def test_boxes_are_the_quartiles_in_the_methods_colour(study):
    ax = distributions.draw(study, DISTRIBUTIONS).axes[0]
    values = study.values(DISTRIBUTIONS, ["unet"])
    quartiles = np.quantile(values[values["tracer"] == "tau"]["psnr"], [0.25, 0.5, 0.75])
    of_unet = [
        line.get_xdata()
        for line in ax.lines
        if line.get_color() == style.method_colours(study.settings)["unet"]
    ]
    assert any(np.allclose(x, quartiles[1]) for x in of_unet)
    ends = [(x.min(), x.max()) for x in (np.asarray(line) for line in of_unet) if len(x) == 5]
    np.testing.assert_allclose(ends, [(quartiles[0], quartiles[2])])


def test_methods_are_named_from_the_top_and_columns_say_how_many(study):
    figure = distributions.draw(study, DISTRIBUTIONS)
    ax = figure.axes[0]
    assert ax.get_ylim() == (2.5, -0.5)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["RelA-Diffusion", "U-Net (L1)", "Mean template"]
    titles = [ax.get_title() for ax in figure.axes[:2]]
    assert titles == ["tau (AV1451), n = 4", "amyloid (AV45), n = 3"]


def test_external_cohorts_have_their_own(study):
    figure = distributions.draw(study, entry("figure", "distributions_external"))
    assert figure.axes[0].get_title() == "tau (AV1451), n = 8"


def test_without_values_nothing_is_drawn(study):
    study.scores = study.scores[:0]
    assert distributions.draw(study, DISTRIBUTIONS) is None


def test_the_ceiling_is_drawn_where_it_is_known(tmp_path):
    """At its mean over the subjects of each tracer, in every panel of its cohort."""
    fake = FakeStudy(tmp_path, subjects=4)
    fake.evaluate_all()
    result = entry("figure", "distributions")

    def lines(study) -> list[float]:
        figure = distributions.draw(study, result)
        assert bool(figure.legends) == (not study.ceiling.empty)
        drawn = [[ln for ln in ax.lines if ln.get_linestyle() == "--"] for ax in figure.axes]
        return [float(line.get_xdata()[0]) for of in drawn for line in of]

    study = fake.read()
    assert lines(study) == []
    study.ceiling = read_all([fake.know_ceiling("study")], study.settings)[1]
    of = study.ceiling[study.ceiling["subject"].isin(fake.tested("study"))]
    of = of[of["region"] == "brain"].groupby(["metric", "tracer"], observed=True)["value"].mean()
    expected = [of[m, t] for m in result.metrics for t in ("tau", "amyloid")]
    assert lines(study) == pytest.approx(expected)
