"""BIDS: names, sidecars and the files at the dataset's root.

Where a source lacks what BIDS requires of PET, the sidecar says "unknown", or BIDS's own word for
it where there is one; nothing is invented. For most numbers BIDS has no such word (a scan without
an injection time cannot be valid BIDS-PET): it says "unknown" there too, and BIDS's validator
complains.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from unicodedata import normalize

from relad import __version__
from relad.cohort import dicom_pet
from relad.cohort.adni import Entry
from relad.cohort.dicom import parse_moment
from relad.cohort.dicom_planes import zone_of
from relad.cohort.dicom_series import Series
from relad.cohort.frame_times import decay_corrected
from relad.errors import DataError
from relad.fileio import write_json, write_table, write_text
from relad.status import Kind

#: Of the standard that is written.
VERSION = "1.10.0"
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

#: What stands for "unknown" where BIDS does not take that word.
_UNKNOWN_AS: dict[str, Any] = {
    "InjectedMass": "n/a",
    "InjectedMassUnits": "n/a",
    "SpecificRadioactivity": "n/a",
    "SpecificRadioactivityUnits": "n/a",
    "ReconMethodParameterLabels": [],
    "ReconMethodParameterUnits": [],
    "ReconMethodParameterValues": [],
}

_NUCLIDE = "TracerRadionuclide"
#: Bq/mL, as sidecars spell it (``BQML``, ``Bq/cm3``, ``Bq mL^-1``), without what is no letter.
_ACTIVITY = re.compile(r"(bq|becquerels?)(per)?(ml|cc|cm3|millilit(er|re)s?)1?")
_CORRECTED_TO = "ImageDecayCorrectionTime"

#: Identifiers and guesses of dcm2niix that do not belong in a dataset.
_DROPPED = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyID",
    "AcquisitionDateTime",
    "BidsGuess",
)

PARTICIPANT_COLUMNS = ("participant_id", "age", "sex", "group", "ptid", "sessions")


def image_path(subject: str, session: str | None, kind: str, ligand: str | None = None) -> Path:
    """Path of an image below the dataset's root; ``kind`` is T1w, FLAIR or PET."""
    parts = [f"sub-{subject}", *([f"ses-{session}"] if session else [])]
    stem, folder = "_".join(parts), Path(*parts)
    if kind == "PET":
        tracer = re.sub(r"[^A-Za-z0-9]", "", ligand or "")
        return folder / "pet" / f"{stem}_trc-{tracer}_pet.nii.gz"
    return folder / "anat" / f"{stem}_{kind}.nii.gz"


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
    series: Series | None,
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

    Raises
    ------
    DataError
        Where it does not tell in words of BIDS whether it is corrected for decay.
    """
    sidecar = image_sidecar(entry, converted)
    if series is not None:
        # dcm2niix counts FrameTimesStart from SeriesTime, ScanStart from the first frame, and
        # does not tell the injection: its times cannot be combined, so they are replaced.
        for key in ("TimeZero", "ScanStart", "InjectionStart", "ImageDecayCorrectionTime"):
            sidecar.pop(key, None)
        sidecar.update(pet_times(series))
        sidecar["Units"] = "Bq/mL"  # as all PET is that came as DICOM; else it was refused
        if not any(sidecar.get("DecayCorrectionFactor") or ()):
            sidecar.pop("DecayCorrectionFactor", None)  # zeros where the header has no factor
        named = dicom_pet.radiopharmaceutical(series.header)
        if named:
            sidecar["Radiopharmaceutical"] = named
        mode = series.header.get("SeriesType")
        if mode:
            sidecar["AcquisitionMode"] = str(mode[0] if not isinstance(mode, str) else mode).lower()
    if series is not None or not sidecar.get("TracerName"):
        sidecar["TracerName"] = ligand
    nuclide = dicom_pet.nuclide(str(sidecar.get(_NUCLIDE)))
    if nuclide:
        sidecar[_NUCLIDE] = nuclide
    yes = decay_corrected(sidecar)
    if yes is not None:
        sidecar["ImageDecayCorrected"] = yes
    for key in PET_REQUIRED:
        if sidecar.get(key) in (None, "", "n/a", []):
            applies = not (key == _CORRECTED_TO and sidecar.get("ImageDecayCorrected") is False)
            sidecar[key] = _UNKNOWN_AS.get(key, UNKNOWN) if applies else "n/a"
    for key in ("FrameTimesStart", "FrameDuration"):
        if isinstance(sidecar[key], int | float):
            sidecar[key] = [sidecar[key]]
    return sidecar


def check_pet_sidecar(sidecar: Mapping[str, Any], frames: int) -> list[str]:
    """Check the units of a PET that came as NIfTI, and how many frames its sidecar times.

    Returns
    -------
    Notes on what the sidecar does not tell.

    Raises
    ------
    DataError
        Where it contradicts itself or the image's number of frames.
    """
    notes = []
    units = str(sidecar["Units"])
    if units == UNKNOWN:
        notes.append("units unknown")
    elif not is_activity(units):
        raise DataError(f"its units are {units}, not Bq/mL", hint="convert it to Bq/mL")
    for key in ("FrameTimesStart", "FrameDuration"):
        values = sidecar[key]
        if isinstance(values, str) and values != UNKNOWN:
            raise DataError(f"its {key} is not a list of numbers ({values!r})")
        if values != UNKNOWN and len(values) != frames:
            raise DataError(f"its {key} has {len(values)} entries for {frames} frames")
    return notes


def is_activity(units: str) -> bool:
    """Whether a sidecar's units are Bq/mL, in whatever spelling."""
    return bool(_ACTIVITY.fullmatch(re.sub(r"[\W_]", "", normalize("NFKC", units)).lower()))


