"""Figure of the sampler study."""

from __future__ import annotations

import numpy as np
import pytest

from relad.results.figures import samplers
from relad.results.scores import read_scores
from relad.results.tables.samplers import sampler_rows
from tests.helpers.fake_study import entry

SAMPLERS = entry("figure", "samplers")


@pytest.fixture
def sampler_study(study, sampled):
    study.scores = read_scores(sampled, study.settings)
    return study


def test_every_sampling_is_shown_in_one_curve_per_sampler(sampler_study):
    figure = samplers.draw(sampler_study, SAMPLERS)
    shown = {tuple(line.get_xdata()) for line in figure.axes[0].get_lines()}
    # ddim over its steps; K samples of ddim with ten steps, of either temperature; regression
    assert shown == {(2, 10), (10, 40), (40,), (1,)}
    names = [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]
    warmer = "ddim, 10 steps at temperature 1.5, K samples"
    assert names == ["ddim", "ddim, 10 steps, K samples", warmer, "regression, K samples"]
    assert figure.axes[0].get_title() == "RelA-Diffusion\nstudy, n = 4"
    assert "SIMULATED DATA" in figure.get_suptitle()


def test_evaluations_are_counted_in_plain_numbers(sampler_study):
    figure = samplers.draw(sampler_study, SAMPLERS)
    figure.canvas.draw()
    labels = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
    assert "10" in labels and not any("$" in label for label in labels)


def test_curves_have_the_tables_values(sampler_study):
    rows = sampler_rows(sampler_study, SAMPLERS)
    figure = samplers.draw(sampler_study, SAMPLERS)
    for ax, metric in zip(figure.axes, SAMPLERS.metrics, strict=True):
        y = np.concatenate([line.get_ydata() for line in ax.get_lines()])
        assert set(y) == set(rows[metric])


def test_without_values_nothing_is_drawn(study):
    study.scores = study.scores[:0]
    assert samplers.draw(study, SAMPLERS) is None
