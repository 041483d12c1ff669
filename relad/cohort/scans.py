"""One subject's images: check each (:mod:`relad.cohort.checks`), choose, convert, join, write.

Everything that is wrong with an image becomes the reason in its row of ingest.tsv; what a person
should look at, though the image is kept, becomes its note.
"""

from __future__ import annotations

import sys
import traceback
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from relad.cohort import (
    bids,
    choice,
    convert,
    dicom_voxels,
    integrity,
    join,
)
from relad.cohort.checks import Rules, check, several
from relad.cohort.choice import Checked
from relad.cohort.images import PUT_RIGHT_KEY, Candidate, Row, row
from relad.cohort.join import Voxels
from relad.errors import DataError, ReladError, refuse_machine_failure
from relad.fileio import beside, write_json
from relad.imaging.headers import check_grid
from relad.imaging.nifti import save_nifti
from relad.status import SIMULATED_KEY, Kind
from relad.study.settings import Tracer

T = TypeVar("T")


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


def convert_image(image: Checked, ligand: str | None) -> Voxels:
    """Convert one image; adds to ``image.notes``.

    Raises
    ------
    DataError
        Where its voxels cannot be used.
    """
    candidate = image.candidate
    entry, files, where = candidate.entry, candidate.files, candidate.entry.image_id
    if image.series is None:
        made = convert.read_nifti(files[0])
        where = files[0].name
    else:
        made, notes = dicom_voxels.read(image.series, entry.image_id)
        image.notes += notes
    check_grid(made.data.shape, made.affine, where)
    data, told = made.data, {**made.sidecar, **candidate.sidecar}
    if image.kind == "PET":
        data = data.astype(np.float32)
        if data.ndim == 3:
            data = data[..., np.newaxis]
        sidecar = bids.pet_sidecar(entry, told, image.series, ligand)
        if image.product is not None and candidate.kind is None:
            sidecar["SourceProduct"] = image.product.name
            sidecar["SourceFramesAveraged"] = image.product.averaged
        if image.series is None:
            image.notes += bids.check_pet_sidecar(sidecar, data.shape[3])
        image.notes += bids.untold_times(sidecar)
    else:
        if data.ndim != 3:
            raise several(data.shape[3], files[0].name)
        sidecar = bids.image_sidecar(entry, told)
    image.notes += integrity.remarks(data)
    if "kind" in candidate.put_right:
        sidecar[PUT_RIGHT_KEY] = candidate.put_right_note
    sidecar[SIMULATED_KEY] = image.simulated
    return Voxels(data, made.affine, sidecar)


def write_image(image: Checked, voxels: Voxels, label: str, root: Path, ligand: str | None) -> str:
    """Write a converted image with its sidecar below ``root``; returns its path there."""
    path = bids.image_path(label, image.candidate.session, image.kind, ligand)
    mark = f"{Kind.SIMULATED.mark}, " if voxels.sidecar[SIMULATED_KEY] else ""
    note = f"{mark}source image {voxels.sidecar['SourceImageID']}"
    save_nifti(root / path, voxels.data, voxels.affine, note=note)
    write_json(root / beside(path, ".json"), voxels.sidecar)
    return path.as_posix()


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
        about = task.rules.tracers[tracer] if tracer else None
        rows += _choose(images, kind, about, tracer, task.label, root)
    sessions |= {r["session"] or "" for r in rows if r["status"] == "kept"}
    return Outcome(rows, tuple(sorted(filter(None, sessions))))


def _choose(
    images: list[Checked], kind: str, about: Tracer | None, tracer: str, label: str, root: Path
) -> list[Row]:
    """Write the best of several images of one kind in a session; a row for each of them."""
    ligand = about.ligand if about else None
    window = about.frames_min if about else ()
    fates: dict[int, tuple[str | None, str | None]] = {}  # by id: output, reason
    ordered = sorted(images, key=lambda image: choice.preference(image, window))
    kept: Checked | None = None
    for image in ordered:
        if id(image) in fates:
            continue
        if kept is not None:
            what = f"{tracer} PET" if tracer else kind
            session = image.candidate.session
            where = f"in session {session}" if session else "of the subject"
            fates[id(image)] = (
                None,
                f"another {what} {where}: {kept.candidate.entry.image_id} is kept",
            )
            continue
        voxels, reason = _attempt(lambda i=image: convert_image(i, ligand))
        if voxels is None:
            fates[id(image)] = (None, reason)
            continue
        parts = [image]
        for partner in choice.partners(image, ordered, window):
            if id(partner) in fates:
                continue
            other, reason = _attempt(lambda i=partner: convert_image(i, ligand))
            if other is None:
                fates[id(partner)] = (None, reason)
                continue
            joined, apart = _attempt(lambda v=voxels, o=other: join.joined(v, o))
            if joined is None:
                image.notes.append(f"{partner.candidate.entry.image_id} was not joined: {apart}")
                continue
            voxels = joined
            parts.append(partner)
        output, reason = _attempt(lambda v=voxels, i=image: write_image(i, v, label, root, ligand))
        ids = [part.candidate.entry.image_id for part in parts]
        for part in parts:
            fates[id(part)] = (output, reason)
            if len(parts) > 1:
                part.notes.insert(0, f"runs of one injection are joined: {', '.join(ids)}")
        kept = image if output else None
    return [
        row(
            image.candidate.entry,
            len(image.candidate.files),
            reason=fates[id(image)][1],
            session=image.candidate.session,
            kind=image.kind,
            tracer=image.tracer,
            product=image.product.name if image.product else None,
            note="; ".join(image.notes) or None,
            output=fates[id(image)][0],
        )
        for image in ordered
    ]
