"""Forest plot of decisions."""

from __future__ import annotations

import numpy as np
import pytest

from relad.results.decisions import decide
from relad.results.figures import forest, style
from tests.helpers.fake_study import entry

FOREST = entry("figure", "decisions")
AWAY = entry("figure", "decisions_external")


def drawn(ax) -> dict[int, list[np.ndarray]]:
    """x of what is drawn on each line: intervals have two, estimates one."""
    found: dict[int, list[np.ndarray]] = {}
    for line in ax.lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        if np.ptp(y) == 0:
            found.setdefault(int(y[0]), []).append(x)
    return found


def test_a_panel_per_metric_shows_each_difference_with_its_interval(study):
    axes, decisions = forest.draw(study, AWAY).axes, decide(study, AWAY)
    assert len(axes) == len(AWAY.metrics)
    for ax, metric in zip(axes, AWAY.metrics, strict=True):
        for place, found in enumerate(d for d in decisions if d.metric == metric):
            ends, estimate = sorted(drawn(ax)[place], key=len, reverse=True)
            assert tuple(ends) == found.comparison.interval
            assert list(estimate) == [found.comparison.difference]


def test_of_a_right_value_the_distance_is_drawn_of_which_less_is_better(study):
    labels = [ax.get_xlabel() for ax in forest.draw(study, FOREST).axes]
    place = FOREST.metrics.index("spectral_high")
    assert labels[place].startswith("Δ distance from 0 of\nSpectral power")
    assert labels[place].endswith("\n← lower is better") and "→ 0 is best ←" not in "".join(labels)


def test_the_outermost_lines_lie_inside_the_panel(study):
    lines = len({d.method for d in decide(study, FOREST)})
    for ax in forest.draw(study, FOREST).axes:
        assert ax.get_ylim() == (lines - 0.5, -0.5)


def test_the_margin_is_a_band_where_the_study_has_one(study):
    bands = [
        [p.get_x() + p.get_width() for p in ax.patches] for ax in forest.draw(study, AWAY).axes
    ]
    expected = [study.settings.evaluation.margins.get(m) for m in AWAY.metrics]
    assert bands == [[] if margin is None else [margin] for margin in expected]


def test_so_few_people_have_no_interval_and_that_is_said(study):
    figure = forest.draw(study, FOREST)
    title = figure.axes[0].get_title(loc="left")
    assert title == "Difference to RelA-Diffusion\nstudy, n = 4 (no 95% interval of so few)"
    assert all(len(x) == 1 for of in drawn(figure.axes[0]).values() for x in of)


@pytest.mark.parametrize("base", ["RelA-Diffusion", "RelA-Diffusion, " + "of a long name " * 6])
def test_a_long_title_pushes_no_panels_apart(study, monkeypatch, base):
    monkeypatch.setattr(study, "label", lambda method: base if method == "rela" else method)
    with style.applied():
        figure = forest.draw(study, FOREST)
        figure.canvas.draw()
    first, second, third = (ax.get_position() for ax in figure.axes[:3])
    assert second.x0 - first.x1 == pytest.approx(third.x0 - second.x1, abs=0.02)


def test_what_is_not_decided_is_open(study):
    (legend,) = forest.draw(study, FOREST).legends
    assert [text.get_text() for text in legend.get_texts()] == ["not decided", "does not matter"]
    line = legend.legend_handles[0]
    assert line.get_markerfacecolor() == "white"
    assert line.get_color() == style.OPEN


def test_lines_name_the_methods(study):
    labels = [t.get_text() for t in forest.draw(study, FOREST).axes[0].get_yticklabels()]
    assert labels == ["U-Net (L1)", "Mean template"]


def test_without_a_comparison_nothing_is_drawn(study):
    study.scores = study.scores[study.scores["method"] != "rela"]
    assert forest.draw(study, FOREST) is None
