"""Whether two images lie on one grid, so that voxels may be compared by index."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relad.errors import DataError

#: How far (mm) the corners of two equal grids may lie apart: NIfTI keeps affines as float32.
TOLERANCE_MM = 0.01


def require_same_grid(
    shape: tuple[int, ...],
    affine: np.ndarray,
    other_shape: tuple[int, ...],
    other_affine: np.ndarray,
    *,
    file: str | Path,
    other: str | Path,
) -> None:
    """Raise unless both images have one shape and their corners lie at the same places.

    Parameters
    ----------
    shape, other_shape
        Voxels along x, y, z.
    affine, other_affine
        (4, 4) arrays, voxel index to RAS mm.
    file, other
        What the message names.

    Raises
    ------
    DataError
        Where the grids differ.
    """
    if tuple(shape) != tuple(other_shape):
        raise DataError(
            f"has shape {tuple(map(int, shape))}, but {other} has {tuple(map(int, other_shape))}",
            file=file,
            hint="resample one to the other's grid",
        )
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], (1,), indexing="ij"))
    corners = corners.reshape(4, -1)
    apart = np.linalg.norm((np.asarray(affine) - np.asarray(other_affine)) @ corners, axis=0).max()
    if not apart <= TOLERANCE_MM:
        raise DataError(
            f"its affine differs from that of {other}: corners lie up to {apart:.3g} mm apart",
            file=file,
            hint="resample one to the other's grid",
        )
