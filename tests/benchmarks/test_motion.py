"""The benchmark of realignment: what it plants is what it asks for."""

from __future__ import annotations

import numpy as np
from nibabel.affines import apply_affine

from benchmarks.motion import HEAD, Scan, measure
from relad.imaging import atlas
from relad.registration import motion
from relad.registration.inputs import Frames
from tests.helpers.registered import SHAPE, VOXEL_MM, pose, scan

AFFINE = atlas.grid_affine(SHAPE, VOXEL_MM)


def test_planted_motion_is_the_truth_and_is_found() -> None:
    poses = [pose(2, (1, 0, 0)), np.eye(4), pose(-2, (0, 1, 0))]
    frames = [scan("SUVR", at)[0] for at in poses]
    told = Frames([1, 2], [0.0, 300.0, 600.0], [300.0] * 3)
    assert told.reference == 2
    of_two = list(
        measure(Scan(frames, AFFINE, poses, told), (10, 5, 0.1), np.random.default_rng(0))
    )
    assert [inside for inside, *_ in of_two] == [False, True]
    for _, true, found, centre in of_two:
        assert 10 < motion.displacement_mm(true, centre) < 20
        points = HEAD + centre
        off = apply_affine(found, points) - apply_affine(true, points)
        assert np.linalg.norm(off, axis=1).mean() < 0.6
