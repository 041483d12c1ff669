"""Real heads with skull, FLAIR to T1w against their authors' own registration.

Lesjak et al., Neuroinformatics 2016 (CC-BY, github.com/muschellij2/open_ms_data).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relad.fileio import load_nifti
from relad.paths import REPOSITORY
from relad.registration import brain, engine, rigid
from relad.registration.transforms import FLIP, read_affine
from relad.resample import apply_affine

HEADS = REPOSITORY.parent / "shared" / "data" / "ms_t1_flair"
#: Brain volume in ml within which a template-based mask is plausible.
PLAUSIBLE_ML = (1000, 1700)


def published(path: Path) -> np.ndarray:
    """Read an ITK text transform; (4, 4) from FLAIR to T1w points in RAS mm."""
    lines = dict(line.split(": ") for line in path.read_text().splitlines() if ": " in line)
    values = np.array(lines["Parameters"].split(), float)
    centre = np.array(lines["FixedParameters"].split(), float)
    matrix = np.eye(4)
    matrix[:3, :3] = values[:9].reshape(3, 3)
    matrix[:3, 3] = values[9:] + centre - matrix[:3, :3] @ centre
    return FLIP @ matrix @ FLIP


@pytest.mark.skipif(not HEADS.is_dir(), reason=f"real heads are not at {HEADS}")
@pytest.mark.parametrize("patient", ["patient01", "patient04", "patient20"])
def test_flair_to_t1w_agrees_with_the_published_registration(patient: str, tmp_path) -> None:
    folder = HEADS / patient
    t1w = load_nifti(next(folder.glob("*_T1W.nii.gz")), ndim=3)
    flair = load_nifti(next(folder.glob("*_FLAIR.nii.gz")), ndim=3)
    low = [engine.working_copy(engine.correct_bias(image), 2.0) for image in (t1w, flair)]
    rigid.flair_to_t1w(*low, tmp_path / "flair", seed=0)
    ours = np.linalg.inv(read_affine(tmp_path / "flair0GenericAffine.mat"))
    theirs = published(next(folder.glob("*.txt")))

    data = np.asarray(flair.dataobj)
    head = apply_affine(flair.affine, np.argwhere(data > data.mean())[::97].astype(float))
    error = np.linalg.norm(apply_affine(ours, head) - apply_affine(theirs, head), axis=1)
    assert error.mean() < 1.0, error.mean()
    assert error.max() < 1.5, error.max()


@pytest.mark.skipif(not HEADS.is_dir(), reason=f"real heads are not at {HEADS}")
def test_a_real_brain_is_found(tmp_path) -> None:
    t1w = load_nifti(next((HEADS / "patient04").glob("*_T1W.nii.gz")), ndim=3)
    corrected = engine.correct_bias(t1w)
    brain.to_mni(engine.working_copy(corrected, 2.0), tmp_path / "mni", seed=0)
    mask, by_affine = brain.carry_back(t1w.shape, t1w.affine, tmp_path / "mni")
    voxel_ml = abs(np.linalg.det(t1w.affine[:3, :3])) / 1000
    assert PLAUSIBLE_ML[0] < mask.sum() * voxel_ml < PLAUSIBLE_ML[1]
    assert 2 * (mask & by_affine).sum() / (mask.sum() + by_affine.sum()) > 0.9
    # Scalp fat is the brightest tissue of this head: none of it may be taken for brain.
    data = np.asarray(corrected.dataobj)
    inside = data[mask]
    bright = data > 1.6 * np.median(inside)
    assert (bright & mask).sum() < 0.01 * bright.sum()
