"""One tracer's PET on its way through registration: which frames are realigned, averaged, told."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad.errors import DataError
from relad.fileio import read_json, write_json
from relad.imaging.nifti import save_nifti
from relad.registration import engine, rigid
from relad.registration.subject import Subject
from relad.registration.transforms import pet_names, write_affine
from relad.study.settings import RegisterSettings
from tests.helpers.registered import SHAPE, pose, scan
from tests.helpers.settings import of, tracer

NAMES = pet_names("S1", "tau")
#: Planted motion of each frame (degrees and mm); the window holds frames 2, 3 and 4.
POSES = [
    pose(degrees, shift)
    for degrees, shift in (
        *((6, (6, -4, 3)), (-4, (5, 5, -5)), (5, (-6, 3, 4))),
        *((0, (0, 0, 0)), (-6, (4, -6, 5))),
    )
]
META = {
    "InjectionStart": 0.0,
    "FrameTimesStart": [3600.0, 4200.0, 4800.0, 5200.0, 5600.0],
    "FrameDuration": [600.0, 600.0, 400.0, 400.0, 400.0],
    "ImageDecayCorrected": True,
}


@pytest.fixture
def frames() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        level * scan("SUVR", at)[0] + random.normal(0, 0.2, SHAPE).astype(np.float32)
        for level, at in zip((1.5, 1.3, 1.1, 1.0, 0.9), POSES, strict=True)
    ]


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Register a PET of frames; to the T1w it needs no registration, which is another's test."""

    def in_place(t1w, brain, pet, affine, prefix, *, seed):
        write_affine(f"{prefix}0GenericAffine.mat", np.eye(4))

    monkeypatch.setattr(rigid, "pet_to_t1w", in_place)
    brain, affine = scan("brain", np.eye(4))

    def run(frames: list[np.ndarray], **options) -> tuple[Path, dict]:
        file = tmp_path / "tau_pet.nii.gz"
        save_nifti(file, np.stack(frames, axis=-1), affine)
        write_json(tmp_path / "tau_pet.json", META)
        out, scratch = tmp_path / "out", tmp_path / "scratch"
        out.mkdir(), scratch.mkdir()
        settings = of(
            RegisterSettings, tracers={"tau": tracer("AV1451")}, registration=options or {}
        )
        subject = Subject(tmp_path, "S1", settings)
        t1w = engine.to_ants(brain, affine)
        return out, subject._pet("tau", file, t1w, brain > 0.5, out, scratch)

    return run


def likeness(folder: Path) -> float:
    """Correlation of the mean PET with the head in the pose of the reference frame."""
    true = scan("SUVR", POSES[3])[0]
    brain = true > 0.5
    mean = nib.load(folder / NAMES["mean"]).get_fdata()
    return float(np.corrcoef(mean[brain], true[brain])[0, 1])


def test_every_frame_is_realigned_and_the_window_averaged(register, frames) -> None:
    out, numbers = register(frames)
    told = read_json(out / NAMES["motion"])
    assert told["corrected"] is True and told["reference"] == 3
    assert [frame["in_window"] for frame in told["frames"]] == [False] * 2 + [True] * 3
    assert [frame["start_s"] for frame in told["frames"]] == META["FrameTimesStart"]
    for frame, true in zip(told["frames"], POSES, strict=True):
        np.testing.assert_allclose(frame["reference_to_frame_ras_mm"], true, atol=0.6)
    displacements = [frame["displacement_mm"] for frame in told["frames"]]
    assert displacements[3] == 0 and min(displacements[:3]) > 5
    assert numbers["motion_mm"] == max(displacements[2:])
    assert numbers["frames"] == [2, 3, 4] and (numbers["start_s"], numbers["end_s"]) == (4800, 6000)
    # The frames that are averaged later are the window's, as they were.
    kept = nib.load(out / NAMES["frames"]).get_fdata()
    np.testing.assert_array_equal(kept, np.stack(frames[2:], axis=-1))
    assert likeness(out) > 0.95


def test_the_switch_averages_frames_as_they_lie_and_tells_motion_all_the_same(
    register, frames
) -> None:
    out, numbers = register(frames, motion_correction=False)
    told = read_json(out / NAMES["motion"])
    assert told["corrected"] is numbers["motion_corrected"] is False
    assert numbers["motion_mm"] > 5
    mean = nib.load(out / NAMES["mean"]).get_fdata()
    np.testing.assert_allclose(mean, np.mean(frames[2:], axis=0), rtol=1e-4, atol=1e-4)
    assert likeness(out) < 0.9


def test_a_frame_without_signal_is_told_outside_the_window(register, frames) -> None:
    frames[0] = np.zeros(SHAPE, np.float32)
    frames[1] = np.random.default_rng(3).normal(0, 1, SHAPE).astype(np.float32)
    out, numbers = register(frames)
    lost = read_json(out / NAMES["motion"])["frames"][:2]
    for frame in lost:
        assert frame["displacement_mm"] is frame["reference_to_frame_ras_mm"] is None
    assert numbers["motion_mm"] > 5


def test_a_frame_that_cannot_be_realigned_inside_the_window_excludes_the_pet(
    register, frames
) -> None:
    frames[4] = np.random.default_rng(3).normal(0, 1, SHAPE).astype(np.float32)
    with pytest.raises(DataError, match=r"frame 4 cannot be realigned: it shows too little"):
        register(frames)


def test_without_correction_a_frame_that_shows_little_is_averaged(register, frames) -> None:
    frames[4] = np.random.default_rng(3).normal(0, 1, SHAPE).astype(np.float32)
    _, numbers = register(frames, motion_correction=False)
    assert numbers["motion_mm"] is None


def test_an_empty_frame_of_the_window_is_refused_either_way(register, frames) -> None:
    frames[2] = np.zeros(SHAPE, np.float32)
    with pytest.raises(DataError, match="frame 2 is empty"):
        register(frames, motion_correction=False)
