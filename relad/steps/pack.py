"""Pack a cohort into one memory-mapped dataset.

Reads the folders of `relad normalize`, cuts subject-level folds (training cohort only), and writes
mri.npy, pet.npy, mask.npy, subjects.tsv and dataset.json (relad/data/dataset.py). MRI is brought to
[-1, 1] by its median and spread inside the brain; PET in SUVR is mapped linearly by the tracer's
fixed window, without clipping, so that SUVR can be restored exactly. Every subject of the cohort
has a row in subjects.tsv, also one that is not included, with the reason: methods need T1w, FLAIR
and the PET of one tracer at least. With qc.action: fail, a scan that failed stops the cohort here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relad.cli import add_settings
from relad.data.dataset import SUBJECT_COLUMNS
from relad.data.folds import assign_folds
from relad.data.window import to_unit
from relad.errors import DataError, ReladError
from relad.fileio import load_nifti, read_json, read_table, whole_folder, write_json, write_table
from relad.imaging import atlas
from relad.study import paths, provenance
from relad.study.config import MODALITIES, load_settings

#: Intensities further than this from the brain's median, in standard deviations, are clipped.
CLIP_SD = 3.0
#: Standard deviation of a normal distribution with a median absolute deviation of one.
SD_PER_MAD = 1.4826


def standardized_mri(data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Bring an MRI of arbitrary units to [-1, 1] by its robust z-score inside the brain.

    Parameters
    ----------
    data
        (x, y, z) intensities.
    mask
        (x, y, z) bool, brain.

    Returns
    -------
    (x, y, z) float32, -1 outside the brain.

    Raises
    ------
    DataError
        If more than half of the brain has one value.
    """
    brain = data[mask]
    median = np.median(brain)
    spread = SD_PER_MAD * np.median(np.abs(brain - median))
    if spread == 0:
        raise DataError("more than half of the brain has one intensity")
    z = np.clip((data - median) / spread, -CLIP_SD, CLIP_SD) / CLIP_SD
    return np.where(mask, z, -1.0).astype(np.float32)


