"""Error against blur, and calibration of samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relad.results.figures import calibration, plane, style
from relad.results.scores import mean_over_tracers
from tests.helpers.fake_study import FakeStudy, entry, make_settings

PLANE = replace(entry("figure", "plane"), metrics=("mae", "hfen"))
CALIBRATION = entry("figure", "calibration")


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> FakeStudy:
    """A study whose first method gives the mean of four samples."""
    settings = make_settings()
    del settings["cohorts"]["elsewhere"]
    fake = FakeStudy(tmp_path_factory.mktemp("several"), subjects=6, settings=settings)
    fake.synthesize("study", "rela", sampler="ddim-10x4")
    fake.evaluate_all()
    return fake


def markers(ax) -> dict[tuple[str, str], tuple[float, float]]:
    """(colour, face) -> x and y of a marker."""
    return {
        (line.get_color(), line.get_markerfacecolor()): (line.get_xdata()[0], line.get_ydata()[0])
        for line in ax.lines
        if len(line.get_xdata()) == 1 and line.get_marker() not in ("", "None")
    }


def test_every_method_and_sampling_has_a_point(several):
    study = several.read()
    figure = plane.draw(study, PLANE)
    found, colours = markers(figure.axes[0]), style.method_colours(study.settings)
    assert len(found) == 4  # three methods, one of them twice
    values = study.values(PLANE, ["rela"])
    for sampler, face in (("ddim-10x4", colours["rela"]), ("ddim-10", "white")):
        of = mean_over_tracers(values[values["sampler"] == sampler])
        expected = (of["mae"].mean(), of["hfen"].mean())
        assert found[colours["rela"], face] == pytest.approx(expected)


def test_a_sample_is_joined_to_its_mean(several):
    study = several.read()
    lines = plane.draw(study, PLANE).axes[0].lines
    joined = [line for line in lines if line.get_linestyle() == ":" and len(line.get_xdata()) == 2]
    assert [line.get_color() for line in joined] == [style.method_colours(study.settings)["rela"]]


def test_the_legend_tells_one_sample_from_the_mean(several):
    (legend,) = plane.draw(several.read(), PLANE).legends
    labels = {text.get_text().replace("\n", " ") for text in legend.get_texts()}
    assert {
        "RelA-Diffusion, 10 ddim steps, mean of 4",
        "RelA-Diffusion, 10 ddim steps, one sample",
    } <= labels


def test_coverage_is_drawn_against_its_level(several):
    study = several.read()
    covered, ratios = calibration.draw(study, CALIBRATION).axes
    of = mean_over_tracers(study.values(CALIBRATION, ["rela"])).mean(numeric_only=True)
    (curve,) = [line for line in covered.lines if len(line.get_xdata()) == 3]
    assert list(curve.get_xdata()) == [0.5, 0.8, 0.9]
    expected = [of[f"coverage_{p}"] for p in (50, 80, 90)]
    np.testing.assert_allclose(curve.get_ydata(), expected)
    (point,) = [line for line in ratios.lines if len(line.get_xdata()) == 1]
    assert point.get_xdata()[0] == pytest.approx(of["spread_skill"])


def test_only_methods_with_a_spread_are_calibrated(several, study):
    (legend,) = calibration.draw(several.read(), CALIBRATION).legends
    assert [t.get_text().replace("\n", " ") for t in legend.get_texts()] == [
        "RelA-Diffusion (study, n = 3)"
    ]
    assert calibration.draw(study, CALIBRATION) is None  # one image each


def test_without_values_nothing_is_drawn(study):
    study.scores = study.scores[:0]
    assert plane.draw(study, PLANE) is None
