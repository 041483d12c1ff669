"""One subject's images: find out what each is, check it, choose, convert.

Everything that is wrong with an image becomes the reason in its row of ingest.tsv.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relad.cohort import adni, bids, convert, dicom
from relad.errors import DataError
from relad.fileio import save_nifti, write_json

#: Modality in a DICOM header of each kind of image.
_DICOM_MODALITY = {"T1w": "MR", "FLAIR": "MR", "PET": "PT"}
_BECQUEREL_PER_ML = "BQML"

Row = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """An image on disk together with its row in the collection."""

    found: adni.Found
    entry: adni.Entry


@dataclass(frozen=True)
class Checked:
    """A candidate whose files are whole and whose kind is known."""

    candidate: Candidate
    kind: str
    tracer: str | None
    session: str
    series: dicom.Series | None  # None: the image came as NIfTI


@dataclass(frozen=True)
class Task:
    """All images of one subject."""

    label: str
    candidates: tuple[Candidate, ...]
    tracers: Mapping[str, Mapping[str, Any]]
    root: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one subject's images."""

    rows: list[Row]
    sessions: tuple[str, ...]
    simulated: bool


def row(
    entry: adni.Entry | None,
    found: adni.Found | None,
    *,
    reason: str | None,
    output: str | None = None,
) -> Row:
    """One row of ingest.tsv, from the collection where it knows the image, else from the tree."""
    ptid = entry.ptid if entry else found.ptid
    return {
        "image_id": (entry.image_id if entry else found.image_id) or None,
        "subject": "".join(c for c in ptid if c.isascii() and c.isalnum()) or None,
        "ptid": ptid or None,
        "description": (entry.description if entry else found.description) or None,
        "modality": (entry.modality or None) if entry else None,
        "acq_date": (entry.acq_date if entry else found.date) or None,
        "n_files": len(found.files) if found else 0,
        "status": "dropped" if reason else "kept",
        "reason": " ".join(reason.split()) if reason else None,
        "output": output,
    }


def check(candidate: Candidate, tracers: Mapping[str, Mapping[str, Any]]) -> Checked:
    """Find out what an image is and read every header of it.

    Raises
    ------
    DataError
        Where it is not used or cannot be; the message is the reason.
    """
    entry, files = candidate.entry, candidate.found.files
    kind = adni.kind_of(entry)
    session = bids.session_label(entry)
    name = entry.image_id
    nifti = [file for file in files if not file.name.lower().endswith(".dcm")]
    if nifti:
        if len(files) > 1:
            raise DataError(f"{len(files)} files where one NIfTI image is one", file=name)
        series = None
    else:
        series = dicom.read_series(files, name)
        _check_header(series, candidate, kind)
    tracer = None
    if kind == "PET":
        stated = dicom.radiopharmaceutical(series.header) if series else ""
        tracer = adni.tracer_of(entry.description, stated, tracers)
    return Checked(candidate, kind, tracer, session, series)


def _check_header(series: dicom.Series, candidate: Candidate, kind: str) -> None:
    header, first = series.header, candidate.found.files[0].name
    modality = header.get("Modality")
    if modality not in (None, "", _DICOM_MODALITY[kind]):
        raise DataError(f"its header states the modality {modality}, not {kind}'s", file=first)
    patient = str(header.get("PatientID") or "")
    if adni.PTID.fullmatch(patient) and patient != candidate.entry.ptid:
        raise DataError(f"its header names the patient {patient}", file=first)
    if kind == "PET":
        units = dicom.units(header)
        if units != _BECQUEREL_PER_ML:
            raise DataError(f"its units are {units or 'not stated'}, not Bq/mL", file=first)
    elif len(series.frames) > 1:
        raise DataError(f"holds {len(series.frames)} volumes where one is needed", file=first)


