"""Sampling an image at points in millimetres, once, wherever the transforms lead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

#: Full width at half maximum of a Gaussian in standard deviations, sqrt(8 ln 2), as it was rounded
#: when the first numbers were published.
FWHM_PER_SIGMA = 2.3548
#: Standard deviation of a Gaussian, in voxels, whose full width at half maximum is one voxel.
SIGMA_PER_VOXEL = 0.42


def grid_points(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """Centres (x, y, z, 3) in mm of the voxels of a grid."""
    return apply_affine(affine, np.stack(np.indices(shape), axis=-1).astype(np.float64))


def inside(shape: Sequence[int], affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points (..., 3) in mm lie within the outermost voxel centres of a grid."""
    index = apply_affine(np.linalg.inv(affine), points)
    return ((index >= -1e-3) & (index <= np.asarray(shape) - 1 + 1e-3)).all(axis=-1)


def sample(
    data: np.ndarray, affine: np.ndarray, points: np.ndarray, *, order: int = 1
) -> np.ndarray:
    """Interpolate an image at points.

    Parameters
    ----------
    data
        (x, y, z) image whose voxels have the (4, 4) ``affine`` to mm.
    points
        (..., 3) in mm, in the image's own space.
    order
        0 for the nearest voxel, 1 for linear, 3 for cubic spline interpolation.

    Returns
    -------
    (...) float32 array, falling to 0 within one voxel outside the image.
    """
    index = np.moveaxis(apply_affine(np.linalg.inv(affine), points), -1, 0)
    return at_voxels(data, index, order=order)


def at_voxels(data: np.ndarray, index: np.ndarray, *, order: int = 1) -> np.ndarray:
    """As :func:`sample`, at places (3, ...) in voxels."""
    return ndimage.map_coordinates(
        data, index, order=order, mode="grid-constant", cval=0.0, output=np.float32
    )


def to_grid(
    data: np.ndarray,
    affine: np.ndarray,
    shape: Sequence[int],
    target: np.ndarray,
    *,
    mode: str = "grid-constant",
) -> np.ndarray:
    """Interpolate an image (x, y, z) linearly onto another grid of its own space.

    As :func:`sample` at the grid's points, which for voxels of half a millimetre are gigabytes.

    Parameters
    ----------
    data, affine
        Image and its (4, 4) voxel to mm affine.
    shape, target
        Voxels of the other grid, and its affine.
    mode
        What lies outside, see :func:`scipy.ndimage.affine_transform`.

    Returns
    -------
    (x, y, z) float32.
    """
    index = np.linalg.inv(affine) @ target
    return ndimage.affine_transform(
        data, index[:3, :3], index[:3, 3], output_shape=tuple(shape), order=1, mode=mode,
        output=np.float32,
    )  # fmt: skip


def finer_than(affine: np.ndarray, voxel_mm: float) -> bool:
    """Whether voxels are finer than this along any axis, by more than rounding."""
    return bool((voxel_sizes(affine) < 0.99 * voxel_mm).any())


def limit_resolution(data: np.ndarray, affine: np.ndarray, voxel_mm: float) -> np.ndarray:
    """Smooth an image so that it can be sampled on a grid of ``voxel_mm`` without aliasing.

    Along each axis that is finer than the grid, a Gaussian widens the voxel (full width at half
    maximum of one voxel) to the grid's; axes that are as coarse already stay as they are.
    """
    wider = np.maximum(voxel_mm**2 - voxel_sizes(affine) ** 2, 0.0)
    sigma = SIGMA_PER_VOXEL * np.sqrt(wider) / voxel_sizes(affine)
    return ndimage.gaussian_filter(np.asarray(data, np.float32), sigma)
