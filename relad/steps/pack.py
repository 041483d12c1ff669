"""Pack a cohort into one memory-mapped dataset.

Reads the folders of `relad normalize` and the verdicts of `relad qc` on them, cuts subject-level
folds (training cohort only), and writes mri.npy, pet.npy, mask.npy, subjects.tsv and dataset.json
(relad/data/dataset.py). MRI is brought to [-1, 1] by its median and spread inside the brain; PET in
SUVR is mapped linearly by the tracer's fixed window, without clipping, so that SUVR can be restored
exactly; brain outside a PET's field of view is kept as not known. Every subject of the cohort has a
row in subjects.tsv, also one that is not included, with the reason: methods need T1w, FLAIR and the
PET of one tracer at least, and to be applied (role: apply) no PET, of which none is read; column
override says what a person decided by hand. Where regions of the evaluation come from people's own
segmentations (segmentation.regions), who lacks them is not included either, and regions.npy holds
them. Of simulated PET, ceiling.npy keeps what anatomy determines, for `relad ceiling` alone. With
qc.action: fail, a scan that failed stops the cohort here, unless somebody dropped its subject.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from relad.cli import add_settings, folders_of
from relad.data.dataset import SUBJECT_COLUMNS, refuse_twins
from relad.data.folds import assign_folds
from relad.data.intensity import standardized_mri
from relad.data.window import to_unit
from relad.errors import DataError, ReladError
from relad.fileio import (
    beside,
    content_of,
    read_json,
    read_object,
    read_table,
    whole_folder,
    write_json,
    write_table,
)
from relad.imaging import atlas
from relad.imaging.nifti import load_nifti
from relad.registration.inputs import scanner_of, sidecar
from relad.status import Modality, State, SubjectStatus, kind_of
from relad.study import paths, provenance
from relad.study.config import load_settings, of_cohort
from relad.study.settings import PackSettings, PreprocessSettings, plain, typed


def _read(folder: Path, name: str, shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    image = load_nifti(folder / name, ndim=3)
    _require_grid(image, shape, affine, folder / name)
    return np.asarray(image.dataobj)


def _require_grid(image: Any, shape: Sequence[int], affine: np.ndarray, file: Path) -> None:
    if image.shape[:3] != tuple(shape) or not np.allclose(image.affine, affine, atol=1e-3):
        raise DataError(
            "is not on the configured grid", file=file, hint="run `relad normalize` again"
        )


def _reason(
    status: SubjectStatus,
    tracers: Sequence[str],
    have: Sequence[str],
    *,
    own_regions: bool,
    apply: bool,
) -> str | None:
    """Say why a judged subject is not packed; None where it is."""
    if not status.ok:
        return status.reason
    for name, scan in status.mri.items():
        if not scan.ok:
            return f"methods need {' and '.join(Modality)}; {name} {scan.state}: {scan.reason}"
    if not have and not apply:
        reasons = {t: status.pet[t].reason if t in status.pet else "missing" for t in tracers}
        return "no usable PET: " + "; ".join(f"{t}: {why}" for t, why in reasons.items())
    if own_regions and not status.segmentation.ok:
        return (
            "segmentation.regions asks for regions of the person's own: "
            f"{status.segmentation.reason}"
        )
    return None


def _failures(status: SubjectStatus, *, own_regions: bool) -> list[str]:
    """Everything of a subject that was there and could not be used, with its reason.

    Of somebody who was dropped by hand there is nothing left to be looked at.
    """
    if status.override and status.override["decision"] == "drop":
        return []
    if not status.ok:
        return [str(status.reason)]
    needed = {**status.scans, **({"segmentation": status.segmentation} if own_regions else {})}
    return [f"{k}: {s.reason}" for k, s in needed.items() if s.state is State.EXCLUDED]


def read_verdicts(quality: Path) -> dict[str, SubjectStatus]:
    """Judged subjects by label, from a folder of `relad qc`."""
    file = quality / "subjects.json"
    told = read_json(file)
    with content_of(file, "list of verdicts", hint="run `relad qc`"):
        judged = [SubjectStatus.of(one) for one in told]
    return {status.subject: status for status in judged}


def pack(
    out: Path,
    folders: Sequence[Path],
    verdicts: Mapping[str, SubjectStatus],
    participants: Mapping[str, Mapping[str, Any]],
    cohort: str,
    settings: PackSettings,
) -> None:
    """Write the packed dataset of a cohort, one subject in memory at a time.

    Parameters
    ----------
    folders
        One folder of `relad normalize` per subject.
    verdicts
        Subject -> its status as `relad qc` judged it.
    participants
        Subject -> row of participants.tsv.
    cohort
        Name in the configuration.
    settings
        Seed, tracers, grid, folds, cohorts, and what happens to a failed scan.
    """
    role = of_cohort(settings.cohorts, cohort).role
    of_subject = _by_subject(folders, verdicts)
    own = settings.segmentation.regions
    if settings.qc.action == "fail":
        judged = [verdicts[subject] for subject in of_subject]
        _refuse_failures(cohort, judged, own_regions=bool(own))
    rows = [
        _row(
            verdicts[subject],
            participants.get(subject, {}),
            list(settings.tracers),
            own_regions=bool(own),
            apply=role == "apply",
        )
        for subject in of_subject
    ]
    usable = [row for row in rows if row["included"] == "yes"]
    if not usable:
        reasons = "; ".join(f"{r['subject']}: {r['reason']}" for r in rows)
        raise ReladError(f"no subject of cohort {cohort} can be used ({reasons})")
    for index, row in enumerate(usable):
        row["index"] = index
    if role == "train":
        folds = assign_folds(usable, settings.folds.count, settings.seed)
        for row in usable:
            row["fold"] = folds[row["subject"]]
    with whole_folder(out, mark="dataset.json") as temporary:
        ceiling = role != "apply" and _ceiling_of(usable, of_subject)
        checksums = _write_arrays(
            temporary, usable, of_subject, settings, pet=role != "apply", ceiling=ceiling
        )
        if role != "apply":
            refuse_twins(usable, out)
        write_table(temporary / "subjects.tsv", rows, SUBJECT_COLUMNS)
        write_json(
            temporary / "dataset.json",
            {
                "cohort": cohort,
                "role": role,
                "kind": kind_of(verdicts[row["subject"]] for row in usable),
                "modalities": list(Modality),
                "tracers": list(settings.tracers),
                "windows": {name: tracer.suvr_window for name, tracer in settings.tracers.items()},
                "affine": _affine(settings).tolist(),
                "shape": list(settings.grid.shape),
                "folds": settings.folds.count if role == "train" else 0,
                **({"regions": plain(own)} if own else {}),
                **({"ceiling": True} if ceiling else {}),
                "preprocessing": plain(typed(PreprocessSettings, plain(settings))),
                "sha256": checksums,
                "provenance": provenance.describe("pack", plain(settings), "numpy", "nibabel"),
            },
        )
    for row in rows:
        if row["included"] == "no":
            print(f"{cohort}: {row['subject']} is not included: {row['reason']}", file=sys.stderr)
    print(f"{cohort}: packed {len(usable)} of {len(rows)} subjects", file=sys.stderr)


def _by_subject(folders: Sequence[Path], verdicts: Mapping[str, SubjectStatus]) -> dict[str, Path]:
    """Folder of every subject; each must be there once, and judged."""
    found: dict[str, Path] = {}
    for folder in folders:
        subject = SubjectStatus.read(folder).subject
        if subject in found:
            raise ReladError(f"subject {subject} is given twice", file=folder)
        if subject not in verdicts:
            raise ReladError(
                f"subject {subject} was not judged", file=folder, hint="run `relad qc` on it"
            )
        found[subject] = folder
    return found


def _refuse_failures(cohort: str, judged: Sequence[SubjectStatus], *, own_regions: bool) -> None:
    failed = [
        f"{status.subject}: {why}"
        for status in judged
        for why in _failures(status, own_regions=own_regions)
    ]
    if failed:
        raise ReladError(
            f"{len(failed)} scans of cohort {cohort} failed ({'; '.join(failed)})",
            hint="look at the quality page; qc.action: exclude goes on without them",
        )


def _row(
    status: SubjectStatus,
    person: Mapping[str, Any],
    tracers: Sequence[str],
    *,
    own_regions: bool,
    apply: bool,
) -> dict[str, Any]:
    """A subject's row of subjects.tsv, without index and fold."""
    have = [t for t in tracers if t in status.pet and status.pet[t].ok and not apply]
    reason = _reason(status, tracers, have, own_regions=own_regions, apply=apply)
    return {
        "subject": status.subject,
        "session": status.session,
        "included": "no" if reason else "yes",
        "reason": reason,
        "override": status.override["note"] if status.override else None,
        "group": person.get("group"),
        "age": _age(status.subject, person.get("age")),
        "sex": person.get("sex"),
        "tracers": None if reason else ",".join(have) or None,
        "scanner": person.get("scanner"),
        "brain_volume_ml": status.numbers.get("brain_volume_ml"),
    }


