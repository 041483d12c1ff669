"""Filters as products of matrices are SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from relad.results.metrics.separable import along_x, filter_of, filtered

IMAGE = np.random.default_rng(0).normal(size=(7, 12, 9))


@pytest.mark.parametrize("mode", ["constant", "nearest"])
@pytest.mark.parametrize("order", [0, 2])
def test_filters_are_those_of_scipy(mode, order):
    matrices = [filter_of(n, 1.3, 5, mode, order) for n in IMAGE.shape]
    expected = ndimage.gaussian_filter(IMAGE, 1.3, order=order, mode=mode, radius=5)
    assert filtered(IMAGE, matrices) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_one_axis_is_filtered_alone():
    expected = ndimage.gaussian_filter1d(IMAGE, 1.3, axis=0, mode="nearest", radius=4)
    found = along_x(filter_of(7, 1.3, 4, "nearest"), IMAGE)
    assert found == pytest.approx(expected, rel=1e-12)
