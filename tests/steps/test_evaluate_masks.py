"""``relad evaluate`` takes every subject's own brain, wherever those of others lie."""

from __future__ import annotations

import numpy as np
import pytest

from relad.fileio import read_table
from relad.imaging.nifti import load_nifti, save_nifti
from relad.study import paths
from tests.helpers.fake_study import FakeStudy


def test_values_are_taken_in_the_subjects_own_brain(tmp_path):
    study = FakeStudy(tmp_path, subjects=4, errors={"unet": 0.2})
    file = study.packed("study") / "mask.npy"
    random = np.random.default_rng(0)
    own = np.load(file) & (random.random((4, *study.shape)) > 0.5)
    np.save(file, own)
    assert study.evaluate("study", "unet") == 0
    rows = [r for r in read_table(study.metrics("study", "unet")) if r["region"] == "brain"]
    found = {(r["subject"], r["tracer"], r["metric"]): float(r["value"]) for r in rows}
    assert {subject for subject, _, _ in found} == {"941S0003", "941S0004"}
    for subject, index in (("941S0003", 2), ("941S0004", 3)):
        image = load_nifti(study.synthesized("study", "unet") / paths.synthetic_pet(subject, "tau"))
        error = (image.get_fdata() - study.truth["study", subject, "tau"])[own[index]]
        psnr = 10 * np.log10(4.0**2 / np.mean(error**2))
        assert found[subject, "tau", "psnr"] == pytest.approx(psnr, rel=1e-4)
        assert found[subject, "tau", "mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-4)


@pytest.mark.parametrize("method", ["unet", "rela"])
def test_of_a_cut_pet_only_what_it_shows_counts(tmp_path, method):
    """All metrics are those of the whole PET in the mask of the pair, whatever lies beyond it."""
    whole = FakeStudy(tmp_path / "whole", subjects=4, errors={method: 0.2})
    cut = whole.copy(tmp_path / "cut")
    pet, mask = (np.load(whole.packed("study") / f"{name}.npy") for name in ("pet", "mask"))
    shown = np.arange(whole.shape[2]) < 8
    np.save(whole.packed("study") / "mask.npy", mask & shown)
    np.save(cut.packed("study") / "pet.npy", np.where(mask[:, None] & ~shown, np.nan, pet))
    # What whoever compares with the whole PET must take away to see no more than the mask.
    np.save(whole.packed("study") / "pet.npy", np.where(mask[:, None] & ~shown, -1, pet))
    for file in whole.synthesized("study", method).glob("*.nii.gz"):
        image = load_nifti(file)
        save_nifti(file, np.where(shown, image.get_fdata(), 0), image.affine)
    assert whole.evaluate("study", method) == cut.evaluate("study", method) == 0
    found, expected = (read_table(s.metrics("study", method)) for s in (cut, whole))
    assert {row["metric"] for row in expected} >= {"psnr", "ssim_open", "hfen", "crps"}
    assert found == expected
