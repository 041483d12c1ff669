"""Blobs of ranks."""

from __future__ import annotations

import numpy as np

from relad.results.figures import ranks, style
from relad.results.metrics import METRICS
from relad.results.tables.ranks import ranks as found_ranks
from tests.helpers.fake_study import entry

RANKS = entry("figure", "ranks")


def test_blobs_are_as_large_as_the_share_of_resamples(study):
    figure, found = ranks.draw(study, RANKS), found_ranks(study, RANKS)
    methods = list(dict.fromkeys(found["method"]))
    for ax, metric in zip(figure.axes, RANKS.metrics, strict=True):
        of = found[found["metric"] == metric]
        (blobs,) = ax.collections
        expected = np.column_stack([of["rank"], of["method"].map(methods.index)])
        np.testing.assert_allclose(np.asarray(blobs.get_offsets()), expected)
        np.testing.assert_allclose(blobs.get_sizes(), style.BLOB * of["share"])
        assert ax.get_title() == METRICS[metric].label


def test_the_best_method_is_on_the_left_of_its_line(study):
    ax = ranks.draw(study, RANKS).axes[0]
    assert ax.get_yticklabels()[0].get_text() == "RelA-Diffusion"
    (mean,) = ax.lines
    assert list(mean.get_xdata()) == [1, 2, 3]


def test_the_cohort_and_n_are_on_its_face(study):
    assert ranks.draw(study, RANKS).get_supylabel() == "study, n = 4"


def test_without_values_nothing_is_drawn(study):
    study.scores = study.scores[:0]
    assert ranks.draw(study, RANKS) is None
