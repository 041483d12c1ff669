"""Intensities of an MRI as methods are given them."""

from __future__ import annotations

import numpy as np

from relad.errors import DataError

#: Intensities further than this from the brain's median, in standard deviations, are clipped.
CLIP_SD = 3.0
#: Standard deviation of a normal distribution with a median absolute deviation of one.
SD_PER_MAD = 1.4826


def standardized_mri(data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Bring an MRI of arbitrary units to [-1, 1] by its robust z-score inside the brain.

    Parameters
    ----------
    data
        (x, y, z) intensities.
    mask
        (x, y, z) bool, brain.

    Returns
    -------
    (x, y, z) float32, -1 outside the brain.

    Raises
    ------
    DataError
        If more than half of the brain has one value.
    """
    brain = data[mask]
    median = np.median(brain)
    spread = SD_PER_MAD * np.median(np.abs(brain - median))
    if spread == 0:
        raise DataError("more than half of the brain has one intensity")
    z = np.clip((data - median) / spread, -CLIP_SD, CLIP_SD) / CLIP_SD
    return np.where(mask, z, -1.0).astype(np.float32)
