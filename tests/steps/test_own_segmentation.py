"""What `relad normalize` takes from a person's own labels: reference region, regions, a check."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from relad import cli
from relad.fileio import read_json
from relad.imaging import atlas
from relad.imaging.nifti import save_nifti
from relad.imaging.resample import grid_points
from relad.qc.table import columns, row_of
from relad.registration.transforms import pet_names
from relad.status import State, SubjectStatus
from relad.study import paths
from tests.helpers.registered import (
    CONFORMED,
    CONFORMED_SHAPE,
    MNI_TO_T1W,
    MOTION,
    OWN_NAMES,
    REFERENCE_BQ_ML,
    SETTINGS,
    SUBJECT,
    T1W_TO_PET,
    own_labels,
    write_own_labels,
    write_registered,
)
from tests.helpers.settings import file_of

SHAPE = tuple(SETTINGS["grid"]["shape"])
AFFINE = atlas.grid_affine(SHAPE, SETTINGS["grid"]["voxel_mm"])
#: Where uptake is planted, mm of the T1w: left in the white matter, a ball of this radius.
HOT, RADIUS_MM, HOT_BQ_ML = apply_affine(MNI_TO_T1W, (-26.0, -20.0, 28.0)), 16.0, 9000.0
#: Labels of a smaller ball in it and of its mirror image.
BALL_MM, LEFT, RIGHT = 9.0, 901, 902
NAMES = {**OWN_NAMES, "Left-Ball": LEFT, "Right-Ball": RIGHT}
CEREBELLUM = ["superior_cerebellar_grey", "inferior_cerebellar_grey", "cerebellar_white"]


def both(*regions: str) -> list[str]:
    return [f"{side}-{region}" for region in regions for side in ("Left", "Right")]


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Path:
    """A subject with labels on a conformed grid, and uptake planted in the ball on the left."""
    folder = write_registered(tmp_path_factory.mktemp("own") / f"sub-{SUBJECT}")
    labels = own_labels(CONFORMED_SHAPE, CONFORMED)
    points = grid_points(CONFORMED_SHAPE, CONFORMED)
    mirrored = apply_affine(MNI_TO_T1W, (26.0, -20.0, 28.0))
    for centre, label in ((HOT, LEFT), (mirrored, RIGHT)):
        labels[np.linalg.norm(points - centre, axis=-1) <= BALL_MM] = label
    write_own_labels(folder, labels, CONFORMED, NAMES)
    file = folder / pet_names(SUBJECT, "tau")["frames"]
    image = nib.load(file)
    frames = image.get_fdata(dtype=np.float32)
    for k, moved in enumerate(MOTION):
        to_t1w = np.linalg.inv(moved @ T1W_TO_PET)
        there = apply_affine(to_t1w, grid_points(frames.shape[:3], image.affine))
        frames[np.linalg.norm(there - HOT, axis=-1) <= RADIUS_MM, k] = HOT_BQ_ML
    save_nifti(file, frames, image.affine)
    return folder


@pytest.fixture
def changed(registered, tmp_path) -> Path:
    return Path(shutil.copytree(registered, tmp_path / "registered"))


def settings(reference: Any = None, erosion_mm: float = 0, **own: Any) -> dict[str, Any]:
    made = copy.deepcopy(SETTINGS)
    made["segmentation"] |= own
    if reference is not None:
        made["tracers"]["tau"] |= {
            "reference_region": reference,
            "reference_erosion_mm": erosion_mm,
        }
    return made


def normalize(registered: Path, out: Path, settings: dict) -> SubjectStatus:
    words = ["normalize", str(registered), str(out), "--subject", SUBJECT]
    assert cli.main([*words, "--settings", file_of(settings)]) == 0
    return SubjectStatus.read(out)


# --- reference region ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "bq_ml"), [("Left", HOT_BQ_ML), ("Right", REFERENCE_BQ_ML)], ids=["hot", "mirrored"]
)
def test_suvr_is_1_in_the_region_of_the_person(registered, tmp_path, side, bq_ml) -> None:
    chosen = settings({"segmentation": [f"{side}-Ball"]})
    scan = normalize(registered, tmp_path / "out", chosen).pet["tau"]
    assert scan.numbers["reference_mean"] == pytest.approx(bq_ml, rel=0.1)
    assert scan.numbers["reference_volume_ml"] == pytest.approx(3.05, rel=0.05)  # 4/3 pi 9 mm^3
    assert scan.numbers["reference_region"] == f"{side}-Ball"
    name = paths.preprocessed_pet(SUBJECT, "tau")
    suvr = nib.load(tmp_path / "out" / name).get_fdata()
    region = atlas.region_mask("whole_cerebellum", SHAPE, AFFINE)
    # The cerebellum, which the atlas would have made 1.
    assert suvr[region].mean() == pytest.approx(REFERENCE_BQ_ML / bq_ml, rel=0.1)
    told = read_json(tmp_path / "out" / name.replace(".nii.gz", ".json"))["ReferenceRegion"]
    assert told["Name"] == f"{side}-Ball" and told["PersonsOwn"] is True
    assert told["Segmentation"] == "aparc+aseg.mgz"
    assert told["SHA256"] == {"labels": "0" * 64, "table": "1" * 64}


def test_its_rim_is_taken_off(registered, tmp_path) -> None:
    chosen = settings({"segmentation": ["Left-Ball"]}, erosion_mm=3)
    numbers = normalize(registered, tmp_path / "out", chosen).pet["tau"].numbers
    radius = (numbers["reference_volume_ml"] * 1000 * 3 / 4 / np.pi) ** (1 / 3)
    assert radius == pytest.approx(BALL_MM - 3 + 1, abs=1)  # from voxels of 2 mm


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (["Left-Bal"], r"own segmentation: has no region 'Left-Bal' \(it has Left-medial_temporal"),
        (["Left-Ball", "Empty"], r"own segmentation: has no voxel of Empty \(label 990\)"),
    ],
)
def test_a_name_that_is_not_there_excludes_the_pet_alone(changed, tmp_path, region, said) -> None:
    file = changed / f"sub-{SUBJECT}_space-T1w_dseg.tsv"
    file.write_text(file.read_text() + "990\tEmpty\n")
    status = normalize(changed, tmp_path / "out", settings({"segmentation": region}))
    assert status.ok and status.segmentation.ok
    assert status.pet["tau"].state is State.EXCLUDED
    assert re.search(said, status.pet["tau"].reason)
    assert not (tmp_path / "out" / paths.preprocessed_pet(SUBJECT, "tau")).exists()
    assert (tmp_path / "out" / paths.preprocessed_mri(SUBJECT, "FLAIR")).exists()


@pytest.mark.parametrize("state", [State.MISSING, State.EXCLUDED])
def test_who_has_no_labels_gets_no_suvr_by_the_atlas(changed, tmp_path, state) -> None:
    status = SubjectStatus.read(changed)
    status.segmentation.state, status.segmentation.reason = state, "it is not there"
    status.write(changed)
    status = normalize(changed, tmp_path / "out", settings({"segmentation": ["Left-Ball"]}))
    assert status.ok and status.pet["tau"].state is State.EXCLUDED
    assert status.pet["tau"].reason.endswith("the person's own segmentation: it is not there")
    # A study that asks for the atlas's goes on with it.
    assert normalize(changed, tmp_path / "atlas", settings()).pet["tau"].ok


# --- regions of the evaluation -------------------------------------------------------------------


def test_regions_are_brought_to_the_grid(registered, tmp_path) -> None:
    wanted = {"right_ball": ["Right-Ball"], "balls": both("Ball"), "thalamus": both("thalamus")}
    status = normalize(registered, tmp_path / "out", settings(regions=wanted))
    assert status.segmentation.ok
    file = tmp_path / "out" / paths.own_regions(SUBJECT)
    masks = nib.load(file)
    np.testing.assert_allclose(masks.affine, AFFINE)
    assert masks.shape == (*SHAPE, 3) and b"SIMULATED" in bytes(masks.header["descrip"])
    told = read_json(file.with_name(file.name.replace(".nii.gz", ".json")))
    assert list(told["Regions"].items()) == list(wanted.items())
    assert told["SHA256"]["labels"] == "0" * 64
    right, balls, thalamus = (masks.get_fdata()[..., k] > 0 for k in range(3))
    centre = apply_affine(AFFINE, np.argwhere(right)).mean(axis=0)
    np.testing.assert_allclose(centre, (26, -20, 28), atol=1.5)
    assert right.sum() * 0.064 == pytest.approx(3.05, rel=0.2)
    assert balls.sum() == pytest.approx(2 * right.sum(), rel=0.1) and balls[right].all()
    by_atlas = atlas.region_mask("thalamus", SHAPE, AFFINE)
    assert 2 * (thalamus & by_atlas).sum() / (thalamus.sum() + by_atlas.sum()) > 0.8


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Hippocampus"], "has no region 'Hippocampus' (it has"),
        (["Speck"], "nothing of the region part is left on the grid"),
    ],
)
def test_a_region_that_a_person_lacks_is_said_of_the_segmentation(
    changed, tmp_path, names, said
) -> None:
    file = changed / f"sub-{SUBJECT}_space-T1w_dseg.nii.gz"
    image = nib.load(file)
    labels = np.asarray(image.dataobj).copy()
    labels[64, 64, 64] = 990  # one voxel of 2 mm on a grid of 4 mm
    save_nifti(file, labels, image.affine)
    table = file.with_name(file.name.replace(".nii.gz", ".tsv"))
    table.write_text(table.read_text() + "990\tSpeck\n")
    chosen = settings({"segmentation": ["Left-Ball"]}, regions={"part": names})
    status = normalize(changed, tmp_path / "out", chosen)
    assert status.ok and status.pet["tau"].ok
    assert status.segmentation.state is State.EXCLUDED and said in status.segmentation.reason
    assert not (tmp_path / "out" / paths.own_regions(SUBJECT)).exists()


# --- the atlas's reference region against the labels ---------------------------------------------


def own_cerebellum() -> dict[str, list[str]]:
    return {"cerebellum": both(*CEREBELLUM), "cerebellar_grey": both(*CEREBELLUM[:2])}


def shares(registered: Path, out: Path, chosen: dict) -> list[float | None]:
    status = normalize(registered, out, chosen)
    row = row_of(status, ["tau"])
    assert row.keys() == set(columns(["tau"]))
    return [row[f"tau_reference_in_{name}"] for name in ("cerebellum", "cerebellar_grey")]


def test_how_much_of_the_atlas_region_lies_in_the_persons_cerebellum(registered, tmp_path) -> None:
    whole, grey = shares(registered, tmp_path / "a", settings(**own_cerebellum()))
    assert whole > 0.98 and 0.3 < grey < 0.9  # its white matter is part of the atlas's region
    chosen = settings("inferior_cerebellar_grey", **own_cerebellum())
    assert min(shares(registered, tmp_path / "b", chosen)) > 0.95
    # Under other names, in no cerebellum or in the person's own region there is nothing to compare.
    assert shares(registered, tmp_path / "c", settings()) == [None, None]
    chosen = settings("cerebral_white", **own_cerebellum())
    assert shares(registered, tmp_path / "d", chosen) == [None, None]
    chosen = settings({"segmentation": ["Left-Ball"]}, **own_cerebellum())
    assert shares(registered, tmp_path / "e", chosen) == [None, None]


def test_a_region_carried_to_the_wrong_place_is_told(changed, tmp_path) -> None:
    moved = CONFORMED.copy()
    moved[2, 3] += 20
    write_own_labels(changed, own_labels(CONFORMED_SHAPE, CONFORMED), moved, OWN_NAMES)
    chosen = settings("inferior_cerebellar_grey", **own_cerebellum())
    whole, _ = shares(changed, tmp_path / "out", chosen)
    assert whole < 0.4
