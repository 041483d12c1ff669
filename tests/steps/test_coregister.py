"""`relad coregister`: frames of a PET, far starts, and what is refused."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from relad import cli
from relad.fileio import write_json
from relad.imaging import atlas
from relad.imaging.nifti import save_nifti
from relad.imaging.resample import grid_points
from relad.imaging.similarity import pose_margin, rigid
from relad.registration import engine, search
from relad.registration.transforms import read_affine
from relad.status import is_simulated
from tests.helpers.registered import SHAPE, VOXEL_MM, pose, scan

AFFINE = atlas.grid_affine(SHAPE, VOXEL_MM)
TO_PET = pose(-7, (14, -9, 6))


def error_mm(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    points = grid_points((5, 5, 5), atlas.grid_affine((5, 5, 5), 30.0)).reshape(-1, 3)
    return np.linalg.norm(apply_affine(found, points) - apply_affine(true, points), axis=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A T1w, its brain mask, and a PET of three frames that moved and of one that is noise."""
    folder = tmp_path_factory.mktemp("coregister")
    random = np.random.default_rng(0)
    save_nifti(folder / "t1w.nii.gz", scan("T1w", np.eye(4))[0], AFFINE)
    save_nifti(folder / "mask.nii.gz", scan("brain", np.eye(4))[0] > 0.5, AFFINE)
    poses = [pose(2, (2, -1, 1)), np.eye(4), pose(-2, (-1, 2, -2))]
    frames = [scan("SUVR", moved @ TO_PET)[0] for moved in poses]
    noise = np.abs(random.normal(0, 1, SHAPE)).astype(np.float32)
    save_nifti(folder / "dynamic_pet.nii.gz", np.stack([noise, *frames], axis=-1), AFFINE)
    told = {"FrameDuration": [60, 300, 300, 600], "Simulated": True}
    write_json(folder / "dynamic_pet.json", told)
    return folder


def coregister(folder: Path, out: Path, *words: str) -> int:
    return cli.main(["coregister", *words, "--transform", str(out)])


def test_a_dynamic_pet_is_realigned_averaged_and_registered(folder, tmp_path) -> None:
    words = [str(folder / "t1w.nii.gz"), str(folder / "dynamic_pet.nii.gz")]
    words += ["--mask", str(folder / "mask.nii.gz"), "--frames", "1", "3"]
    resampled = ["--resampled", str(tmp_path / "pet.nii.gz")]
    assert coregister(folder, tmp_path / "pet.mat", *words, *resampled) == 0
    found = read_affine(tmp_path / "pet.mat")
    assert error_mm(found, TO_PET).max() < 1.5
    there = nib.load(tmp_path / "pet.nii.gz")
    truth = scan("SUVR", np.eye(4))[0]
    brain = truth > 0.5
    assert np.corrcoef(there.get_fdata()[brain], truth[brain])[0, 1] > 0.9
    assert is_simulated(tmp_path / "pet.nii.gz")  # as the image that moved
    # Same input, same bytes.
    assert coregister(folder, tmp_path / "again.mat", *words) == 0
    assert (tmp_path / "again.mat").read_bytes() == (tmp_path / "pet.mat").read_bytes()


@pytest.mark.parametrize(
    ("moving", "words", "said"),
    [
        ("dynamic_pet", ["--frames", "2", "4"], "has frames 0 to 3, not 2 to 4"),
        ("series", [], "4 dimensions"),
        ("empty_pet", [], "frame 0 is empty -- leave it out by --frames"),
        ("none", [], "no such image"),
    ],
)
def test_what_cannot_be_registered_is_refused(
    folder, tmp_path, capsys, moving: str, words: list, said: str
) -> None:
    data = np.asarray(nib.load(folder / "dynamic_pet.nii.gz").dataobj)
    save_nifti(folder / "series.nii.gz", data, AFFINE)
    save_nifti(folder / "empty_pet.nii.gz", data * [0, 1, 1, 1], AFFINE)
    words = [str(folder / "t1w.nii.gz"), str(folder / f"{moving}.nii.gz"), *words]
    assert coregister(folder, tmp_path / "x.mat", *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.mat").exists()


def test_what_does_not_fit_is_not_written_unless_forced(folder, tmp_path, capsys) -> None:
    """Noise has no pose."""
    noise = np.random.default_rng(1).uniform(0, 100, SHAPE).astype(np.float32)
    save_nifti(folder / "noise.nii.gz", noise, AFFINE)
    words = [str(folder / "t1w.nii.gz"), str(folder / "noise.nii.gz"), "--voxel-mm", "6"]
    assert coregister(folder, tmp_path / "x.mat", *words) == 2
    assert "the registration failed" in capsys.readouterr().err
    assert not (tmp_path / "x.mat").exists()
    assert coregister(folder, tmp_path / "x.mat", *words, "--force") == 0
    assert (tmp_path / "x.mat").exists()


@pytest.mark.parametrize("matrix", [pose(25, (40, -30, 25)), pose(-20, (-10, 60, -50))])
def test_a_far_start_is_found(matrix: np.ndarray) -> None:
    fixed, moving = scan("T1w", np.eye(4))[0], scan("FLAIR", np.eye(4))[0]
    images = engine.to_ants(fixed, AFFINE), engine.to_ants(moving, matrix @ AFFINE)
    found, _ = search.start(*images)
    # Near enough for the local optimiser.
    assert error_mm(found, matrix).max() < 12


def test_the_margin_of_a_pose_falls_below_zero_away_from_it() -> None:
    fixed, moving = scan("T1w", np.eye(4))[0], scan("SUVR", np.eye(4))[0]
    index = np.argwhere(fixed > fixed.mean())[::7]
    points, values = apply_affine(AFFINE, index.astype(float)), fixed[tuple(index.T)]
    centre = points.mean(axis=0)

    def margin(turn: tuple, shift: tuple) -> float:
        moved = rigid(np.array(turn), np.array(shift), centre)
        return pose_margin(points, values, moving, AFFINE, moved)[0]

    assert margin((0, 0, 0), (0, 0, 0)) > 0.02
    assert margin((0, 0, 0), (5, 5, 5)) < 0
    assert margin((0, 12, 0), (0, 0, 0)) < 0