def _age(subject: str, told: str | None) -> str | None:
    """Age in years; None, and said, where it is told in words such as "89+"."""
    try:
        known = told is None or math.isfinite(float(told))
    except ValueError:
        known = False
    if not known:
        print(f"sub-{subject}: age {told!r} is no number of years: unknown", file=sys.stderr)
    return told if known else None


def _own_regions(
    file: Path, regions: Mapping[str, Any], shape: Sequence[int], affine: np.ndarray
) -> np.ndarray:
    """Read masks (R, x, y, z) of a person's own regions, which must be those of the settings."""
    about = beside(file, ".json")
    there = read_object(about, ["Regions"])["Regions"] if about.exists() else {}
    if not isinstance(there, dict) or list(there.items()) != list(plain(regions).items()):
        raise DataError(
            f"does not hold the study's regions {', '.join(regions)}",
            file=file,
            hint="run `relad normalize` again",
        )
    image = load_nifti(file)
    masks = np.asarray(image.dataobj).reshape(*image.shape[:3], -1) > 0.5
    _require_grid(image, shape, affine, file)
    return np.moveaxis(masks, -1, 0)


def _field_of_view(
    folder: Path, subject: str, tracer: str, brain: np.ndarray, affine: np.ndarray
) -> np.ndarray:
    """Read where (x, y, z) a PET shows something, which must be some of the brain."""
    file = folder / paths.field_of_view(subject, tracer)
    if not file.exists():
        raise DataError(
            "there is no such file: this version keeps every PET's field of view",
            file=file,
            hint="run `relad normalize` again",
        )
    image = load_nifti(file, ndim=3, allow_constant=True)
    _require_grid(image, brain.shape, affine, file)
    seen = np.asarray(image.dataobj) > 0.5
    if not (seen & brain).any():
        raise DataError(
            f"the {tracer} PET of {subject} shows nothing of the brain",
            file=file,
            hint="drop the scan, or set qc.min_coverage above 0",
        )
    return seen


