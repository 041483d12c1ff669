"""A person's own labels: on any grid, in the space of the T1w or refused, left as left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad.errors import DataError
from relad.imaging import atlas
from relad.imaging.labels import read_names
from relad.imaging.nifti import save_nifti
from relad.imaging.resample import grid_points
from relad.imaging.segmentation import Segmentation
from tests.helpers.registered import (
    CONFORMED,
    CONFORMED_SHAPE,
    MNI_TO_T1W,
    OWN_NAMES,
    SHAPE,
    VOXEL_MM,
    own_labels,
    scan,
)

FILE, TABLE = Path("aparc+aseg.mgz"), Path("aparc+aseg.tsv")
GRID = atlas.grid_affine(SHAPE, VOXEL_MM)
#: Another order of axes: z, x from right to left, y.
TURNED = np.array([[0, -1.0, 0, 100], [0, 0, 1.0, -120], [1.0, 0, 0, -90], [0, 0, 0, 1]])
TURNED[:3, :3] *= 2


def person(shape: tuple[int, int, int] = CONFORMED_SHAPE, affine: np.ndarray = CONFORMED):
    return Segmentation(own_labels(shape, affine), affine, OWN_NAMES, FILE, TABLE)


@pytest.fixture(scope="module")
def head() -> tuple[nib.Nifti1Image, np.ndarray]:
    """The T1w and the brain mask of the person."""
    return nib.Nifti1Image(*scan("T1w", MNI_TO_T1W)), scan("brain", MNI_TO_T1W)[0] > 0.5


@pytest.mark.parametrize(
    ("shape", "affine"),
    [(SHAPE, GRID), (CONFORMED_SHAPE, CONFORMED), ((90, 100, 110), TURNED)],
    ids=["grid of the T1w", "conformed, LIA", "SLA"],
)
def test_a_hemisphere_is_the_same_place_on_every_grid(head, shape, affine) -> None:
    own = person(shape, affine)
    grid = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    labels = atlas.region_labels(atlas.SHAPE, grid) == atlas.REGIONS["hippocampus"]
    expected = grid_points(atlas.SHAPE, grid)[labels]
    for side, half in (("Left", expected[:, 0] < 0), ("Right", expected[:, 0] > 0)):
        points = own.points([f"{side}-hippocampus"])
        there = expected[half].mean(axis=0) @ MNI_TO_T1W[:3, :3].T + MNI_TO_T1W[:3, 3]
        np.testing.assert_allclose(points.mean(axis=0), there, atol=1.0)
        volume = half.sum() * atlas.VOXEL_MM**3 / 1000
        assert len(points) * own.voxel_ml == pytest.approx(volume, rel=0.15)
        assert own.share(points, [f"{side}-hippocampus"]) == 1
    assert own.require_space(*head) > 0.95


@pytest.mark.parametrize("shift", [8.0, -8.0, 12.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labels_some_mm_off_fit_the_t1w_less_well(head, axis: int, shift: float) -> None:
    """As FreeSurfer's surface coordinates would leave them, which still lie in the brain."""
    moved = CONFORMED.copy()
    moved[axis, 3] += shift
    with pytest.raises(DataError, match=r"not in the space of the T1w .* fit better when"):
        replace(person(), affine=moved).require_space(*head)


def test_labels_elsewhere_are_refused(head) -> None:
    moved = CONFORMED.copy()
    moved[1, 3] += 60
    with pytest.raises(DataError, match=r"only \d\d% of its labels lie in the brain"):
        replace(person(), affine=moved).require_space(*head)


def test_labels_of_one_region_alone_need_only_lie_in_the_brain(head) -> None:
    own = person()
    alone = np.where(own.labels == OWN_NAMES["Left-hippocampus"], own.labels, 0)
    assert replace(own, labels=alone).require_space(*head) == 1


def test_erosion_takes_a_rim_in_mm_whatever_the_voxels_are() -> None:
    labels = np.zeros((40, 20, 20), np.int32)
    labels[8:32, 4:16, 2:8] = 3
    affine = np.diag([0.5, 1.0, 2.0, 1.0])  # a cube of 12 mm
    own = Segmentation(labels, affine, {"cube": 3}, FILE, TABLE)
    assert len(own.points(["cube"])) * own.voxel_ml == pytest.approx(12**3 / 1000)
    inner = own.points(["cube"], 2.5)
    assert len(inner) and {tuple(p) for p in inner} <= {tuple(p) for p in own.points(["cube"])}
    # The centres of the first voxels outside are 0.25, 0.5 and 1 mm beyond the faces.
    low, high = np.array([4, 4, 4]) + 2, np.array([16, 16, 16]) - 3
    assert (inner >= low).all() and (inner <= high).all()
    with pytest.raises(DataError, match="nothing is left of cube after an erosion of 7 mm"):
        own.points(["cube"], 7)
    # What ends at the image's edge ends there.
    cut = replace(own, labels=labels[10:])
    assert cut.points(["cube"], 2.5)[:, 0].min() > 2.4