def untold_times(sidecar: Mapping[str, Any]) -> list[str]:
    """What of a PET's times its sidecar does not tell, in words."""
    if UNKNOWN in (sidecar["FrameTimesStart"], sidecar["FrameDuration"]):
        return ["frame times unknown"]
    return [] if isinstance(sidecar["InjectionStart"], int | float) else ["injection time unknown"]


def pet_times(series: Series) -> dict[str, Any]:
    """Keys of the sidecar that tell times, in s after TimeZero, from a series' headers."""
    header = series.header
    starts = dicom_pet.frame_starts(series)
    durations = [frame.duration_s for frame in series.frames]
    injected = dicom_pet.injection(header, dicom_pet.scan_start(series))
    zero = injected or (starts[0] if starts else None)

    def after_zero(moment: datetime | None) -> float | str:
        if moment is None or zero is None:
            return UNKNOWN
        return round((moment - zero).total_seconds(), 3)

    correction = str(header.get("DecayCorrection", "")).strip().upper()
    corrected: dict[str, tuple[bool | str, float | str]] = {
        "ADMIN": (True, after_zero(injected)),
        "START": (True, after_zero(dicom_pet.series_start(series))),
        "NONE": (False, "n/a"),
    }
    is_corrected, corrected_to = corrected.get(correction, (UNKNOWN, UNKNOWN))
    if not correction:  # an enhanced PET states whether, and to which moment
        yes = {"YES": True, "NO": False}.get(str(header.get("DecayCorrected", "")).strip().upper())
        moment = parse_moment(header.get("DecayCorrectionDateTime"), zone_of(header))
        if moment is not None and starts:  # one date may have been shifted and not the other
            moment = dicom_pet.on_day_of(starts[0], moment)
        if yes is not None:
            is_corrected, corrected_to = yes, after_zero(moment) if yes else "n/a"
    return {
        "TimeZero": zero.strftime("%H:%M:%S") if zero else UNKNOWN,
        "InjectionStart": after_zero(injected),
        "ScanStart": after_zero(starts[0]) if starts else UNKNOWN,
        "FrameTimesStart": [after_zero(start) for start in starts] if starts else UNKNOWN,
        "FrameDuration": UNKNOWN if None in durations else durations,
        "ImageDecayCorrected": is_corrected,
        "ImageDecayCorrectionTime": corrected_to,
    }


def write_root(
    root: Path, participants: Sequence[Mapping[str, Any]], *, what: str, kind: Kind
) -> None:
    """Write the files at the dataset's root that describe it; ``what`` names its source."""
    name = kind.note or what
    write_json(
        root / "dataset_description.json",
        {
            "Name": name,
            "BIDSVersion": VERSION,
            "DatasetType": "raw",
            "GeneratedBy": [{"Name": "relad ingest", "Version": __version__}],
        },
    )
    write_text(
        root / "README",
        f"{name}, brought to BIDS by `relad ingest`.\n\n"
        "ingest.tsv accounts for every series of the source: kept or dropped, and why.\n"
        "pairs.tsv says for every PET which T1w and FLAIR belong to it.\n"
        "participants.tsv lists every subject of the source, also those without a usable "
        "scan.\nA sidecar's SourceImageID is the image's id in the source; what the source does "
        'not tell is "unknown".\n',
    )
    write_text(root / ".bidsignore", "ingest.tsv\npairs.tsv\nprovenance.json\n")
    write_table(root / "participants.tsv", participants, PARTICIPANT_COLUMNS)
    write_json(
        root / "participants.json",
        {
            "age": {"Description": "age at the earliest listed scan", "Units": "year"},
            "sex": {"Description": "as the source states it"},
            "group": {"Description": "diagnostic group at the earliest listed scan"},
            "ptid": {"Description": "identifier of the subject in the source"},
            "sessions": {"Description": "sessions with a usable scan, separated by commas"},
        },
    )
