"""BIDS: names, sidecars and the files at the dataset's root.

Where a source lacks what BIDS requires of PET, the sidecar says "unknown"; nothing is invented.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from relad import __version__
from relad.cohort import dicom
from relad.cohort.adni import Entry
from relad.errors import DataError
from relad.fileio import write_json, write_table, write_text

UNKNOWN = "unknown"

#: What BIDS-PET requires of a sidecar (BIDS 1.10, "Positron Emission Tomography").
PET_REQUIRED = (
    "Manufacturer",
    "ManufacturersModelName",
    "Units",
    "TracerName",
    "TracerRadionuclide",
    "InjectedRadioactivity",
    "InjectedRadioactivityUnits",
    "InjectedMass",
    "InjectedMassUnits",
    "SpecificRadioactivity",
    "SpecificRadioactivityUnits",
    "ModeOfAdministration",
    "TimeZero",
    "ScanStart",
    "InjectionStart",
    "FrameTimesStart",
    "FrameDuration",
    "AcquisitionMode",
    "ImageDecayCorrected",
    "ImageDecayCorrectionTime",
    "ReconMethodName",
    "ReconMethodParameterLabels",
    "ReconMethodParameterUnits",
    "ReconMethodParameterValues",
    "ReconFilterType",
    "ReconFilterSize",
    "AttenuationCorrection",
)

_NUCLIDE = "TracerRadionuclide"

#: Identifiers and guesses of dcm2niix that do not belong in a dataset.
_DROPPED = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyID",
    "AcquisitionDateTime",
    "BidsGuess",
)

PARTICIPANT_COLUMNS = ("participant_id", "age", "sex", "group", "ptid", "sessions")
INGEST_COLUMNS = (
    "image_id",
    "subject",
    "ptid",
    "description",
    "modality",
    "acq_date",
    "n_files",
    "status",
    "reason",
    "output",
)


def session_label(entry: Entry) -> str:
    """Visit (``ADNI3 Year 1 Visit``) in letters and digits, else the date of the scan."""
    plain = unicodedata.normalize("NFKD", entry.visit).encode("ascii", "ignore").decode()
    label = re.sub(r"[^A-Za-z0-9]", "", plain) or re.sub(r"\D", "", entry.acq_date)
    if not label:
        raise DataError("has neither a visit nor a date")
    return label


def image_path(subject: str, session: str, kind: str, ligand: str | None = None) -> Path:
    """Path of an image below the dataset's root; ``kind`` is T1w, FLAIR or PET."""
    stem = f"sub-{subject}_ses-{session}"
    folder = Path(f"sub-{subject}", f"ses-{session}")
    if kind == "PET":
        tracer = re.sub(r"[^A-Za-z0-9]", "", ligand or "")
        return folder / "pet" / f"{stem}_trc-{tracer}_pet.nii.gz"
    return folder / "anat" / f"{stem}_{kind}.nii.gz"


def sidecar_path(image: Path) -> Path:
    return image.with_name(image.name.removesuffix(".nii.gz") + ".json")


def image_sidecar(entry: Entry, converted: Mapping[str, Any]) -> dict[str, Any]:
    """Sidecar of any image: the converter's, and what the archive says of it."""
    kept = {k: v for k, v in converted.items() if k not in _DROPPED and v != "None"}
    return {
        "SourceImageID": entry.image_id,
        "SourceDescription": entry.description,
        "SourceAcquisitionDate": entry.acq_date or UNKNOWN,
        **kept,
    }


