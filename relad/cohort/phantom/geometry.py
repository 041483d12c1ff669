"""Poses and voxel grids. Every affine and point is in scanner RAS millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage


def rotation(angles_deg: np.ndarray) -> np.ndarray:
    """Rotation about x, then y, then z by ``angles_deg`` (3,), as a (3, 3) matrix."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(angles_deg)):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def rigid(angles_deg: np.ndarray, shift_mm: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Rigid (4, 4) map that turns about ``centre`` (3,) and then shifts by ``shift_mm`` (3,)."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(angles_deg)
    matrix[:3, 3] = centre + shift_mm - matrix[:3, :3] @ centre
    return matrix


def random_rigid(
    rng: np.random.Generator, max_deg: float, max_mm: float, centre: np.ndarray
) -> np.ndarray:
    """Rigid map with angles and shifts uniform in [-max, max] per axis."""
    return rigid(rng.uniform(-max_deg, max_deg, 3), rng.uniform(-max_mm, max_mm, 3), centre)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points (..., 3) by a (4, 4) affine, in the points' precision."""
    matrix = np.asarray(matrix, points.dtype)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


#: Directions in RAS of a DICOM image's columns (i), rows (j) and slices (k).
SAGITTAL = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]).T
AXIAL = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]).T


@dataclass(frozen=True)
class Grid:
    """Voxels of a scan: column i, row j, slice k.

    Attributes
    ----------
    shape
        (columns, rows, slices).
    affine
        (4, 4), voxel index (i, j, k) to scanner RAS mm.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    @classmethod
    def centred(
        cls,
        shape: tuple[int, int, int],
        voxel_mm: tuple[float, float, float],
        directions: np.ndarray,
        centre: np.ndarray,
    ) -> Grid:
        """Grid whose middle is at ``centre`` (3,), its axes the columns of ``directions`` (3, 3).

        Positions are rounded to what a DICOM header holds (1e-4 mm), so that header and voxels
        agree.
        """
        affine = np.eye(4)
        affine[:3, :3] = directions * np.asarray(voxel_mm)
        affine[:3, 3] = centre - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
        affine[:3, 3] = np.round(affine[:3, 3], 4)
        return cls(shape, affine)

    @property
    def voxel_mm(self) -> np.ndarray:
        """Voxel edges (3,) in mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def points(self, stride: int = 1) -> np.ndarray:
        """RAS positions (ceil(n / stride) + 1 per axis, 3) of every ``stride``-th voxel."""
        counts = self.shape if stride == 1 else [-(-n // stride) + 1 for n in self.shape]
        axes = [np.arange(count) * stride for count in counts]
        index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(float)
        return apply(self.affine, index)


def refine(field: np.ndarray, shape: tuple[int, int, int], stride: int) -> np.ndarray:
    """Interpolate a smooth field linearly from every ``stride``-th voxel to all voxels.

    Parameters
    ----------
    field
        (a, b, c, m) values at the positions of :meth:`Grid.points`.
    shape
        Voxels (x, y, z) of the full grid.

    Returns
    -------
    (x, y, z, m) float32.
    """
    field = field.astype(np.float32)
    for axis, count in enumerate(shape):
        position = np.arange(count) / stride
        below = position.astype(int)
        share = (position - below).astype(np.float32)
        share = share.reshape([-1 if a == axis else 1 for a in range(field.ndim)])
        low, high = np.take(field, below, axis), np.take(field, below + 1, axis)
        field = low + share * (high - low)
    return field


def sample(
    volumes: Sequence[np.ndarray],
    affine: np.ndarray,
    points: np.ndarray,
    *,
    order: int = 1,
    outside: float = 0,
) -> np.ndarray:
    """Interpolate volumes of one grid at RAS points.

    Parameters
    ----------
    volumes
        m arrays (x, y, z) whose voxels have the (4, 4) ``affine``.
    points
        (..., 3) in mm.
    order
        1 for linear interpolation, 0 for the nearest voxel.
    outside
        Value beyond the volume's edge.

    Returns
    -------
    (m, ...) float32.
    """
    index = np.moveaxis(apply(np.linalg.inv(affine), points), -1, 0).astype(np.float32)
    return np.stack(
        [
            ndimage.map_coordinates(
                volume, index, order=order, mode="constant", cval=outside,
                output=np.float32, prefilter=False,
            )
            for volume in volumes
        ]
    )  # fmt: skip


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma_voxels: float
) -> np.ndarray:
    """Gaussian random field (float32) of unit variance, smoothed by ``sigma_voxels``."""
    field = ndimage.gaussian_filter(
        rng.standard_normal(shape, dtype=np.float32), sigma_voxels, truncate=3.0, mode="wrap"
    )
    return field / field.std()
