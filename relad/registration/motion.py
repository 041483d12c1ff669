"""Motion between the frames of a PET scan: rigid realignment by least squares.

The frames show one tracer in one head that moved, so the differences between them are linearised
and solved for (Gauss-Newton, as in Friston et al., Hum Brain Mapp 1995). Early frames look like
perfusion, late ones like binding: each frame is taken for a mixture of the reference frame and of
its neighbour towards it, which is like it. The neighbour alone would let errors add up along the
scan, the reference alone takes a change of contrast for motion. A general registration with a
search would take a hundred times longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from scipy.spatial.transform import Rotation

from relad.imaging.resample import FWHM_PER_SIGMA, sample

#: Full widths at half maximum by which frames are smoothed before they are compared: the first
#: reaches far, the last is exact.
FWHM_MM = (16.0, 6.0)
ITERATIONS = 20
#: Motion estimates have settled when an update moves no voxel by more than this.
SETTLED_MM = 0.01
#: Frames are compared at points some 6 mm apart in the head and a rim around it.
SPACING_MM, RIM_MM = 6.0, 12.0
#: Least share of a frame's variance over these points that the mixture explains. On phantoms frames
#: of 0.8 lay within 2 mm, noise and blood reach 0.6, an image of noise alone 0.
MIN_EXPLAINED = 0.7


def smooth(frame: np.ndarray, affine: np.ndarray, fwhm_mm: float) -> np.ndarray:
    """Smooth an image (x, y, z) by a Gaussian of a full width at half maximum in mm."""
    return ndimage.gaussian_filter(frame, fwhm_mm / FWHM_PER_SIGMA / voxel_sizes(affine))


def _head_points(reference: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Points (n, 3) in mm where there is activity, and around it."""
    sizes = voxel_sizes(affine)
    head = reference > 0.2 * np.percentile(reference, 98)
    near = ndimage.distance_transform_edt(~head, sampling=sizes) < RIM_MM
    some = np.zeros(reference.shape, bool)
    steps = np.maximum(np.round(SPACING_MM / sizes), 1).astype(int)
    some[tuple(slice(None, None, step) for step in steps)] = True
    return apply_affine(affine, np.argwhere(some & near).astype(np.float64))


def _estimate(
    frame: np.ndarray,
    affine: np.ndarray,
    points: np.ndarray,
    mixture: Sequence[np.ndarray],
    start: np.ndarray,
) -> tuple[np.ndarray, list[np.ndarray], float]:
    """Find the (4, 4) map of RAS mm points from the reference to one frame.

    Parameters
    ----------
    mixture
        Per smoothing the values (n, 2) of the images that the frame is a mixture of.
    start
        (4, 4) map to begin from.

    Returns
    -------
    The map; per smoothing the frame's values (n,) there; the share of variance explained.
    """
    centre = points.mean(axis=0)
    reach = float(np.linalg.norm(points - centre, axis=1).max())
    matrix = start
    images = [smooth(frame, affine, fwhm) for fwhm in FWHM_MM]
    for image, parts in zip(images, mixture, strict=True):
        slopes = np.stack(np.gradient(image), axis=-1) @ np.linalg.inv(affine)[:3, :3]  # per mm
        for _ in range(ITERATIONS):
            moved = apply_affine(matrix, points)
            found = sample(image, affine, moved)
            slope = np.stack([sample(slopes[..., axis], affine, moved) for axis in range(3)], -1)
            # Rotation w and shift t move a point by w x (p - c) + t, its value by slope . that.
            turning = np.cross(moved - centre, slope)
            design = np.column_stack([turning, slope, -parts])
            step = np.linalg.lstsq(design, -found, rcond=1e-6)[0]
            update = np.eye(4)
            update[:3, :3] = Rotation.from_rotvec(step[:3]).as_matrix()
            update[:3, 3] = centre - update[:3, :3] @ centre + step[3:6]
            matrix = update @ matrix
            if np.linalg.norm(step[:3]) * reach + np.linalg.norm(step[3:6]) < SETTLED_MM:
                break
    values = [sample(image, affine, apply_affine(matrix, points)) for image in images]
    return matrix, values, _explained(values[-1], mixture[-1])


def _explained(values: np.ndarray, parts: np.ndarray) -> float:
    """Share of the variance of values (n,) that a mixture of others (n, k) explains."""
    total = float(((values - values.mean()) ** 2).sum())
    left = values - parts @ np.linalg.lstsq(parts, values, rcond=1e-6)[0]
    return 1 - float((left**2).sum()) / total if total > 0 else 0.0


def realign(
    frames: Sequence[np.ndarray], affine: np.ndarray, reference: int | None = None
) -> list[np.ndarray | None]:
    """Estimate the head's motion between PET frames.

    Parameters
    ----------
    frames
        Images (x, y, z) of one scan, in the order of time.
    affine
        Their (4, 4) voxel to RAS mm affine.
    reference
        Index of the frame to which the others are compared; the middle one by default.

    Returns
    -------
    For each frame the (4, 4) map of RAS mm points from the reference frame to that frame; None for
    a frame that shows too little of the head to be realigned. From the reference outwards each
    frame is begun at the pose of the one before it, so that a slow drift may go far.
    """
    reference = len(frames) // 2 if reference is None else reference
    smoothed = [smooth(frames[reference], affine, fwhm) for fwhm in FWHM_MM]
    points = _head_points(smoothed[-1], affine)
    fixed = [sample(image, affine, points) for image in smoothed]
    poses: list[np.ndarray | None] = [None] * len(frames)
    poses[reference] = np.eye(4)
    for way in (range(reference + 1, len(frames)), range(reference - 1, -1, -1)):
        pose, beside = np.eye(4), fixed
        for index in way:
            mixture = [np.column_stack(parts) for parts in zip(fixed, beside, strict=True)]
            found, values, explained = _estimate(frames[index], affine, points, mixture, pose)
            if explained >= MIN_EXPLAINED:
                poses[index] = pose = found
                beside = values
    return poses


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


def motion_at(matrix: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Translation (3,) in mm of a point under a rigid (4, 4) map, and the map's rotation.

    The rotation is a vector (3,) in degrees about the axes x (right), y (front) and z (top).
    """
    turn = Rotation.from_matrix(matrix[:3, :3]).as_rotvec(degrees=True)
    return apply_affine(matrix, centre) - centre, turn
