"""Folders of heads as NiChart leaves them, made of the phantom's anatomy on coarse grids."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import geometry, mri
from relad.cohort.phantom import template as base
from relad.cohort.phantom.scanners import ALPHA
from relad.imaging import atlas
from tests.helpers.settings import study as settings_of
from tests.helpers.settings import tracer

#: One of MUSE's labels of each region: (left, right).
MUSE = {
    "medial_temporal": (171, 170), "lateral_temporal": (155, 154), "frontal": (143, 142),
    "anterior_cingulate": (101, 100), "posterior_cingulate_precuneus": (169, 168),
    "parietal": (107, 106), "occipital": (109, 108), "sensorimotor": (183, 182),
    "hippocampus": (48, 47), "amygdala": (32, 31), "basal_ganglia": (58, 57),
    "thalamus": (60, 59), "cerebral_white": (82, 81), "superior_cerebellar_grey": (39, 38),
    "inferior_cerebellar_grey": (39, 38), "cerebellar_white": (41, 40), "brainstem": (35, 35),
}  # fmt: skip
VENTRICLE, FUSIFORM, CSF = (52, 51), (123, 122), 1
#: Share of the atlas's medial temporal regions that are as large as people's; it has no others.
MEDIAL, MEDIAL_SHARE = ("medial_temporal", "hippocampus", "amygdala"), 0.45
SHAPE, VOXEL_MM = (70, 84, 78), 3.0


def save(folder: Path, name: str, data: np.ndarray, affine: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(data, affine), folder / f"{name}.nii.gz")


def add_head(folder: Path, name: str, seed_name: str) -> None:
    """Write one person's four images; the head lies 9 mm and 4 degrees elsewhere in FLAIR."""
    anatomy = person.build(0, "heads", seed_name)
    rng = np.random.default_rng(0)
    centre = geometry.apply(anatomy.affine, base.HEAD_CENTRE)
    grid = geometry.Grid.centred(SHAPE, (VOXEL_MM,) * 3, np.eye(3), centre)
    t1w = mri.scan(anatomy, ALPHA.t1w, grid, np.eye(4), rng)
    save(folder, f"{name}_T1", t1w.astype(np.int16), grid.affine)
    save(folder, f"{name}_T1_DLMUSE", _labels(anatomy, grid), grid.affine)

    moved = geometry.rigid(np.array([0.0, 0, 4]), np.array([9.0, 0, 0]), centre)
    above = centre + np.array([0, 0, 14.0])
    flair = geometry.Grid.centred((72, 72, 42), (3.0, 3.0, 4.0), np.eye(3), above)
    data = mri.scan(anatomy, ALPHA.flair, flair, moved, rng)
    save(folder, f"{name}_FL", data.astype(np.int16), flair.affine)
    points = anatomy.mni_points(flair, moved, stride=2)
    (lesion,) = geometry.sample([anatomy.lesion], base.SUVR_AFFINE, points)
    save(folder, f"{name}_FL_DLWMLS", (lesion > 0.5).astype(np.uint8), flair.affine)


def _labels(anatomy: person.Anatomy, grid: geometry.Grid) -> np.ndarray:
    template = base.template()
    points = anatomy.mni_points(grid, np.eye(4), stride=2)
    right = (points[..., 0] > 0).astype(int)
    regions = atlas.region_labels(base.SUVR_SHAPE, base.SUVR_AFFINE)
    (found,) = geometry.sample([regions], base.SUVR_AFFINE, points, order=0)
    (brain,) = geometry.sample([template.brain], template.tissue_affine, points)
    (ventricle,) = geometry.sample([template.ventricle], base.SUVR_AFFINE, points)
    out = np.where(brain > 0.5, CSF, 0).astype(np.uint8)
    for region, numbers in MUSE.items():
        here = (found == atlas.REGIONS[region]) & (brain > 0.5)
        out[here] = np.array(numbers)[right[here]]
        if region in MEDIAL:
            lower = here & (points[..., 2] < np.quantile(points[here][:, 2], 1 - MEDIAL_SHARE))
            out[lower] = np.array(FUSIFORM)[right[lower]]
    here = ventricle > 0.5
    out[here] = np.array(VENTRICLE)[right[here]]
    return out


def write_people(folder: Path, rows: dict[str, tuple[object, str]]) -> None:
    lines = ["MRID,Age,Sex", *(f"{name},{age},{sex}" for name, (age, sex) in rows.items())]
    (folder / "participants.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def empty_heads(folder: Path, people: int = 16) -> None:
    """A folder whose files are empty: enough to plan a study, which reads none of them."""
    folder.mkdir()
    write_people(folder, {f"S{n}": (70, "F") for n in range(people)})
    for n in range(people):
        for suffix in ("T1", "T1_DLMUSE", "FL", "FL_DLWMLS"):
            (folder / f"S{n}_{suffix}.nii.gz").touch()


TRACERS = {
    "tau": tracer("AV1451", aliases=["AV-1451"], reference_region="inferior_cerebellar_grey"),
    "tspo": tracer("PBR28", frames_min=[60, 90]),
}
PEOPLE = {"old": (88.5, "F"), "Young-1": (71, "M")}


def hybrid_entry(folder: Path) -> dict:
    phantom = {"heads": str(folder), "scanner": "alpha"}
    return {"role": "train", "source": "phantom", "phantom": phantom}


def hybrid_settings(folder: Path) -> dict:
    return settings_of(seed=3, tracers=TRACERS, cohorts={"hybrid": hybrid_entry(folder)})


def own_scheme(folder: Path, name: str = "old", *, skip: str = "") -> None:
    """Rename MUSE's labels of a person by a table of the test's own."""
    data = nib.load(folder / f"{name}_T1_DLMUSE.nii.gz")
    numbers = np.asarray(data.dataobj).astype(np.int32)
    known = [*MUSE.items(), ("lateral_temporal", FUSIFORM), ("cerebellar_grey", (39, 38))]
    known += [("ventricles", VENTRICLE), ("csf", (CSF, CSF))]
    rows = ["index\tregion\themisphere"]
    for region, (left, right) in known:
        if region in (skip, "superior_cerebellar_grey", "inferior_cerebellar_grey"):
            continue
        sided = {left: "left", right: "right"} if left != right else {left: "n/a"}
        rows += [f"{1000 + label}\t{region}\t{side}" for label, side in sided.items()]
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n")
    numbers = np.where(numbers > 0, numbers + 1000, 0).astype(np.int16)
    save(folder, f"{name}_T1_labels", numbers, data.affine)


def two_heads(folder: Path) -> Path:
    """Fill a folder with the heads of :data:`PEOPLE`."""
    add_head(folder, "old", "941_S_0002")
    add_head(folder, "Young-1", "941_S_0001")
    write_people(folder, PEOPLE)
    return folder
