from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine

from relad.errors import DataError
from relad.imaging import atlas
from relad.imaging.nifti import load_nifti
from relad.imaging.resample import grid_points
from relad.prediction.native import Native
from relad.registration.transforms import names
from relad.study.settings import Grid
from tests.helpers.registered import MNI_TO_T1W, SUBJECT, write_registered

GRID = Grid(4.0, (40, 48, 40), deform=False)
AFFINE = atlas.grid_affine(GRID.shape, GRID.voxel_mm)
BRAIN = atlas.brain_mask(GRID.shape, AFFINE)


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    return write_registered(tmp_path_factory.mktemp("native") / "registered")


@pytest.fixture(scope="module")
def native(registered):
    return Native(registered, SUBJECT, GRID, BRAIN)


def ramp(points):
    """A volume that linear interpolation gives back exactly, and that tells left from right."""
    return (2 + points @ np.array([0.01, 0.004, -0.006])).astype(np.float32)


def in_mni(native):
    return apply_affine(
        np.linalg.inv(MNI_TO_T1W), apply_affine(native.affine, np.argwhere(native.brain))
    )


def test_every_voxel_of_the_t1w_gets_the_value_of_its_place(registered, native):
    values = native.values(np.where(BRAIN, ramp(grid_points(GRID.shape, AFFINE)), 0))
    t1w = load_nifti(registered / names(SUBJECT)["t1w"])
    image = native.image(values)
    assert image.shape == t1w.shape
    np.testing.assert_allclose(native.affine, t1w.affine)
    assert (image[~native.brain] == 0).all()
    there = native._share > 0.999
    assert there.mean() > 0.7
    np.testing.assert_allclose(values[there], ramp(in_mni(native))[there], atol=1e-4)


def test_the_brains_rim_is_no_darker_than_its_inside(native):
    """Zeros outside the mask have no part in what is interpolated."""
    values = native.values(np.where(BRAIN, np.float32(1.5), 0))
    known = values > 0
    assert known.mean() > 0.95
    np.testing.assert_allclose(values[known], 1.5, atol=1e-5)


def test_regions_are_measured_where_the_atlas_lies_in_the_person(native):
    labels = atlas.region_labels(atlas.SHAPE, atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM))
    fine = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    index = np.rint(apply_affine(np.linalg.inv(fine), in_mni(native))).astype(int)
    wanted = labels[tuple(index.T)]
    samples = [wanted + np.float32(0.1 * k) for k in range(3)]
    rows = {row["name"]: row for row in native.regional(samples)}
    assert list(rows) == ["brain", *atlas.REGIONS]
    for name, label in atlas.REGIONS.items():
        assert rows[name]["suvr"] == pytest.approx(label + 0.1, abs=1e-3)
        assert rows[name]["suvr_sd"] == pytest.approx(0.1, abs=1e-3)
        assert rows[name]["volume_ml"] == pytest.approx((wanted == label).sum() * 0.027, rel=0.05)
    (single,) = [row for row in native.regional(samples[:1]) if row["name"] == "thalamus"]
    assert single["suvr_sd"] is None
    assert set(np.unique(native.regions)) == {0, *atlas.REGIONS.values()}


def test_a_brain_beside_the_grid_is_refused(registered):
    with pytest.raises(DataError, match="nothing of the person's brain lies on the model's grid"):
        Native(registered, SUBJECT, GRID, np.zeros_like(BRAIN))
