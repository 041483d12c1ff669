"""One subject's images: find out what each is, check it, choose, convert.

Everything that is wrong with an image becomes the reason in its row of ingest.tsv; what a person
should look at, though the image is kept, becomes its note.
"""

from __future__ import annotations

import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from relad.cohort import adni, bids, convert, dicom, dicom_pet, dicom_series, integrity, overrides
from relad.cohort.images import Candidate, Row, row
from relad.cohort.integrity import Checksums
from relad.cohort.series import Product, SeriesTable, tracer_of
from relad.errors import DataError, ReladError, refuse_machine_failure
from relad.fileio import beside, write_json
from relad.imaging.nifti import save_nifti
from relad.status import SIMULATED_KEY, Kind, is_simulated, says_simulated
from relad.study.settings import Tracer

#: Modality in a DICOM header of each kind of image.
_DICOM_MODALITY = {"T1w": "MR", "FLAIR": "MR", "PET": "PT"}
_BECQUEREL_PER_ML = "BQML"

T = TypeVar("T")


@dataclass(frozen=True)
class Rules:
    """What decides whether an image is used: series table, tracers, checksums if there are any.

    ``simulated`` is whether the source says of all its scans that they are.
    """

    series: SeriesTable
    tracers: Mapping[str, Tracer]
    checksums: Checksums | None = None
    simulated: bool = False


@dataclass
class Checked:
    """A candidate whose files are whole and whose kind is known.

    ``timed`` is whether the frames of a PET's window can be told, or need not be.
    """

    candidate: Candidate
    kind: str
    tracer: str | None
    product: Product | None
    series: dicom_series.Series | None  # None: the image came as NIfTI
    timed: bool = True
    simulated: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def preference(self) -> tuple[Any, ...]:
        """Sort key among images of one kind in a session."""
        # A raw scan whose injection nobody knows is of less use than its average.
        return (not self.timed, self.product.rank if self.product else 0, *self.candidate.rank)


@dataclass(frozen=True)
class Task:
    """All images of one subject."""

    label: str
    candidates: tuple[Candidate, ...]
    rules: Rules


@dataclass(frozen=True)
class Outcome:
    """What became of one subject's images: rows of ingest.tsv, sessions with a usable one."""

    rows: list[Row]
    sessions: tuple[str, ...]


def check(candidate: Candidate, rules: Rules) -> Checked:
    """Find out what an image is and read every header of it.

    Raises
    ------
    DataError
        Where it is not used or cannot be; the message is the reason.
    """
    entry, files = candidate.entry, candidate.files
    if candidate.problem:
        raise DataError(candidate.problem)
    kind = candidate.kind or rules.series.kind_of(entry.modality, entry.description)
    notes = [rules.checksums.check(files)] if rules.checksums else []
    series = None
    if all(file.name.lower().endswith(".dcm") for file in files):
        series = dicom_series.read_series(files, entry.image_id)
        _check_header(series, candidate, kind)
    elif len(files) > 1:
        raise DataError(f"{len(files)} files where one NIfTI image is one", file=entry.image_id)
    candidate = overrides.put_right(candidate, series, rules.tracers)
    tracer = product = None
    timed = True
    if kind == "PET":
        stated = dicom_pet.radiopharmaceutical(series.header) if series else ""
        told = candidate.sidecar
        stated = stated or str(told.get("TracerName") or told.get("Radiopharmaceutical") or "")
        tracer = candidate.put_right.get("tracer") or tracer_of(
            entry.description, stated, rules.tracers
        )
        product = rules.series.product_of(entry.description)
        if series is not None and not product.averaged:
            timed = bids.pet_times(series)["InjectionStart"] != bids.UNKNOWN
        if series is not None:
            notes.append(_check_decay(series, entry.image_id, product))
    simulated = (
        rules.simulated
        or says_simulated(candidate.sidecar)
        or (says_simulated(series.header) if series else is_simulated(files[0]))
    )
    kept = [note for note in notes if note]
    return Checked(candidate, kind, tracer, product, series, timed, simulated, kept)


def _check_decay(series: dicom_series.Series, where: str, product: Product) -> str | None:
    """Refuse a raw scan of several reference times; of a processed one it is a note.

    Processing often copies one frame's header to all, its DecayFactor too.
    """
    try:
        dicom_pet.check_decay(series, where)
    except DataError as error:
        if product.rank == 0:
            raise
        return error.what
    return None


def _check_header(series: dicom_series.Series, candidate: Candidate, kind: str) -> None:
    header, first = series.header, candidate.files[0].name
    modality = header.get("Modality")
    if modality not in (None, "", _DICOM_MODALITY[kind]):
        raise DataError(f"its header states the modality {modality}, not {kind}'s", file=first)
    patient = str(header.get("PatientID") or "")
    if adni.PTID.fullmatch(patient) and patient != candidate.entry.ptid:
        raise DataError(f"its header names the patient {patient}", file=first)
    if kind == "PET":
        units = dicom_pet.units(header)
        if units != _BECQUEREL_PER_ML:
            raise DataError(f"its units are {units or 'not stated'}, not Bq/mL", file=first)
    elif len(series.frames) > 1:
        raise DataError(f"holds {len(series.frames)} volumes where one is needed", file=first)


