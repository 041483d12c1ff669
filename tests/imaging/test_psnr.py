"""The one formula of PSNR."""

from __future__ import annotations

import math

import pytest

from relad.imaging.psnr import psnr_of


def test_an_error_of_a_tenth_of_the_range_is_20_db():
    assert psnr_of(0.4**2, 4.0) == pytest.approx(20.0)


def test_no_error_is_infinite():
    assert psnr_of(0.0, 4.0) == math.inf
