"""A small BIDS dataset to be ingested: images of noise, sidecars, sessions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from relad.fileio import read_table
from tests.helpers.settings import ingest_settings, tracer

SETTINGS = ingest_settings({"tau": tracer("AV1451"), "amyloid": tracer("PIB", aliases=["PiB"])})
PET = {
    "TracerName": "AV1451",
    "TracerRadionuclide": "F18",
    "Units": "Bq/mL",
    "TimeZero": "10:00:00",
    "InjectionStart": 0,
    "ScanStart": 4800,
    "FrameTimesStart": [4800, 5100],
    "FrameDuration": [300, 300],
    "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 0,
}


def write_image(path: Path, shape: tuple[int, ...] = (8, 9, 10), **header: Any) -> Path:
    """A small image of noise; ``header`` sets raw fields after all else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(map(ord, path.name)))
    image = nib.Nifti1Image(rng.normal(100, 10, shape).astype(np.float32), np.diag([2, 2, 3, 1]))
    image.set_qform(image.affine, 1)
    image.set_sform(image.affine, 1)
    raw = image.to_bytes()
    written = nib.Nifti1Header(raw[:348], check=False)
    for key, value in header.items():
        written[key] = value
    with nib.openers.Opener(path, "wb") as stream:
        stream.write(written.binaryblock + raw[348:])
    return path


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def session(root: Path, label: str, name: str | None, pet: dict | None = None) -> Path:
    """T1w, FLAIR and, with a sidecar, a PET of one session; returns the session's folder."""
    parts = [f"sub-{label}", *([f"ses-{name}"] if name else [])]
    folder, stem = root.joinpath(*parts), "_".join(parts)
    write_image(folder / "anat" / f"{stem}_T1w.nii.gz")
    write_image(folder / "anat" / f"{stem}_FLAIR.nii.gz")
    if pet is not None:
        frames = len(pet.get("FrameTimesStart") or [0, 0])
        write_image(folder / "pet" / f"{stem}_pet.nii.gz", (8, 9, 10, frames))
        write_json(folder / "pet" / f"{stem}_pet.json", pet)
    return folder


def table(out: Path) -> dict[str, dict[str, str | None]]:
    return {r["image_id"]: r for r in read_table(out / "ingest.tsv")}


def t1w_of(folder: Path) -> Path:
    return next((folder / "anat").glob("*_T1w.nii.gz"))
