"""Figure of quality against time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relad.results.figures import runtime, style
from relad.results.scores import mean_over_tracers
from tests.helpers.fake_study import entry

RUNTIME = entry("figure", "runtime")


def points(figure, axes: int = 0) -> dict[str, tuple[float, float]]:
    """(x, y) of each marker by colour."""
    lines = [line for line in figure.axes[axes].get_lines() if len(line.get_xdata()) == 1]
    return {line.get_color(): (line.get_xdata()[0], line.get_ydata()[0]) for line in lines}


def test_quality_is_drawn_against_evaluations_and_both_times(study):
    figure = runtime.draw(study, RUNTIME)
    colours = style.method_colours(study.settings)
    values = mean_over_tracers(study.values(RUNTIME, ["unet"]))
    expected = pytest.approx(values["psnr"].mean())
    assert points(figure)[colours["unet"]] == (1, expected)
    assert points(figure)[colours["rela"]][0] == 10
    assert points(figure, 1)[colours["unet"]] == (pytest.approx(0.1), expected)
    assert points(figure, 2)[colours["unet"]] == (100.5, expected)


def test_a_time_below_the_clock_is_drawn_at_the_shortest(study):
    colours = style.method_colours(study.settings)
    assert points(runtime.draw(study, RUNTIME), 1)[colours["template"]][0] == runtime.SHORTEST_S


def test_the_legend_names_methods_and_families(study):
    (legend,) = runtime.draw(study, RUNTIME).legends
    assert "U-Net (L1), regression" in [text.get_text() for text in legend.get_texts()]


def test_what_was_not_measured_is_not_drawn(study):
    study.synthesized = []
    figure = runtime.draw(study, RUNTIME)
    assert not points(figure, 1) and points(figure, 2)


@pytest.mark.parametrize("lacking", ["models", "scores"])
def test_without_models_or_values_nothing_is_drawn(study, lacking):
    setattr(study, lacking, getattr(study, lacking)[:0])
    assert runtime.draw(study, RUNTIME) is None


def test_the_frontier_holds_what_nothing_is_cheaper_and_better_than():
    points = [(10, 20.0), (1, 18.0), (5, 17.0), (5, 19.0), (1, 16.0), (20, 20.0)]
    assert runtime.frontier(points) == [(1, 18.0), (5, 19.0), (10, 20.0)]


def test_the_load_under_which_times_were_measured_is_on_its_face(study):
    assert runtime.draw(study, RUNTIME).axes[1].get_title(loc="left") == (
        "times under load of the machine unknown"
    )
    for number, model in enumerate(study.models):
        model.measured["load_per_core"] = 0.4 + number
    study.synthesized = [replace(s, load_per_core=0.5) for s in study.synthesized]
    assert runtime.draw(study, RUNTIME).axes[1].get_title(loc="left") == (
        "times under load 0.5 to 3.4 processes per core, too unlike to compare times"
    )
