"""``relad evaluate`` takes every subject's own brain, wherever those of others lie."""

from __future__ import annotations

import numpy as np
import pytest

from relad.fileio import read_json, read_table
from relad.imaging.nifti import load_nifti, save_nifti
from relad.study import paths
from tests.helpers.fake_study import FakeStudy, amend


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


def test_an_own_region_that_a_cut_pet_hardly_shows_is_absent(tmp_path, capsys):
    """Of one person the PET shows nothing of it, of the other a few voxels of two hundred."""
    study = FakeStudy(tmp_path, subjects=4, errors={"unet": 0.2})
    folder = study.packed("study")
    pet = np.load(folder / "pet.npy")
    own = np.zeros((4, 2, *study.shape), bool)
    own[:, 0, :, :, 9:], own[:, 1, :, :, :9] = study.mask[..., 9:], study.mask[..., :9]
    for person, end in ((2, 9), (3, 10)):
        pet[person, 0, ..., end:] = np.nan
    own[3, 0, ..., 9] &= np.arange(study.shape[1]) < 6
    np.save(folder / "pet.npy", pet)
    np.save(folder / "regions.npy", own)
    shown = [(own[i, 0] & np.isfinite(pet[i, 0])).sum() / own[i, 0].sum() for i in (2, 3)]
    assert shown[0] == 0 < shown[1] < 0.3
    regions = {"vertex": ["A"], "rest": ["B"]}
    amend(folder / "dataset.json", regions=regions)
    study.settings["segmentation"]["regions"] = regions
    assert study.evaluate("study", "unet") == 0
    told = "of the region vertex lies in the brain mask of 941S0003, 941S0004: no rows of it"
    assert told in capsys.readouterr().err
    file = study.metrics("study", "unet")
    assert read_json(file.with_suffix(".json"))["regions_absent"]["vertex"] == [
        "941S0003",
        "941S0004",
    ]
    rows = read_table(file)
    there = {(r["subject"], r["tracer"]) for r in rows if r["region"] == "vertex"}
    assert there == {("941S0003", "amyloid")}  # whole in the other tracer
    assert {r["subject"] for r in rows if r["region"] == "rest"} == {"941S0003", "941S0004"}
