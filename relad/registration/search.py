"""A start for a rigid registration: coarse search over poses by normalised mutual information.

A local optimiser finds its way from some 15 mm and 15 degrees. Headers may be further off than
that (a scan exported with its own origin), and so may the centre of intensity (a field of view
that ends at the eyes, or reaches the shoulders). So both are tried, each turned either way about
each axis, the best few are led uphill, and registration starts from the winner.
"""

from __future__ import annotations

from collections.abc import Sequence

import ants
import numpy as np
from nibabel.affines import apply_affine

from relad.imaging.resample import at_voxels, grid_points, limit_resolution, sample
from relad.imaging.similarity import normalized_mutual_information, rigid
from relad.registration import engine

VOXEL_MM = 6.0
TURN_DEG = 20.0
#: Heads are pitched further than they are turned: further turns for those who want them.
PITCHES_DEG = (-40.0, 40.0)
#: How many starts are led uphill, and the steps that this takes (mm and degrees alike).
KEPT, STEPS = 4, (8.0, 4.0)
#: A pose that shows less of the fixed image's points than this in the moving image is no match.
MIN_SHARE = 0.4


class _Score:
    """Similarity of two images under a (4, 4) map of RAS mm points from fixed to moving."""

    def __init__(self, fixed: ants.ANTsImage, moving: ants.ANTsImage, mask: np.ndarray | None):
        affine = engine.affine_of(fixed)
        data = fixed.numpy()
        points = _lattice(fixed.shape, affine)
        if mask is not None:
            points = points[sample(mask.astype(np.float32), affine, points) > 0.5]
        self.values = sample(limit_resolution(data, affine, VOXEL_MM), affine, points)
        self.affine = engine.affine_of(moving)
        self.moving = limit_resolution(moving.numpy(), self.affine, VOXEL_MM)
        self.inverse = np.linalg.inv(self.affine)
        self.last = np.asarray(self.moving.shape)[:, None] - 1
        self.centre = points.mean(axis=0)
        self.points = np.vstack([points.T, np.ones(len(points))])

    def __call__(self, matrix: np.ndarray) -> float:
        index = (self.inverse @ matrix)[:3] @ self.points
        seen = ((index >= 0) & (index <= self.last)).all(axis=0)
        if seen.mean() < MIN_SHARE:
            return 0.0
        found = at_voxels(self.moving, index[:, seen])
        return normalized_mutual_information(self.values[seen], found)


def _lattice(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Points (n, 3) in mm some :data:`VOXEL_MM` apart over a grid."""
    stride = np.maximum(np.round(VOXEL_MM / np.linalg.norm(affine[:3, :3], axis=0)), 1).astype(int)
    count = [-(-size // step) for size, step in zip(shape, stride, strict=True)]
    coarse = affine.copy()
    coarse[:3, :3] = affine[:3, :3] * stride
    return grid_points(count, coarse).reshape(-1, 3)


def _centre(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Centre of intensity (3,) in mm."""
    weight = np.clip(image, 0, None)
    total = float(weight.sum())
    index = [
        float((weight.sum(axis=tuple(a for a in range(3) if a != axis)) @ np.arange(size)) / total)
        for axis, size in enumerate(image.shape)
    ]
    return apply_affine(affine, np.array(index))


def start(
    fixed: ants.ANTsImage,
    moving: ants.ANTsImage,
    *,
    mask: np.ndarray | None = None,
    centre_of: np.ndarray | None = None,
    pitches_deg: Sequence[float] = (),
) -> tuple[np.ndarray, float]:
    """Find a pose from which to register.

    Parameters
    ----------
    fixed, moving
        Images of one person.
    mask
        (x, y, z) boolean on the grid of ``fixed``: the part to be compared.
    centre_of
        (x, y, z) image on the grid of ``fixed`` whose centre of intensity is laid on that of
        ``moving``; by default ``fixed`` itself.
    pitches_deg
        Further turns about the axis from left to right that are tried.

    Returns
    -------
    (4, 4) map of RAS mm points from fixed to moving, and its normalised mutual information.
    """
    score = _Score(fixed, moving, mask)
    here = _centre(fixed.numpy() if centre_of is None else centre_of, engine.affine_of(fixed))
    to_moving = np.eye(4)
    to_moving[:3, 3] = _centre(moving.numpy(), score.affine) - here
    turns = [np.zeros(3), *(TURN_DEG * np.vstack([np.eye(3), -np.eye(3)]))]
    turns += [np.array([pitch, 0.0, 0.0]) for pitch in pitches_deg]
    tried = [
        base @ rigid(turn, np.zeros(3), score.centre) for base in (np.eye(4), to_moving)
        for turn in turns
    ]  # fmt: skip
    order = np.argsort([-score(matrix) for matrix in tried], kind="stable")
    found = [_uphill(score, tried[i]) for i in order[:KEPT]]
    highest, matrix = max(found, key=lambda pair: pair[0])
    return matrix, highest


def best(
    fixed: ants.ANTsImage, moving: ants.ANTsImage, poses: Sequence[np.ndarray], mask: np.ndarray
) -> np.ndarray:
    """The one of several (4, 4) poses by which two images match best inside a mask."""
    score = _Score(fixed, moving, mask)
    return max(poses, key=score)


def _uphill(score: _Score, matrix: np.ndarray) -> tuple[float, np.ndarray]:
    """Pattern search: the best of 12 small moves, again and again, then with smaller ones."""
    best = score(matrix)
    for step in STEPS:
        for _ in range(12):
            moves = [
                matrix @ rigid(turn, shift, score.centre)
                for unit in (*np.eye(3), *-np.eye(3))
                for turn, shift in ((step * unit, np.zeros(3)), (np.zeros(3), step * unit))
            ]
            scores = [score(move) for move in moves]
            if max(scores) <= best:
                break
            best = max(scores)
            matrix = moves[int(np.argmax(scores))]
    return best, matrix
