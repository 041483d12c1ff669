"""Mean SUVR of a region, in the synthetic image and in the real one.

No comparison by itself: what regions tell of a method is the agreement of the two over people, see
:mod:`relad.results.agreement`. Arrays as in :func:`relad.results.metrics.voxelwise.psnr`; all
voxels of the region count alike. Checked by who compares, once for all of a region's metrics.
"""

from __future__ import annotations

import numpy as np


def suvr(
    prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, data_range: float = 1.0
) -> float:
    """Mean of the synthetic image over the mask, in its unit."""
    return float(prediction[mask].mean(dtype=np.float64))


def suvr_true(
    prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, data_range: float = 1.0
) -> float:
    """Mean of the real image over the mask, in its unit."""
    return float(truth[mask].mean(dtype=np.float64))