def _read(folder: Path, name: str, shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    image = load_nifti(folder / name, ndim=3)
    if image.shape != tuple(shape) or not np.allclose(image.affine, affine, atol=1e-3):
        raise DataError(
            "is not on the configured grid", file=folder / name, hint="run `relad normalize` again"
        )
    return np.asarray(image.dataobj)


def _reason(status: Mapping[str, Any], tracers: Sequence[str], have: Sequence[str]) -> str | None:
    """Say why a normalised subject is not packed; None where it is."""
    if status["status"] != "ok":
        return status["reason"]
    for name, entry in status.get("mri", {}).items():
        if entry["status"] != "ok":
            return f"methods need {' and '.join(MODALITIES)}; {name} {entry['status']}: " + str(
                entry["reason"]
            )
    if not have:
        return "no usable PET: " + "; ".join(
            f"{k}: {status['tracers'].get(k, {}).get('reason') or 'missing'}" for k in tracers
        )
    return None


def _failures(status: Mapping[str, Any]) -> list[str]:
    """Every scan of a subject that was there and could not be used, with its reason."""
    if status["status"] != "ok":
        return [str(status["reason"])]
    images = {**status.get("mri", {}), **status["tracers"]}
    return [f"{k}: {e['reason']}" for k, e in images.items() if e["status"] == "excluded"]


def pack(
    out: Path,
    folders: Sequence[Path],
    participants: Mapping[str, Mapping[str, Any]],
    cohort: str,
    settings: Mapping[str, Any],
    *,
    simulated: bool,
) -> None:
    """Write the packed dataset of a cohort, one subject in memory at a time.

    Parameters
    ----------
    folders
        One folder of `relad normalize` per subject.
    participants
        Subject -> row of participants.tsv.
    cohort
        Name in the configuration.
    settings
        Sections ``seed``, ``tracers``, ``grid``, ``folds``, ``cohorts`` and, for its ``action``,
        ``qc``.
    """
    entry = settings["cohorts"][cohort]
    tracers = list(settings["tracers"])
    windows = {k: tracer["suvr_window"] for k, tracer in settings["tracers"].items()}
    shape = tuple(settings["grid"]["shape"])
    affine = atlas.grid_affine(shape, settings["grid"]["voxel_mm"])

    rows: list[dict[str, Any]] = []
    usable: list[tuple[dict[str, Any], Path]] = []
    failed: list[str] = []
    for folder in folders:
        status = read_json(folder / "status.json")
        subject = status["subject"]
        if any(row["subject"] == subject for row in rows):
            raise ReladError(f"subject {subject} is given twice", file=folder)
        person = participants.get(subject, {})
        have = [k for k in tracers if status["tracers"].get(k, {}).get("status") == "ok"]
        reason = _reason(status, tracers, have)
        failed += [f"{subject}: {why}" for why in _failures(status)]
        included = reason is None
        row = {
            "subject": subject,
            "session": status.get("session"),
            "included": "yes" if included else "no",
            "reason": reason,
            "group": person.get("group"),
            "age": person.get("age"),
            "sex": person.get("sex"),
            "tracers": ",".join(have) if included else None,
        }
        rows.append(row)
        if included:
            row["index"] = len(usable)
            usable.append((row, folder))
    if failed and settings["qc"]["action"] == "fail":
        raise ReladError(
            f"{len(failed)} scans of cohort {cohort} failed ({'; '.join(failed)})",
            hint="look at the quality page; qc.action: exclude goes on without them",
        )
    if not usable:
        reasons = "; ".join(f"{r['subject']}: {r['reason']}" for r in rows)
        raise ReladError(f"no subject of cohort {cohort} can be used ({reasons})")

    if entry["role"] == "train":
        included = [row for row, _ in usable]
        folds = assign_folds(included, settings["folds"]["count"], settings["seed"])
        for row in included:
            row["fold"] = folds[row["subject"]]

    n = len(usable)
    with whole_folder(out, mark="dataset.json") as temporary:
        mri, pet, mask = (
            np.lib.format.open_memmap(temporary / f"{name}.npy", "w+", dtype, (n, *rest, *shape))
            for name, dtype, rest in (
                ("mri", np.float32, (len(MODALITIES),)),
                ("pet", np.float32, (len(tracers),)),
                ("mask", bool, ()),
            )
        )
        for i, (row, folder) in enumerate(usable):
            subject = row["subject"]
            brain = _read(folder, paths.brain_mask(subject), shape, affine) > 0.5
            mask[i] = brain
            for j, modality in enumerate(MODALITIES):
                name = paths.preprocessed_mri(subject, modality)
                try:
                    mri[i, j] = standardized_mri(_read(folder, name, shape, affine), brain)
                except DataError as error:
                    raise DataError(error.what, file=folder / name, hint=error.hint) from None
            pet[i] = np.nan
            for k, tracer in enumerate(tracers):
                if tracer in row["tracers"].split(","):
                    name = paths.preprocessed_pet(subject, tracer)
                    suvr = np.where(brain, _read(folder, name, shape, affine), 0.0)
                    pet[i, k] = to_unit(suvr, windows[tracer])
        for array in (mri, pet, mask):
            array.flush()
        write_table(temporary / "subjects.tsv", rows, SUBJECT_COLUMNS)
        write_json(
            temporary / "dataset.json",
            {
                "cohort": cohort,
                "role": entry["role"],
                "simulated": simulated,
                "modalities": list(MODALITIES),
                "tracers": tracers,
                "windows": windows,
                "affine": affine.tolist(),
                "shape": list(shape),
                "folds": settings["folds"] if entry["role"] == "train" else {},
                "provenance": provenance.describe("pack", settings, "numpy", "nibabel"),
            },
        )
    for row in rows:
        if row["included"] == "no":
            print(f"{cohort}: {row['subject']} is not included: {row['reason']}", file=sys.stderr)
    print(f"{cohort}: packed {n} of {len(rows)} subjects", file=sys.stderr)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, help="folder of the packed dataset")
    parser.add_argument("normalized", type=Path, nargs="+", help="folders of `relad normalize`")
    parser.add_argument("--bids", type=Path, required=True, help="BIDS dataset of the cohort")
    parser.add_argument("--cohort", required=True, help="its name in the configuration")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings)
    if args.cohort not in settings["cohorts"]:
        raise ReladError(
            f"no cohort {args.cohort!r}", hint=f"known: {', '.join(settings['cohorts'])}"
        )
    settings = {
        **{k: settings[k] for k in ("seed", "tracers", "grid", "folds", "cohorts")},
        "qc": {"action": settings.get("qc", {}).get("action", "exclude")},
    }
    table = args.bids / "participants.tsv"
    participants = (
        {row["participant_id"].removeprefix("sub-"): row for row in read_table(table)}
        if table.exists()
        else {}
    )
    simulated = settings["cohorts"][args.cohort]["source"] == "phantom"
    pack(args.out, args.normalized, participants, args.cohort, settings, simulated=simulated)
