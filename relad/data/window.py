"""The SUVR window of a tracer: a fixed, invertible, linear map between SUVR and network units.

Nothing is clipped, so that no measured value is lost: SUVR outside the window maps outside
[-1, 1] and comes back unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from relad.errors import ReladError

#: A NumPy array, a torch tensor or a number; only arithmetic is used.
Values = TypeVar("Values")


def width(window: Sequence[float]) -> float:
    """Width of a window in SUVR; also the data range of PSNR and SSIM.

    Raises
    ------
    ReladError
        If the window does not rise.
    """
    low, high = window
    if not high > low:
        raise ReladError(f"SUVR window [{low}, {high}] does not rise")
    return float(high) - float(low)


def to_unit(suvr: Values, window: Sequence[float]) -> Values:
    """Map SUVR to network units, ``window`` to [-1, 1].

    Parameters
    ----------
    suvr
        SUVR of any shape.
    window
        Lower and upper SUVR.

    Returns
    -------
    Array or tensor of the same type and shape, unitless.
    """
    return 2.0 * (suvr - float(window[0])) / width(window) - 1.0


def to_suvr(unit: Values, window: Sequence[float]) -> Values:
    """Inverse of :func:`to_unit`: network units of any shape back to SUVR."""
    return (unit + 1.0) * (width(window) / 2.0) + float(window[0])
