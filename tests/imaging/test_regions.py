"""Reference regions: relad's own and those of a user's label image; the table of ligands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from relad.errors import ReladError
from relad.imaging import atlas, regions
from relad.imaging.nifti import save_nifti
from relad.study import config
from relad.study.settings import NormalizedCohort, Psf, of_job

SHAPE, VOXEL_MM = (64, 76, 64), 3.0
AFFINE = atlas.grid_affine(SHAPE, VOXEL_MM)


def test_the_regions_that_are_kept_are_those_of_the_template(monkeypatch: Any) -> None:
    affine = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    atlas._labels.cache_clear()
    with monkeypatch.context() as nothing_else:
        nothing_else.setattr(atlas, "mni", None)  # no map of nilearn's is read for them
        kept = atlas.region_labels(atlas.SHAPE, affine)
    again = atlas.region_labels(atlas.SHAPE, affine)
    cut = atlas.cut_labels(atlas.SHAPE, affine)
    assert again is kept
    # Of a million voxels, so many may lie on a threshold that another processor rounds otherwise.
    assert (kept != cut).sum() <= 10
    assert set(np.unique(kept)) == {0, *atlas.REGIONS.values()}
    assert kept.flags.c_contiguous and not kept.flags.writeable


@pytest.mark.parametrize("sigma", [0.3, 0.85, 2.5])
@pytest.mark.parametrize("place", [np.s_[3:9, 10:12, 5:6], np.s_[:4, -1:, :], np.s_[:0]])
def test_a_mask_is_smoothed_as_scipy_does(place: tuple[slice, ...], sigma: float) -> None:
    mask = np.zeros((20, 24, 18), bool)
    mask[place] = True
    whole = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    np.testing.assert_array_equal(atlas._smoothed(mask, sigma), whole)


@pytest.fixture
def user_atlas(tmp_path) -> dict[str, Any]:
    """relad's own labels on another grid, under other names."""
    labels = atlas.region_labels(SHAPE, AFFINE).astype(np.int16) * 10
    save_nifti(tmp_path / "atlas.nii.gz", labels, AFFINE)
    rows = [f"{10 * v}\t{k.upper()}" for k, v in atlas.REGIONS.items()] + ["990\tNOWHERE"]
    (tmp_path / "atlas.tsv").write_text("index\tname\n" + "\n".join(rows) + "\n")
    return {"labels": str(tmp_path / "atlas.nii.gz"), "table": str(tmp_path / "atlas.tsv")}


def test_a_users_labels_give_the_same_region_as_ours(user_atlas) -> None:
    names = ["SUPERIOR_CEREBELLAR_GREY", "INFERIOR_CEREBELLAR_GREY"]
    theirs = regions.points_of({**user_atlas, "names": names}, 0)
    affine = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    labels = [atlas.REGIONS[name.lower()] for name in names]
    ours = np.argwhere(np.isin(atlas.region_labels(atlas.SHAPE, affine), labels)) @ affine[:3, :3].T
    ours = ours + affine[:3, 3]
    assert len(theirs) == pytest.approx(len(ours), rel=0.1)
    np.testing.assert_allclose(theirs.mean(axis=0), ours.mean(axis=0), atol=1.5)
    origin = regions.origin_of({**user_atlas, "names": names})
    assert origin["Name"] == "+".join(names) and len(origin["SHA256"]["labels"]) == 64


@pytest.mark.parametrize("region", ["inferior_cerebellar_grey", "whole_cerebellum"])
def test_cerebellar_references_leave_out_the_rim_of_the_cerebellum(region: str) -> None:
    affine = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    labels = atlas.region_labels(atlas.SHAPE, affine)
    names = ("superior_cerebellar_grey", "inferior_cerebellar_grey", "cerebellar_white")
    cerebellum = np.isin(labels, [atlas.REGIONS[name] for name in names])
    closed = ndimage.binary_closing(cerebellum, iterations=3)
    around = ndimage.binary_dilation(regions.mask_of(region, 0))
    assert not (around & ~closed).any()
    # The reference of white matter is none of the cerebellum's.
    white = labels == atlas.REGIONS["cerebral_white"]
    assert regions.mask_of("cerebral_white", 0).sum() == pytest.approx(white.sum(), rel=0.01)


