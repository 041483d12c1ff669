"""Gaussian filters along the axes of a volume, as products of matrices.

A filter along an axis is linear: an (n, n) matrix of an axis of n voxels, SciPy's own filter of the
unit vectors, edges included. Along axes as short as PET's such products are quicker than sums over
taps, twice at 40 x 48 x 40 voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy


@lru_cache(maxsize=64)
def filter_of(voxels: int, sigma: float, radius: int, mode: str, order: int = 0) -> np.ndarray:
    """Matrix (n, n) of SciPy's ``gaussian_filter1d`` along an axis of n voxels."""
    unit = np.eye(voxels)
    return scipy.ndimage.gaussian_filter1d(
        unit, sigma, axis=0, order=order, mode=mode, radius=radius
    )


def along_x(matrix: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Apply a matrix (n, n) along the first axis of an image (n, y, z)."""
    return (matrix @ image.reshape(len(image), -1)).reshape(image.shape)


def filtered(image: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Apply the matrices of the three axes to an image (x, y, z)."""
    x, y, z = matrices
    return (y @ along_x(x, image)) @ z.T
