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
    found = motion.realign(frames, AFFINE)
    np.testing.assert_array_equal(found[1], np.eye(4))
    for matrix, true in zip(found, TRUE, strict=True):
        assert error(matrix, true) < 0.25, error(matrix, true)


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


#: Of a scan from the injection on: share of perfusion in the image, level, planted motion (degrees
#: and mm). The fifth frame is the reference.
SCAN = (
    (1.0, 1.6, 10, (-10, 8, 6)),
    (0.8, 1.4, 8, (9, -9, 4)),
    (0.5, 1.2, -6, (5, 5, -7)),
    (0.2, 1.1, 5, (3, -3, 3)),
    (0.0, 1.0, 0, (0, 0, 0)),
    (0.0, 0.9, -10, (8, 10, -8)),
)


def error(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance in mm of two maps over a head."""
    points = grid_points((5, 5, 5), atlas.grid_affine((5, 5, 5), 30.0)).reshape(-1, 3)
    return float(
        np.linalg.norm(apply_affine(found, points) - apply_affine(true, points), axis=1).mean()
    )


@pytest.fixture(scope="module")
def dynamic() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames of :data:`SCAN`, noisy, and the true maps from the reference to each."""
    random = np.random.default_rng(1)
    frames, poses = [], [pose(degrees, shift) for *_, degrees, shift in SCAN]
    for (early, level, *_), at in zip(SCAN, poses, strict=True):
        perfusion, late = scan("FLAIR", at)[0] / 200, scan("SUVR", at)[0]
        clean = level * (early * perfusion + (1 - early) * late)
        frames.append(clean + random.normal(0, 0.3, SHAPE).astype(np.float32))
    return frames, poses


def test_large_motion_is_found_whatever_the_contrast(dynamic) -> None:
    frames, poses = dynamic
    found = motion.realign(frames, AFFINE, reference=4)
    np.testing.assert_array_equal(found[4], np.eye(4))
    for index, true in enumerate(poses):
        assert error(found[index], true) < 1.0, (index, error(found[index], true))
    # Who realigns nothing is off by far more: these frames moved by 6 to 20 mm.
    assert min(error(np.eye(4), true) for i, true in enumerate(poses) if i != 4) > 6.0


def test_a_drift_is_followed_further_than_one_step_reaches() -> None:
    """Each frame begins where the one before it ended; the last has moved by 80 mm."""
    steps = [pose(0, (20.0 * k, 0, 0)) for k in range(5)]
    frames = [scan("SUVR", np.linalg.inv(steps[2]) @ at)[0] for at in steps]
    found = motion.realign(frames, AFFINE, reference=0)
    assert all(error(f, s) < 0.5 for f, s in zip(found, steps, strict=True))
    assert motion.realign([frames[0], frames[4]], AFFINE, reference=0)[1] is None


def test_frames_that_show_no_head_are_told_and_passed_over(dynamic) -> None:
    frames, poses = list(dynamic[0]), dynamic[1]
    random = np.random.default_rng(2)
    frames[1] = random.normal(0, 1, SHAPE).astype(np.float32)
    frames[3] = np.zeros(SHAPE, np.float32)
    found = motion.realign(frames, AFFINE, reference=4)
    assert [index for index, at in enumerate(found) if at is None] == [1, 3]
    for index in (0, 2, 5):
        assert error(found[index], poses[index]) < 1.0, index


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


def test_motion_about_a_point_in_numbers() -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[0, -1], [1, 0]]  # 90 degrees about z through the origin
    shift, rotation = motion.motion_at(turn, np.array([10.0, 0, 0]))
    np.testing.assert_allclose(shift, (-10, 10, 0), atol=1e-12)
    np.testing.assert_allclose(rotation, (0, 0, 90), atol=1e-12)