def write_image(image: Checked, label: str, root: Path, ligand: str | None) -> str:
    """Convert one image and write it with its sidecar below ``root``; adds to ``image.notes``.

    Returns
    -------
    Its path relative to ``root``.

    Raises
    ------
    DataError
        Where its voxels cannot be used; nothing is written then.
    """
    candidate = image.candidate
    entry, files, where = candidate.entry, candidate.files, candidate.entry.image_id
    if image.series is None:
        made = convert.read_nifti(files[0])
        where = files[0].name
    else:
        made = convert.convert_dicom(files, entry.image_id)
        beyond = dicom.beyond_stored_bits(files)
        if beyond:
            image.notes.append(f"{beyond} values exceed the bits that its headers say are stored")
    integrity.check_grid(made.data.shape, made.affine, where)
    data, told = made.data, {**made.sidecar, **candidate.sidecar}
    if image.kind == "PET":
        data = data.astype(np.float32)
        if image.series is not None:
            _check_frames(image.series, made, entry.image_id)
        if data.ndim == 3:
            data = data[..., np.newaxis]
        sidecar = bids.pet_sidecar(entry, told, image.series, ligand)
        if image.product is not None and candidate.kind is None:
            sidecar["SourceProduct"] = image.product.name
            sidecar["SourceFramesAveraged"] = image.product.averaged
        if image.series is None:
            image.notes += bids.check_pet_sidecar(sidecar, data.shape[3])
        elif sidecar["InjectionStart"] == bids.UNKNOWN:
            image.notes.append("injection time unknown")
    else:
        if data.ndim != 3:
            raise DataError(
                f"holds {data.shape[3]} volumes where one is needed", file=files[0].name
            )
        sidecar = bids.image_sidecar(entry, told)
    image.notes += integrity.remarks(data)
    path = bids.image_path(label, candidate.session, image.kind, ligand)
    sidecar[SIMULATED_KEY] = image.simulated
    mark = f"{Kind.SIMULATED.mark}, " if image.simulated else ""
    save_nifti(root / path, data, made.affine, note=f"{mark}source image {entry.image_id}")
    write_json(root / beside(path, ".json"), sidecar)
    return path.as_posix()


def _check_frames(series: dicom_series.Series, made: convert.Image, where: str) -> None:
    """The converter's volumes must be the headers' frames: in their order, in their units."""
    data = made.data if made.data.ndim == 4 else made.data[..., np.newaxis]
    if data.shape[3] != len(series.frames):
        raise DataError(f"{len(series.frames)} frames became {data.shape[3]} volumes", file=where)
    for number, frame in enumerate(series.frames):
        total = dicom.plane_sum(frame.sample.file)
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


def _normal(plane: dicom_series.Plane) -> np.ndarray:
    """Direction (3,) across a plane, in RAS."""
    return np.cross(plane.orientation[:3], plane.orientation[3:]) * (-1, -1, 1)


def _attempt(work: Callable[[], T]) -> tuple[T, None] | tuple[None, str]:
    """Do ``work``; its result and None, or None and the reason why there is no result.

    A damaged file can make the readers raise nearly anything; it must not take the cohort down.
    """
    try:
        return work(), None
    except DataError as error:
        return None, str(error)
    except ReladError:
        raise  # the machine's or the study's fault, and of no image
    except Exception as error:
        refuse_machine_failure(error)
        traceback.print_exc(file=sys.stderr)
        said = " ".join(str(error).split())
        return None, f"cannot be read ({type(error).__name__}: {said})"


def ingest_subject(task: Task, root: Path) -> Outcome:
    """Check, choose and convert all images of one subject into the dataset at ``root``."""
    rows: list[Row] = []
    sessions: set[str] = set()
    rivals: dict[tuple[str, str, str], list[Checked]] = defaultdict(list)
    for candidate in task.candidates:
        image, reason = _attempt(lambda c=candidate: check(c, task.rules))
        if image is None:
            count = len(candidate.files)
            rows.append(row(candidate.entry, count, reason=reason, session=candidate.session))
            continue
        rivals[candidate.session or "", image.kind, image.tracer or ""].append(image)
    for (_, kind, tracer), images in sorted(rivals.items()):
        kept: str | None = None
        ligand = task.rules.tracers[tracer].ligand if tracer else None
        for image in sorted(images, key=lambda i: i.preference):
            candidate = image.candidate
            output = reason = None
            if kept:
                what = f"{tracer} PET" if tracer else kind
                where = f"in session {candidate.session}" if candidate.session else "of the subject"
                reason = f"another {what} {where}: {kept} is kept"
            else:
                output, reason = _attempt(
                    lambda i=image, to=ligand: write_image(i, task.label, root, to)
                )
            if output:
                kept = candidate.entry.image_id
                sessions.add(candidate.session or "")
            rows.append(
                row(
                    candidate.entry,
                    len(candidate.files),
                    reason=reason,
                    session=candidate.session,
                    kind=image.kind,
                    tracer=image.tracer,
                    product=image.product.name if image.product else None,
                    note="; ".join(image.notes) or None,
                    output=output,
                )
            )
    return Outcome(rows, tuple(sorted(filter(None, sessions))))
