"""The peak signal-to-noise ratio: one formula for evaluation and for validation in training."""

from __future__ import annotations

import math


def psnr_of(mse: float, data_range: float) -> float:
    """10 log10(data_range^2 / mse), in dB; infinity where nothing differs.

    Parameters
    ----------
    mse
        Mean squared error, in the square of the images' unit.
    data_range
        Peak value, in the images' unit.
    """
    return math.inf if mse == 0 else 10 * math.log10(data_range**2 / mse)