def test_erosion_takes_the_rim() -> None:
    whole = regions.points_of("whole_cerebellum", 0)
    inner = regions.points_of("whole_cerebellum", 4)
    assert 0 < len(inner) < 0.7 * len(whole)
    assert {tuple(p) for p in inner} <= {tuple(p) for p in whole}
    with pytest.raises(ReladError, match="nothing is left of the reference region whole_cerebe"):
        regions.points_of("whole_cerebellum", 40)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"names": ["Cerebellum"]}, r"atlas\.tsv: has no region 'Cerebellum' -- it has MEDIAL"),
        ({"names": ["NOWHERE"]}, r"atlas\.nii\.gz: has no voxel of NOWHERE \(label 990"),
        ({"labels": "none.nii.gz"}, r"none\.nii\.gz: no such image"),
        ({"table": "none.tsv"}, r"none\.tsv: no such table"),
    ],
)
def test_what_is_wrong_with_an_atlas_is_named(user_atlas, change: dict, said: str) -> None:
    with pytest.raises(ReladError, match=said):
        regions.points_of({**user_atlas, "names": ["THALAMUS"], **change}, 0)


def test_an_atlas_in_another_space_or_without_columns_is_refused(user_atlas, tmp_path) -> None:
    region = {**user_atlas, "names": ["THALAMUS"]}
    moved = AFFINE.copy()
    moved[:3, 3] += 90
    labels = atlas.region_labels(SHAPE, AFFINE)
    save_nifti(tmp_path / "moved.nii.gz", labels, moved)
    with pytest.raises(ReladError, match="not in MNI152 space: only"):
        regions.points_of({**region, "labels": str(tmp_path / "moved.nii.gz")}, 0)
    save_nifti(tmp_path / "maps.nii.gz", labels * 0.37, AFFINE)
    with pytest.raises(ReladError, match="is no label image"):
        regions.points_of({**region, "labels": str(tmp_path / "maps.nii.gz")}, 0)
    Path(user_atlas["table"]).write_text("id\tlabel\n1\tTHALAMUS\n")
    with pytest.raises(ReladError, match="lacks the columns index and name"):
        regions.points_of({**region, "labels": user_atlas["labels"]}, 1)


# --- the table of ligands ------------------------------------------------------------------------


@pytest.fixture
def raw() -> dict[str, Any]:
    return config.read_yaml(config.DEFAULT)


def test_a_study_names_the_ligand_and_changes_what_it_wants(raw) -> None:
    raw["tracers"] = {"tau": {"ligand": "MK6240", "reference_erosion_mm": 3}}
    entry = config.resolve(raw)["tracers"]["tau"]
    assert entry["frames_min"] == [90, 110]
    assert entry["reference_region"] == "cerebellar_grey"
    assert entry["reference_erosion_mm"] == 3
    assert "notes" not in entry and "binds" not in entry  # a reworded note retrains nothing


@pytest.mark.parametrize("ligand", ["AV1451", "MK6240", "PiB", "AV45", "FBB", "PBR28"])
def test_every_known_ligand_has_a_region_to_measure(raw, ligand: str) -> None:
    raw["tracers"] = {"x": {"ligand": ligand}}
    entry = config.resolve(raw)["tracers"]["x"]
    points = regions.points_of(entry["reference_region"], entry["reference_erosion_mm"])
    assert len(points) * regions.VOXEL_MM**3 / 1000 > 40  # ml


def test_an_unknown_ligand_must_be_described(raw) -> None:
    raw["tracers"] = {"syn": {"ligand": "NEW1", "frames_min": [30, 60]}}
    with pytest.raises(ReladError, match=r"'syn' lacks reference_region, .*'NEW1' is not in"):
        config.resolve(raw)


def test_the_atlas_of_a_study_serves_all_tracers(raw, user_atlas) -> None:
    raw["tracers"]["tau"]["reference_region"] = {"names": ["THALAMUS"]}
    with pytest.raises(ReladError, match="has names but no labels and no table"):
        config.resolve(raw)
    raw["atlas"] = user_atlas
    study = config.resolve(raw)
    assert study["tracers"]["tau"]["reference_region"] == {**user_atlas, "names": ["THALAMUS"]}
    assert "atlas" not in study


def test_resolutions_belong_to_a_cohort_and_cannot_sharpen(raw) -> None:
    psf = {"tau": {"known_fwhm_mm": 5, "target_fwhm_mm": 8}}
    raw["cohorts"]["sim-external"]["psf"] = psf
    study = config.resolve(raw)
    part = of_job("normalize", study, cohort="sim-train", subject="S1")
    assert part.cohorts == {"sim-train": NormalizedCohort({})}  # the other's is no business of it
    there = of_job("normalize", study, cohort="sim-external", subject="S1")
    assert there.cohorts["sim-external"].psf == {"tau": Psf(5.0, 8.0)}
    raw["cohorts"]["sim-external"]["psf"] = {"tau": {"known_fwhm_mm": 8, "target_fwhm_mm": 5}}
    with pytest.raises(ReladError, match=r"8 mm cannot be sharpened to 5 mm"):
        config.resolve(raw)
    raw["cohorts"]["sim-external"]["psf"] = {"fdg": psf["tau"]}
    with pytest.raises(ReladError, match="names 'fdg', not a tracer"):
        config.resolve(raw)
