"""A registered subject made by hand: the template itself in known poses, no registration run."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from relad.fileio import write_json
from relad.imaging import atlas
from relad.imaging.nifti import save_nifti
from relad.imaging.resample import grid_points, sample
from relad.imaging.segmentation import Segmentation
from relad.registration.transforms import names, pet_names, write_affine
from relad.status import Modality, ScanStatus, State, SubjectStatus
from tests.helpers.settings import study, tracer

SUBJECT = "S1"
#: Grid of every scan: 3 mm, larger than the head.
SHAPE, VOXEL_MM = (68, 76, 64), 3.0
SETTINGS = study(
    tracers={"tau": tracer("AV1451")},
    registration={"to_mni": "affine"},
    grid={"voxel_mm": 4.0, "shape": [40, 48, 40], "deform": False},
    # Its PET is as sharp as the template.
    qc={"min_registration_correlation": 0.5, "max_pet_detail": 0.3},
)
REFERENCE_BQ_ML = 2000.0
SECONDS = (300.0, 600.0)


def pose(degrees: float, shift_mm: tuple[float, float, float]) -> np.ndarray:
    """Rigid (4, 4) map of RAS mm points, about the origin."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [degrees, -degrees / 2, degrees / 3],
                                         degrees=True).as_matrix()  # fmt: skip
    matrix[:3, 3] = shift_mm
    return matrix


MNI_TO_T1W = pose(6, (3, -4, 5))
T1W_TO_FLAIR = pose(-8, (-4, 2, 6))
T1W_TO_PET = pose(10, (8, 6, -7))
MOTION = (pose(3, (2, -3, 1)), np.eye(4))


@lru_cache(maxsize=8)
def mni(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """One map of the template (see :func:`truth`) at 2 mm, and its affine."""
    shape = (96, 112, 96)
    affine = atlas.grid_affine(shape, 2.0)
    return truth(kind, shape, affine), affine


def truth(kind: str, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """T1w, FLAIR (grey brighter than white), brain or SUVR (2 in grey, 1 elsewhere) on MNI."""
    brain = atlas.resample_map("brain", shape, affine)
    if kind == "brain":
        return brain
    if kind == "T1w":
        return 500 * atlas.resample_map("t1", shape, affine)
    grey, white = (atlas.resample_map(k, shape, affine) for k in ("grey", "white"))
    if kind == "FLAIR":
        return 100 * brain + 300 * grey + 200 * white
    parts = [atlas.REGIONS[name] for name in atlas.REFERENCE_REGIONS["whole_cerebellum"]]
    cerebellum = np.isin(atlas.region_labels(shape, affine), parts)
    return np.where(cerebellum, 1.0, brain + grey).astype(np.float32)


def scan(kind: str, mni_to_scan: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A map of the template in the pose ``mni_to_scan``, on the scans' grid."""
    data, source = mni(kind)
    affine = atlas.grid_affine(SHAPE, VOXEL_MM)
    points = apply_affine(np.linalg.inv(mni_to_scan), grid_points(SHAPE, affine))
    return sample(data, source, points), affine


def write_registered(folder: Path) -> Path:
    """Write what ``relad register`` would, with the true transforms."""
    folder.mkdir(parents=True)
    files, pet = names(SUBJECT), pet_names(SUBJECT, "tau")
    save_nifti(folder / files["t1w"], *scan("T1w", MNI_TO_T1W))
    brain, affine = scan("brain", MNI_TO_T1W)
    save_nifti(folder / files["brain_mask"], brain > 0.5, affine)
    save_nifti(folder / files["flair"], *scan("FLAIR", T1W_TO_FLAIR @ MNI_TO_T1W))
    write_affine(folder / files["t1w_to_mni_affine"], MNI_TO_T1W)
    write_affine(folder / files["flair_to_t1w"], T1W_TO_FLAIR)
    write_affine(folder / pet["pet_to_t1w"], T1W_TO_PET)
    poses = [moved @ T1W_TO_PET @ MNI_TO_T1W for moved in MOTION]
    # Decay and kinetics change the level between frames; the mean is weighted by duration.
    levels = (1.5, 0.75)
    frames = [
        level * REFERENCE_BQ_ML * scan("SUVR", at)[0]
        for level, at in zip(levels, poses, strict=True)
    ]
    save_nifti(folder / pet["frames"], np.stack(frames, axis=-1), affine)
    mean = REFERENCE_BQ_ML * scan("SUVR", T1W_TO_PET @ MNI_TO_T1W)[0]
    save_nifti(folder / pet["mean"], mean, affine)
    write_json(
        folder / pet["motion"],
        {
            "corrected": True,
            "reference": 1,
            "frames": [
                {
                    "index": i,
                    "start_s": 4800.0 + 300 * i,
                    "duration_s": SECONDS[i],
                    "in_window": True,
                    "displacement_mm": displacement,
                    "translation_mm": [displacement, 0.0, 0.0],
                    "rotation_deg": [0.0, 0.0, 0.0],
                    "reference_to_frame_ras_mm": m.tolist(),
                }
                for i, (m, displacement) in enumerate(zip(MOTION, (5.0, 0.0), strict=True))
            ],
        },
    )
    scan_ok = {"state": State.OK, "simulated": True}
    SubjectStatus(
        SUBJECT,
        session="bl",
        mri={modality: ScanStatus(**scan_ok) for modality in Modality},
        pet={"tau": ScanStatus(**scan_ok, numbers={"motion_mm": 5.0, "motion_corrected": True})},
        numbers={"brain_volume_ml": 1500.0, "brain_overlap_dice": 0.95},
    ).write(folder)
    return folder


# --- the person's own labels ---------------------------------------------------------------------

#: Names of the person's own labels: relad's regions, cut into halves.
OWN_NAMES = {
    f"{side}-{region}": value + 100 * number
    for number, side in enumerate(("Left", "Right"))
    for region, value in atlas.REGIONS.items()
}
#: As FreeSurfer conforms heads: 256 mm, its first axis to the left, its second one down.
CONFORMED_SHAPE = (128, 128, 128)
CONFORMED = np.array([[-2.0, 0, 0, 130], [0, 0, 2, -140], [0, -2, 0, 125], [0, 0, 0, 1]])


def own_labels(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Labels :data:`OWN_NAMES` (x, y, z) of the person on any grid in the space of the T1w."""
    points = apply_affine(np.linalg.inv(MNI_TO_T1W), grid_points(shape, affine))
    grid = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    index = np.rint(apply_affine(np.linalg.inv(grid), points)).astype(int)
    there = ((index >= 0) & (index < atlas.SHAPE)).all(axis=-1)
    labels = np.zeros(shape, np.int16)
    labels[there] = atlas.region_labels(atlas.SHAPE, grid)[tuple(index[there].T)]
    return np.where((labels > 0) & (points[..., 0] > 0), labels + 100, labels).astype(np.int16)


def write_own_labels(
    folder: Path, labels: np.ndarray, affine: np.ndarray, known: dict[str, int]
) -> None:
    """Add labels to a registered subject, as ``relad register`` does."""
    files = names(SUBJECT)
    table = folder / files["segmentation_table"]
    Segmentation(labels, affine, known, table, table).write(folder / files["segmentation"], table)
    status = SubjectStatus.read(folder)
    sums = {"labels_sha256": "0" * 64, "table_sha256": "1" * 64}
    status.segmentation = ScanStatus(State.OK, numbers={"in_brain": 1.0, **sums})
    status.inputs |= {"segmentation": "aparc+aseg.mgz", "segmentation_table": "aparc+aseg.tsv"}
    status.write(folder)
