"""The SUVR window by hand."""

from __future__ import annotations

import numpy as np
import pytest

from relad.data.window import to_suvr, to_unit, width
from relad.errors import ReladError

WINDOW = (0.5, 3.0)


def test_a_window_becomes_minus_one_to_one_and_nothing_is_clipped():
    suvr = np.array([0.5, 1.75, 3.0, 4.25, 0.0])
    unit = np.array([-1.0, 0.0, 1.0, 2.0, -1.4])
    np.testing.assert_allclose(to_unit(suvr, WINDOW), unit, atol=1e-12)
    np.testing.assert_allclose(to_suvr(unit, WINDOW), suvr, atol=1e-12)
    assert width(WINDOW) == 2.5


def test_a_window_that_does_not_rise_is_refused():
    with pytest.raises(ReladError, match="does not rise"):
        width((2.0, 2.0))