def write_image(image: Checked, label: str, root: Path, ligand: str | None) -> str:
    """Convert one image and write it with its sidecar below ``root``.

    Returns
    -------
    Its path relative to ``root``.

    Raises
    ------
    DataError
        Where its voxels cannot be used; nothing is written then.
    """
    entry, files = image.candidate.entry, image.candidate.found.files
    if image.series is None:
        made = convert.read_nifti(files[0])
    else:
        made = convert.convert_dicom(files, entry.image_id)
    data = made.data
    if image.kind == "PET":
        data = data.astype(np.float32)
        if image.series is not None:
            _check_frames(image.series, made, entry.image_id)
        if data.ndim == 3:
            data = data[..., np.newaxis]
        sidecar = bids.pet_sidecar(entry, made.sidecar, image.series, ligand)
    else:
        if data.ndim != 3:
            raise DataError(
                f"holds {data.shape[3]} volumes where one is needed", file=files[0].name
            )
        sidecar = bids.image_sidecar(entry, made.sidecar)
    path = bids.image_path(label, image.session, image.kind, ligand)
    save_nifti(root / path, data, made.affine, note=f"LONI image {entry.image_id}")
    write_json(root / bids.sidecar_path(path), sidecar)
    return path.as_posix()


def _check_frames(series: dicom.Series, made: convert.Image, where: str) -> None:
    """The converter's volumes must be the headers' frames: in their order, in their units."""
    data = made.data if made.data.ndim == 4 else made.data[..., np.newaxis]
    if data.shape[3] != len(series.frames):
        raise DataError(f"{len(series.frames)} frames became {data.shape[3]} volumes", file=where)
    for number, frame in enumerate(series.frames):
        total = dicom.plane_sum(frame.sample)
        if total is None or frame.sample.position is None:
            continue
        corner = np.append(np.multiply(frame.sample.position, (-1, -1, 1)), 1)  # LPS to RAS
        index = np.linalg.solve(made.affine, corner)[:3]
        # The plane's first corner lies in the plane, whichever voxel axis runs across it.
        across = int(np.argmax(np.abs(_normal(frame.sample) @ made.affine[:3, :3])))
        level = round(float(index[across]))
        if not 0 <= level < data.shape[across]:
            raise DataError("its slices do not lie where their headers say", file=where)
        found = float(np.take(data[..., number], level, axis=across).sum(dtype=np.float64))
        if not np.isclose(found, total, rtol=1e-3, atol=1e-3):
            raise DataError(
                f"frame {number + 1} does not hold its header's values after dcm2niix "
                f"(plane sum {found:.6g} instead of {total:.6g})",
                file=where,
            )


def _normal(plane: dicom.Plane) -> np.ndarray:
    """Direction (3,) across a plane, in RAS."""
    return np.cross(plane.orientation[:3], plane.orientation[3:]) * (-1, -1, 1)


def ingest_subject(task: Task) -> Outcome:
    """Check, choose and convert all images of one subject."""
    rows: list[Row] = []
    sessions: set[str] = set()
    rivals: dict[tuple[str, str, str], list[Checked]] = defaultdict(list)
    simulated = False
    for candidate in task.candidates:
        try:
            image = check(candidate, task.tracers)
        except DataError as error:
            rows.append(row(candidate.entry, candidate.found, reason=str(error)))
            continue
        rivals[image.session, image.kind, image.tracer or ""].append(image)
    for (session, kind, tracer), images in sorted(rivals.items()):
        kept: str | None = None
        for image in sorted(images, key=lambda i: adni.preference(i.candidate.entry, i.kind)):
            entry, found = image.candidate.entry, image.candidate.found
            if kept:
                what = f"{tracer} PET" if tracer else kind
                reason = f"another {what} in session {session}: {kept} is kept"
                rows.append(row(entry, found, reason=reason))
                continue
            ligand = task.tracers[tracer]["ligand"] if tracer else None
            try:
                output = write_image(image, task.label, task.root, ligand)
            except DataError as error:
                rows.append(row(entry, found, reason=str(error)))
                continue
            kept = entry.image_id
            sessions.add(session)
            rows.append(row(entry, found, reason=None, output=output))
            simulated |= image.series is not None and dicom.is_simulated(image.series.header)
    return Outcome(rows, tuple(sorted(sessions)), simulated)