def pet_sidecar(
    entry: Entry,
    converted: Mapping[str, Any],
    series: dicom.Series | None,
    ligand: str,
) -> dict[str, Any]:
    """Sidecar of a PET, with every key that BIDS-PET requires.

    Times are in s after TimeZero. TimeZero is the injection; where that is unknown it is the start
    of the scan, and InjectionStart says "unknown".

    Parameters
    ----------
    entry
        The image's row in the collection.
    converted
        dcm2niix's sidecar, or the one found beside a NIfTI.
    series
        Headers of the DICOM files; None for an image that came as NIfTI, of whose frames only
        its own sidecar tells.
    ligand
        The configured tracer's name.
    """
    sidecar = image_sidecar(entry, converted)
    if series is not None:
        # dcm2niix counts FrameTimesStart from SeriesTime, ScanStart from the first frame, and
        # does not tell the injection: its times cannot be combined, so they are replaced.
        for key in ("TimeZero", "ScanStart", "InjectionStart", "ImageDecayCorrectionTime"):
            sidecar.pop(key, None)
        sidecar.update(_times(series))
        if not any(sidecar.get("DecayCorrectionFactor") or ()):
            sidecar.pop("DecayCorrectionFactor", None)  # zeros where the header has no factor
        named = dicom.radiopharmaceutical(series.header)
        if named:
            sidecar["Radiopharmaceutical"] = named
        mode = series.header.get("SeriesType")
        if mode:
            sidecar["AcquisitionMode"] = str(mode[0] if not isinstance(mode, str) else mode).lower()
    sidecar["TracerName"] = ligand
    nuclide = re.fullmatch(r"(\d+)(Carbon|Nitrogen|Oxygen|Fluorine)", str(sidecar.get(_NUCLIDE)))
    if nuclide:  # BIDS writes F18 where DICOM's code means ^18^Fluorine
        sidecar[_NUCLIDE] = nuclide[2][0] + nuclide[1]
    for key in PET_REQUIRED:
        if sidecar.get(key) in (None, "", []):
            sidecar[key] = UNKNOWN
    return sidecar


def _times(series: dicom.Series) -> dict[str, Any]:
    header = series.header
    starts = dicom.frame_starts(series)
    durations = [frame.duration_s for frame in series.frames]
    injected = dicom.injection(header, starts[0] if starts else dicom.series_start(header))
    zero = injected or (starts[0] if starts else None)

    def after_zero(moment: datetime | None) -> float | str:
        if moment is None or zero is None:
            return UNKNOWN
        return round((moment - zero).total_seconds(), 3)

    correction = str(header.get("DecayCorrection", "")).strip().upper()
    corrected: dict[str, tuple[bool | str, float | str]] = {
        "ADMIN": (True, after_zero(injected)),
        "START": (True, after_zero(dicom.series_start(header))),
        "NONE": (False, "n/a"),
    }
    is_corrected, corrected_to = corrected.get(correction, (UNKNOWN, UNKNOWN))
    return {
        "TimeZero": zero.strftime("%H:%M:%S") if zero else UNKNOWN,
        "InjectionStart": after_zero(injected),
        "ScanStart": after_zero(starts[0]) if starts else UNKNOWN,
        "FrameTimesStart": [after_zero(start) for start in starts] if starts else UNKNOWN,
        "FrameDuration": UNKNOWN if None in durations else durations,
        "ImageDecayCorrected": is_corrected,
        "ImageDecayCorrectionTime": corrected_to,
    }


def write_root(root: Path, participants: Sequence[Mapping[str, Any]], *, simulated: bool) -> None:
    """Write the files at the dataset's root that describe it."""
    what = "SIMULATED DATA (digital phantoms, no patients)" if simulated else "LONI download"
    write_json(
        root / "dataset_description.json",
        {
            "Name": what,
            "BIDSVersion": "1.10.0",
            "DatasetType": "raw",
            "GeneratedBy": [{"Name": "relad ingest", "Version": __version__}],
        },
    )
    write_text(
        root / "README",
        f"{what}, converted to BIDS by `relad ingest`.\n\n"
        "ingest.tsv accounts for every series of the download: kept or dropped, and why.\n"
        "participants.tsv lists every subject of the collection, also those without a usable "
        "scan.\nA sidecar's SourceImageID is the image's id in the archive; what the source does "
        'not tell is "unknown".\n',
    )
    write_text(root / ".bidsignore", "ingest.tsv\nprovenance.json\n")
    write_table(root / "participants.tsv", participants, PARTICIPANT_COLUMNS)
    write_json(
        root / "participants.json",
        {
            "age": {"Description": "age at the earliest listed scan", "Units": "year"},
            "sex": {"Description": "as the collection states it"},
            "group": {"Description": "diagnostic group at the earliest listed scan"},
            "ptid": {"Description": "identifier of the subject in the archive"},
            "sessions": {"Description": "sessions with a usable scan, separated by commas"},
        },
    )
