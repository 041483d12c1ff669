"""Motion between PET frames is found and undone."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine

from relad.imaging import atlas
from relad.imaging.resample import grid_points
from relad.registration import motion
from tests.helpers.registered import SHAPE, VOXEL_MM, pose, scan

AFFINE = atlas.grid_affine(SHAPE, VOXEL_MM)
BRAIN = np.array([0.0, -17.0, 5.0])


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Three noisy frames of one head that moves and whose activity falls."""
    random = np.random.default_rng(0)
    poses = (pose(2, (2, -1, 1.5)), np.eye(4), pose(-3, (-1, 2, -2)))
    return [
        level * scan("SUVR", at)[0] + random.normal(0, 0.2, SHAPE).astype(np.float32)
        for level, at in zip((1.3, 1.0, 0.8), poses, strict=True)
    ]


TRUE = (pose(2, (2, -1, 1.5)), np.eye(4), pose(-3, (-1, 2, -2)))


def test_frames_are_realigned_to_the_middle_one(frames) -> None:
    points = grid_points((5, 5, 5), atlas.grid_affine((5, 5, 5), 30.0)).reshape(-1, 3)
    found = motion.realign(frames, AFFINE)
    np.testing.assert_array_equal(found[1], np.eye(4))
    for matrix, true in zip(found, TRUE, strict=True):
        error = np.linalg.norm(apply_affine(matrix, points) - apply_affine(true, points), axis=1)
        assert error.mean() < 0.25, error.mean()


def test_the_average_is_weighted_by_duration_and_sharper_than_without_motion(frames) -> None:
    still = [np.eye(4)] * 3
    seconds = (300.0, 300.0, 600.0)
    points = grid_points(frames[0].shape, AFFINE)
    poses = motion.realign(frames, AFFINE)
    undone = motion.average_at(points, frames, AFFINE, poses, seconds)
    blurred = motion.average_at(points, frames, AFFINE, still, seconds)
    truth = scan("SUVR", np.eye(4))[0]
    level = (1.3 * 300 + 1.0 * 300 + 0.8 * 600) / 1200
    brain = truth > 0.5
    assert undone[brain].mean() == pytest.approx(level * truth[brain].mean(), rel=0.01)
    assert np.corrcoef(undone[brain], truth[brain])[0, 1] > (
        np.corrcoef(blurred[brain], truth[brain])[0, 1] + 0.02
    )


def test_one_frame_needs_no_realignment(frames) -> None:
    (only,) = motion.realign(frames[:1], AFFINE)
    np.testing.assert_array_equal(only, np.eye(4))


def test_displacement_of_a_sphere() -> None:
    assert motion.displacement_mm(np.eye(4), BRAIN) == 0
    shift = np.eye(4)
    shift[:3, 3] = (3, 4, 0)
    assert motion.displacement_mm(shift, BRAIN) == pytest.approx(5)
    # A rotation by a small angle a about an axis through the centre: rms a * r * sqrt(2 / 5).
    turn = pose(0.5, (0, 0, 0))
    turn[:3, 3] = BRAIN - turn[:3, :3] @ BRAIN
    angle = np.arccos((np.trace(turn[:3, :3]) - 1) / 2)
    assert motion.displacement_mm(turn, BRAIN) == pytest.approx(80 * angle * np.sqrt(0.4), rel=1e-3)
