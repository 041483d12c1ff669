"""Real heads with their own labels: 16 people of 71 to 96 years, labelled by DLMUSE.

CBICA/NiChart_Project (SBIA licence). Their PET is made of the labels: REAL MRI, SIMULATED PET.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from relad import cli
from relad.errors import DataError
from relad.fileio import read_json, read_table, write_table
from relad.imaging.nifti import load_nifti, save_nifti
from relad.imaging.segmentation import Segmentation
from relad.qc.measures import share_in_cerebellum
from relad.registration.transforms import MniToT1w, names
from relad.study import paths
from relad.study.paths import REPOSITORY
from relad.study.settings import OwnRegions
from tests.helpers.settings import file_of, study, tracer

HEADS = (
    Path(os.environ.get("RELAD_SHARED", REPOSITORY.parent / "shared")) / "data" / "nichart_t1_flair"
)
PEOPLE = (1, 2, 7, 13)
GREY = ["CerebellumExterior_R", "CerebellumExterior_L"]
VERMIS = [f"CerebellarVermalLobules_{part}" for part in ("1to5", "6to7", "8to10")]
CEREBELLUM = [*GREY, *VERMIS, "Cerebellum_WM_R", "Cerebellum_WM_L"]
THALAMI = ["ThalamusProper_R", "ThalamusProper_L"]
REGIONS = {side: [f"Hippocampus_{side[0].upper()}"] for side in ("left", "right")}
TRACERS = {
    "tau": tracer("AV1451", reference_region={"segmentation": THALAMI}, reference_erosion_mm=3),
    "amyloid": tracer("AV45", reference_region="inferior_cerebellar_grey"),
}
PERSON = 2

pytestmark = pytest.mark.skipif(not HEADS.is_dir(), reason=f"real labels are not at {HEADS}")


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """The names of DLMUSE's labels as BIDS has them."""
    rows = read_table(HEADS / "muse_dict.csv")
    path = tmp_path_factory.mktemp("names") / "muse.tsv"
    write_table(
        path, [{"index": row["Index"], "name": row["Name"]} for row in rows], ["index", "name"]
    )
    return path


def t1w(person: int) -> Path:
    return HEADS / f"Subj{person}_T1.nii.gz"


def labels(person: int, table: Path) -> Segmentation:
    return Segmentation.read(HEADS / f"Subj{person}_T1_DLMUSE.nii.gz", table)


@pytest.mark.parametrize("person", PEOPLE)
def test_labels_belong_to_their_own_t1w_where_they_lie(person: int, table: Path) -> None:
    own, head = labels(person, table), load_nifti(t1w(person), ndim=3)
    brain = ndimage.binary_closing(own.labels > 0, iterations=3)
    own.require_space(head, brain)
    for axis in range(3):
        for mm in (8.0, -8.0):
            moved = own.affine.copy()
            moved[axis, 3] += mm
            with pytest.raises(DataError, match="not in the space of the T1w"):
                replace(own, affine=moved).require_space(head, brain)


@pytest.fixture(scope="module")
def out(table, tmp_path_factory) -> Path:
    """One person, whose PET is 5000 in the thalami and 2000 elsewhere in the brain."""
    folder = tmp_path_factory.mktemp("real")
    own = labels(PERSON, table)
    uptake = np.where(own.labels > 0, 2000.0, 0.0)
    uptake[np.isin(own.labels, own.numbers(THALAMI))] = 5000
    uptake = ndimage.gaussian_filter(uptake, 1.0)  # voxels of 2 mm, a tomograph of 5 mm
    for name in TRACERS:
        save_nifti(folder / f"{name}.nii.gz", uptake, own.affine, note="SIMULATED PET")
    settings = study(
        tracers=TRACERS,
        segmentation={"regions": REGIONS, "cerebellum": CEREBELLUM, "cerebellar_grey": GREY},
    )
    words = ["preprocess", "--t1", t1w(PERSON), "--segmentation", own.file]
    words += ["--segmentation-table", table, "--pet-window-already-averaged"]
    words += ["--settings", file_of(settings), "--pet"]
    words += [*(f"{name}={folder / name}.nii.gz" for name in TRACERS), folder / "out"]
    assert cli.main([*map(str, words)]) == 0
    return folder / "out"


def test_a_real_person_is_measured_in_their_own_regions(out, table) -> None:
    status = read_json(out / "status.json")
    assert status["kind"] == "hybrid"
    assert status["segmentation"]["status"] == "ok"
    tau, amyloid = (status["tracers"][name] for name in TRACERS)
    own = labels(PERSON, table)
    assert tau["reference_mean"] == pytest.approx(5000, rel=0.1)
    volume = np.isin(own.labels, own.numbers(THALAMI)).sum() * own.voxel_ml
    assert 1 < tau["reference_volume_ml"] < 0.6 * volume
    assert amyloid["reference_mean"] < 2100  # the atlas's, in the cerebellum
    masks = nib.load(out / paths.own_regions("one"))
    voxel_ml = abs(np.linalg.det(masks.affine[:3, :3])) / 1000
    scale = np.linalg.det(MniToT1w(out / "registered", "one").affine[:3, :3])
    for k, (side, region) in enumerate(REGIONS.items()):
        mask = masks.get_fdata()[..., k] > 0
        x = apply_affine(masks.affine, np.argwhere(mask))[:, 0]
        assert (x < 0).all() if side == "left" else (x > 0).all()
        expected = np.isin(own.labels, own.numbers(region)).sum() * own.voxel_ml / scale
        print(f"{side}: {mask.sum() * voxel_ml:.2f} ml on the grid, {expected:.2f} ml of labels")
        assert mask.sum() * voxel_ml == pytest.approx(expected, rel=0.4)


def test_the_atlas_region_is_compared_with_the_persons_cerebellum(out, table) -> None:
    numbers = read_json(out / "status.json")["tracers"]["amyloid"]
    registered = out / "registered"
    files = (registered / names("one")[key] for key in ("segmentation", "segmentation_table"))
    grey = [38, 39]
    by_number = OwnRegions({}, [*grey, 40, 41, 71, 72, 73], grey)
    to_t1w = MniToT1w(registered, "one")
    shares = share_in_cerebellum(
        to_t1w, "inferior_cerebellar_grey", Segmentation.read(*files), by_number
    )
    print(shares)
    assert shares == {k: numbers[f"reference_in_{k}"] for k in ("cerebellum", "cerebellar_grey")}
    assert 0.8 < shares["cerebellar_grey"] < shares["cerebellum"] < 1
    assert shares["cerebellum"] > 0.92
