"""The simulated scanners: voxel sizes, noise, contrast and headers by maker.

Signals are relative to white matter on T1w (1.0); noise is relative to that signal too.
"""

from __future__ import annotations

from dataclasses import dataclass

from relad.errors import ReladError


@dataclass(frozen=True)
class Sequence:
    """An MRI sequence on one scanner.

    Attributes
    ----------
    shape, voxel_mm
        Columns, rows, slices and their edges in mm.
    signal
        Tissue -> mean signal.
    noise
        Standard deviation of the complex noise, per channel.
    bias
        Peak relative strength of the coil's bias field.
    """

    description: str
    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    signal: dict[str, float]
    noise: float
    bias: float
    header: dict[str, object]


@dataclass(frozen=True)
class Tomograph:
    """A PET scanner: intrinsic resolution before the noise, reconstruction filter after it.

    The image's point spread function has the full width at half maximum
    ``sqrt(intrinsic_mm ** 2 + filter_mm ** 2)``.
    """

    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    intrinsic_mm: float
    filter_mm: float
    counts: float  # coincidences per voxel and minute in the reference region
    description: str  # series description, with {ligand}
    model: str
    decay_correction: str  # DICOM (0054,1102): START of the scan or ADMIN(istration)
    reconstruction: str


@dataclass(frozen=True)
class Scanner:
    """One site's MRI and PET machines."""

    name: str
    manufacturer: str
    mri_model: str
    field_tesla: float
    software: str
    t1w: Sequence
    flair: Sequence
    pet: Tomograph
    descending: bool  # PET slices numbered from the top of the head
    image_id_prefix: str  # collection CSVs write image ids with and without "I"


# fmt: off
_T1W = {
    "white": 1.00, "grey": 0.66, "deep_grey": 0.82, "csf": 0.20, "lesion": 0.80, "fat": 1.20,
    "muscle": 0.52, "skull": 0.07, "marrow": 0.60, "skin": 0.60, "eye": 0.22, "air": 0.0,
    "vessel": 0.10,
}
_FLAIR = {
    "white": 0.62, "grey": 0.80, "deep_grey": 0.72, "csf": 0.10, "lesion": 1.35, "fat": 0.75,
    "muscle": 0.45, "skull": 0.05, "marrow": 0.45, "skin": 0.50, "eye": 0.12, "air": 0.0,
    "vessel": 0.08,
}
ALPHA = Scanner(
    name="alpha", manufacturer="SIEMENS", mri_model="SIMULATED alpha 3T", field_tesla=3.0,
    software="simulated", descending=False, image_id_prefix="I",
    t1w=Sequence(
        "MPRAGE", (128, 128, 96), (1.8, 1.8, 2.0), _T1W, 0.030, 0.20,
        {"ScanningSequence": ["GR", "IR"], "SequenceVariant": ["SK", "SP", "MP"],
         "ScanOptions": "IR", "MRAcquisitionType": "3D", "SequenceName": "*tfl3d1_16",
         "RepetitionTime": 2300, "EchoTime": 2.98, "InversionTime": 900, "FlipAngle": 9},
    ),
    flair=Sequence(
        "Axial T2-FLAIR", (144, 144, 42), (1.6, 1.6, 4.0), _FLAIR, 0.035, 0.18,
        {"ScanningSequence": ["SE", "IR"], "SequenceVariant": ["SK", "SP", "MP"],
         "ScanOptions": "IR", "MRAcquisitionType": "2D", "SequenceName": "*tir2d1_21",
         "RepetitionTime": 9000, "EchoTime": 90, "InversionTime": 2500, "FlipAngle": 150},
    ),
    pet=Tomograph(
        (80, 80, 56), (3.0, 3.0, 3.0), 4.8, 4.4, 2.0, "{ligand} Dynamic",
        "SIMULATED alpha PET", "START", "OSEM3D 4i21s",
    ),
)
BETA = Scanner(
    name="beta", manufacturer="GE MEDICAL SYSTEMS", mri_model="SIMULATED beta 3T",
    field_tesla=3.0, software="simulated", descending=True, image_id_prefix="",
    t1w=Sequence(
        "Accelerated Sagittal MPRAGE", (120, 120, 88), (1.95, 1.95, 2.2),
        {**_T1W, "grey": 0.72, "deep_grey": 0.86, "csf": 0.28, "lesion": 0.86, "fat": 1.05},
        0.045, 0.35,
        {"ScanningSequence": ["GR"], "SequenceVariant": ["SS", "SP", "SK"],
         "ScanOptions": "IR", "MRAcquisitionType": "3D", "SequenceName": "mprage",
         "RepetitionTime": 7.4, "EchoTime": 3.1, "InversionTime": 400, "FlipAngle": 11},
    ),
    flair=Sequence(
        "Axial FLAIR", (128, 128, 34), (1.8, 1.8, 5.0),
        {**_FLAIR, "white": 0.66, "grey": 0.80, "csf": 0.16, "lesion": 1.20}, 0.045, 0.30,
        {"ScanningSequence": ["SE", "IR"], "SequenceVariant": ["SK"],
         "ScanOptions": "FAST_GEMS", "MRAcquisitionType": "2D", "SequenceName": "flair",
         "RepetitionTime": 11000, "EchoTime": 150, "InversionTime": 2250, "FlipAngle": 90},
    ),
    pet=Tomograph(
        (80, 80, 56), (3.2, 3.2, 3.1), 6.2, 5.2, 1.4, "{ligand} PET Brain Dynamic",
        "SIMULATED beta PET", "ADMIN", "3D-IR",
    ),
)
# fmt: on
SCANNERS = {scanner.name: scanner for scanner in (ALPHA, BETA)}


def scanner(name: str) -> Scanner:
    """Look a scanner up by name; a :class:`ReladError` names the known ones."""
    if name not in SCANNERS:
        raise ReladError(f"unknown scanner {name!r}", hint=f"known: {', '.join(SCANNERS)}")
    return SCANNERS[name]