def test_a_missing_name_lists_some_that_this_person_has() -> None:
    own = replace(person(), names={"Unknown": 0, "wm-lh-bankssts": 3001, **OWN_NAMES})
    with pytest.raises(DataError, match=r"aparc\+aseg\.tsv: has no region 'Cerebellum'") as told:
        own.points(["Left-hippocampus", "Cerebellum"])
    assert "it has Left-medial_temporal, " in told.value.hint and "bankssts" not in told.value.hint
    with pytest.raises(DataError, match=r"has no voxel of wm-lh-bankssts \(label 3001\)"):
        own.points(["wm-lh-bankssts"])


def test_labels_may_be_given_by_number() -> None:
    own = person()
    by_name = own.points(["Left-hippocampus"])
    np.testing.assert_array_equal(own.points([OWN_NAMES["Left-hippocampus"]]), by_name)


def test_a_region_on_a_coarse_grid_is_where_it_fills_more_than_half() -> None:
    labels = np.zeros((60, 60, 60), np.int32)
    labels[10:40, 10:40, 10:33] = 1  # from 9.5 to 39.5, 39.5 and 32.5 mm
    own = Segmentation(labels, np.eye(4), {"box": 1}, FILE, TABLE)
    grid = np.diag([6.0, 6.0, 6.0, 1.0])
    grid[:3, 3] = 12.5  # voxels begin at 9.5 mm
    mask = own.on_grid(["box"], grid_points((8, 8, 8), grid), 6.0)
    filled = np.zeros((8, 8, 8), bool)
    filled[:5, :5, :4] = True  # the last along z by 5 of 6 mm
    np.testing.assert_array_equal(mask, filled)


def test_tables_of_bids_and_of_freesurfer(tmp_path) -> None:
    (tmp_path / "a.tsv").write_text(
        "index\tname\tcolor\n17\tLeft-Hippocampus\t#fff\n0\tUnknown\tn/a"
    )
    colours = "#$Id: FreeSurferColorLUT.txt\n\n#No. Label Name: R G B A\n0   Unknown  0 0 0 0\n"
    (tmp_path / "lut.txt").write_text(colours + "17  Left-Hippocampus   220 216 20  0\n")
    expected = {"Left-Hippocampus": 17, "Unknown": 0}
    assert read_names(tmp_path / "a.tsv") == read_names(tmp_path / "lut.txt") == expected
    (tmp_path / "none.txt").write_text("index name\n")
    with pytest.raises(DataError, match="no line of index, name and colour"):
        read_names(tmp_path / "none.txt")
    (tmp_path / "twice.tsv").write_text("index\tname\n1\tA\n2\tA\n")
    with pytest.raises(DataError, match="A has two indices, 1 and 2"):
        read_names(tmp_path / "twice.tsv")
    (tmp_path / "unnamed.tsv").write_text("index\tname\n1\t\n2\tA\n")
    with pytest.raises(DataError, match="the label 1 has no name"):
        read_names(tmp_path / "unnamed.tsv")


def test_images_of_freesurfer_are_read_and_maps_are_not(tmp_path) -> None:
    own = person()
    own.write(tmp_path / "dseg.nii.gz", tmp_path / "dseg.tsv")
    nib.save(nib.MGHImage(own.labels.astype(np.int32), CONFORMED), tmp_path / "aseg.mgz")
    for name in ("dseg.nii.gz", "aseg.mgz"):
        read = Segmentation.read(tmp_path / name, tmp_path / "dseg.tsv")
        np.testing.assert_array_equal(read.labels, own.labels)
        np.testing.assert_allclose(read.affine, CONFORMED, atol=1e-5)
        assert read.names == OWN_NAMES
    save_nifti(tmp_path / "map.nii.gz", own.labels * 0.37, CONFORMED)
    with pytest.raises(DataError, match="is no label image"):
        Segmentation.read(tmp_path / "map.nii.gz", tmp_path / "dseg.tsv")
    with pytest.raises(DataError, match=r"none\.tsv: no such table of the labels' names"):
        Segmentation.read(tmp_path / "dseg.nii.gz", tmp_path / "none.tsv")
