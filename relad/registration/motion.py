"""Motion between the frames of a PET scan: rigid realignment by least squares.

The frames show one tracer in one head that moved a little, so the differences between them are
linearised and solved for (Gauss-Newton, as in Friston et al., Hum Brain Mapp 1995), together with
one factor per frame for its overall level. A general registration with a search would take a
hundred times longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from scipy.spatial.transform import Rotation

from relad.imaging.resample import FWHM_PER_SIGMA, sample

#: Frames are smoothed by this full width at half maximum before they are compared.
FWHM_MM = 6.0
ITERATIONS = 12
#: Motion estimates have settled when an update moves no voxel by more than this.
SETTLED_MM = 0.01


def smooth(frame: np.ndarray, affine: np.ndarray, fwhm_mm: float = FWHM_MM) -> np.ndarray:
    """Smooth an image (x, y, z) by a Gaussian of a full width at half maximum in mm."""
    return ndimage.gaussian_filter(frame, fwhm_mm / FWHM_PER_SIGMA / voxel_sizes(affine))


def _head_points(reference: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Every second voxel (n, 3) in mm along each axis where there is activity."""
    some = np.zeros(reference.shape, bool)
    some[::2, ::2, ::2] = True
    some &= reference > 0.2 * np.percentile(reference, 98)
    return apply_affine(affine, np.argwhere(some).astype(np.float64))


def _estimate(
    reference: np.ndarray, frame: np.ndarray, affine: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Find the (4, 4) map of RAS mm points from the reference to one frame, both smoothed."""
    centre = points.mean(axis=0)
    wanted = sample(reference, affine, points)
    slopes = np.stack(np.gradient(frame), axis=-1) @ np.linalg.inv(affine)[:3, :3]  # per mm
    reach = float(np.linalg.norm(points - centre, axis=1).max())
    matrix = np.eye(4)
    for _ in range(ITERATIONS):
        moved = apply_affine(matrix, points)
        found = sample(frame, affine, moved)
        slope = np.stack([sample(slopes[..., axis], affine, moved) for axis in range(3)], axis=-1)
        # Rotation w and shift t move a point by w x (p - c) + t, its value by slope . that.
        turning = np.cross(moved - centre, slope)
        design = np.column_stack([turning, slope, -wanted])
        step = np.linalg.lstsq(design, -found, rcond=None)[0]
        update = np.eye(4)
        update[:3, :3] = Rotation.from_rotvec(step[:3]).as_matrix()
        update[:3, 3] = centre - update[:3, :3] @ centre + step[3:6]
        matrix = update @ matrix
        if np.linalg.norm(step[:3]) * reach + np.linalg.norm(step[3:6]) < SETTLED_MM:
            break
    return matrix


def realign(frames: Sequence[np.ndarray], affine: np.ndarray) -> list[np.ndarray]:
    """Estimate the head's motion between PET frames.

    Parameters
    ----------
    frames
        Images (x, y, z) of one scan; the middle one is the reference.
    affine
        Their (4, 4) voxel to RAS mm affine.

    Returns
    -------
    For each frame the (4, 4) map of RAS mm points from the reference frame to that frame.
    """
    reference = len(frames) // 2
    smoothed = [smooth(frame, affine) for frame in frames]
    points = _head_points(smoothed[reference], affine)
    return [
        np.eye(4) if index == reference else _estimate(smoothed[reference], frame, affine, points)
        for index, frame in enumerate(smoothed)
    ]


def average_at(
    points: np.ndarray,
    frames: Iterable[np.ndarray],
    affine: np.ndarray,
    motion: Sequence[np.ndarray],
    seconds: Sequence[float],
) -> np.ndarray:
    """Mean of realigned frames, weighted by duration, each frame interpolated once.

    Parameters
    ----------
    points
        (..., 3) in mm of the reference frame.
    frames
        Images (x, y, z) on one grid, made one at a time where they are large.
    affine
        Their (4, 4) voxel to RAS mm affine.
    motion
        Per frame the (4, 4) map of points from the reference frame to it, see :func:`realign`.
    seconds
        Durations of the frames.

    Returns
    -------
    (...) float32.
    """
    total = np.zeros(points.shape[:-1], np.float32)
    for frame, matrix, duration in zip(frames, motion, seconds, strict=True):
        total += np.float32(duration) * sample(frame, affine, apply_affine(matrix, points))
    return total / np.float32(sum(seconds))


def displacement_mm(matrix: np.ndarray, centre: np.ndarray, radius_mm: float = 80.0) -> float:
    """Root mean square displacement in mm of a sphere like a head under a rigid map.

    Parameters
    ----------
    matrix
        (4, 4) map of mm points.
    centre
        (3,) of the sphere, in mm.
    radius_mm
        Of the sphere.

    References
    ----------
    Jenkinson, FMRIB technical report TR99MJ1 (1999).
    """
    difference = matrix - np.eye(4)
    shift = difference[:3, :3] @ centre + difference[:3, 3]
    rotation = np.trace(difference[:3, :3].T @ difference[:3, :3])
    return float(np.sqrt(radius_mm**2 / 5 * rotation + shift @ shift))