def _ceiling_of(usable: Sequence[Mapping[str, Any]], of_subject: Mapping[str, Path]) -> bool:
    """Whether it is known of everybody's PET what anatomy determines; of some alone is an error."""
    files = [
        of_subject[row["subject"]] / paths.predictable_pet(row["subject"], tracer)
        for row in usable
        for tracer in row["tracers"].split(",")
    ]
    lacking = [file for file in files if not file.exists()]
    if lacking and len(lacking) < len(files):
        raise DataError(
            f"there is no such file, and {len(files) - len(lacking)} other PET of the cohort have "
            "theirs",
            file=lacking[0],
            hint="run `relad normalize` again, for everybody with --truth or for nobody",
        )
    return not lacking


def _affine(settings: PackSettings) -> np.ndarray:
    return atlas.grid_affine(settings.grid.shape, settings.grid.voxel_mm)


def _write_arrays(
    out: Path,
    usable: Sequence[dict[str, Any]],
    of_subject: Mapping[str, Path],
    settings: PackSettings,
    *,
    pet: bool,
    ceiling: bool,
) -> dict[str, str]:
    """Write the volumes, a subject at a time; returns their SHA-256 by name.

    Each row is given the hash of the subject's MRI.
    """
    own = settings.segmentation.regions
    shape = settings.grid.shape
    dtypes = {
        "mri": (np.float32, (len(Modality),)),
        **({"pet": (np.float32, (len(settings.tracers),))} if pet else {}),
        **({"ceiling": (np.float32, (len(settings.tracers),))} if ceiling else {}),
        "mask": (bool, ()),
        **({"regions": (bool, (len(own),))} if own else {}),
    }
    files = {name: out / f"{name}.npy" for name in dtypes}
    with ExitStack() as opened:
        append = {
            name: opened.enter_context(_appending(files[name], dtype, (len(usable), *rest, *shape)))
            for name, (dtype, rest) in dtypes.items()
        }
        for row in usable:
            folder = of_subject[row["subject"]]
            for name, volumes in _volumes_of(row, folder, settings, pet=pet, ceiling=ceiling):
                append[name](volumes)
                if name == "mri":
                    row["mri_sha256"] = hashlib.sha256(volumes.tobytes()).hexdigest()[:16]
    checksums = {}
    for name, path in files.items():
        with path.open("rb") as file:
            checksums[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return checksums


@contextmanager
def _appending(
    path: Path, dtype: type, shape: tuple[int, ...]
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a ``.npy`` file along its first axis; nothing of it stays in this process's memory."""
    about = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {**about, "shape": shape})

        def append(volumes: np.ndarray) -> None:
            if volumes.dtype != dtype or volumes.shape != shape[1:]:
                raise ValueError(f"{path.name}: {volumes.dtype} {volumes.shape}, not {shape[1:]}")
            file.write(volumes.tobytes())

        yield append


def _volumes_of(
    row: Mapping[str, Any], folder: Path, settings: PackSettings, *, pet: bool, ceiling: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a person's volumes by the name of their array."""
    own = settings.segmentation.regions
    subject, shape, affine = row["subject"], settings.grid.shape, _affine(settings)
    brain = _read(folder, paths.brain_mask(subject), shape, affine) > 0.5
    yield "mask", brain
    if own:
        yield "regions", _own_regions(folder / paths.own_regions(subject), own, shape, affine)
    mri = np.empty((len(Modality), *shape), np.float32)
    for j, modality in enumerate(Modality):
        name = paths.preprocessed_mri(subject, modality)
        try:
            mri[j] = standardized_mri(_read(folder, name, shape, affine), brain)
        except DataError as error:
            raise DataError(error.what, file=folder / name, hint=error.hint) from None
    yield "mri", mri
    if not pet:
        return
    images = {"pet": paths.preprocessed_pet}
    images |= {"ceiling": paths.predictable_pet} if ceiling else {}
    units = {n: np.full((len(settings.tracers), *shape), np.nan, np.float32) for n in images}
    for k, (tracer, entry) in enumerate(settings.tracers.items()):
        if tracer not in row["tracers"].split(","):
            continue
        unknown = brain & ~_field_of_view(folder, subject, tracer, brain, affine)
        for array, name in images.items():
            suvr = _read(folder, name(subject, tracer), shape, affine)
            suvr = np.where(brain, suvr, 0.0)
            suvr[unknown] = np.nan
            units[array][k] = to_unit(suvr, entry.suvr_window)
    yield from units.items()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, help="folder of the packed dataset")
    parser.add_argument(
        "normalized",
        type=Path,
        nargs="+",
        help="folders of `relad normalize`, or the folder that holds them",
    )
    parser.add_argument("--qc", type=Path, required=True, help="folder of `relad qc` on them")
    parser.add_argument("--bids", type=Path, required=True, help="BIDS dataset of the cohort")
    parser.add_argument("--cohort", required=True, help="its name in the configuration")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings, PackSettings)
    table = args.bids / "participants.tsv"
    participants = (
        {
            (row["participant_id"] or "").removeprefix("sub-"): row
            for row in read_table(table, ["participant_id"])
        }
        if table.exists()
        else {}
    )
    verdicts = read_verdicts(args.qc)
    for subject, status in verdicts.items():
        if Modality.T1W in status.inputs:
            scanner = scanner_of(sidecar(args.bids / status.inputs[Modality.T1W]))
            participants[subject] = {**participants.get(subject, {}), "scanner": scanner}
    pack(args.out, folders_of(args.normalized), verdicts, participants, args.cohort, settings)
