"""One series of files to one image in memory: DICOM through dcm2niix, NIfTI as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from relad.cohort.integrity import check_nifti, scanner_affine
from relad.errors import DataError, ReladError
from relad.fileio import beside
from relad.imaging.nifti import load_nifti

#: A conversion that takes longer than this hangs (s).
TIMEOUT_S = 1800
#: ``-ba o`` removes what identifies a person and leaves the times, which PET needs. ``-p y``: with
#: ``-p n`` slices that differ in rescale slope, as in most PET, would all get the first one's.
_OPTIONS = ("-b", "y", "-ba", "o", "-z", "n", "-p", "y", "-l", "o", "-i", "n", "-w", "2")


@dataclass(frozen=True)
class Image:
    """Voxels (X, Y, Z) or (X, Y, Z, T) with their affine (RAS mm) and dcm2niix's sidecar."""

    data: np.ndarray
    affine: np.ndarray
    sidecar: dict[str, Any]


@lru_cache(maxsize=1)
def find_dcm2niix() -> str:
    """Path of the converter: from the Python package ``dcm2niix``, else on PATH.

    Raises
    ------
    ReladError
        Where there is none.
    """
    try:
        import dcm2niix

        if os.access(dcm2niix.bin, os.X_OK):
            return str(dcm2niix.bin)
    except ImportError:
        pass
    found = shutil.which("dcm2niix")
    if found is None:
        raise ReladError("the converter dcm2niix is missing", hint="pip install dcm2niix")
    return found


def convert_dicom(files: Sequence[Path], where: str) -> Image:
    """Convert the DICOM files of one series.

    Parameters
    ----------
    files
        All files of the series, checked before (:func:`relad.cohort.dicom_series.read_series`).
    where
        Name of the series for messages.

    Raises
    ------
    DataError
        Where the conversion fails or gives not exactly one image.
    """
    with tempfile.TemporaryDirectory(prefix="relad-ingest-") as scratch:
        inside, outside = Path(scratch, "in"), Path(scratch, "out")
        outside.mkdir()
        # A link with a plain name: no trouble with special characters in the folder's path.
        folder = files[0].resolve().parent
        if {file.name for file in folder.iterdir()} == {file.name for file in files}:
            inside.symlink_to(folder, target_is_directory=True)
        else:  # only this image's files, whatever else lies beside them
            inside.mkdir()
            for number, file in enumerate(sorted(files)):
                (inside / f"{number:06d}.dcm").symlink_to(file.resolve())
        command = [find_dcm2niix(), *_OPTIONS, "-f", "image", "-o", str(outside), f"{inside}/"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"dcm2niix took more than {TIMEOUT_S} s", file=where) from None
        made = sorted(outside.glob("*.nii"))
        if len(made) != 1:
            said = [line for line in done.stdout.splitlines() if "arning" in line or "rror" in line]
            because = f" ({said[-1].strip()})" if said else ""
            raise DataError(f"dcm2niix made {len(made)} images of it{because}", file=where)
        sidecar = made[0].with_suffix(".json")
        return _load(
            made[0], where, json.loads(sidecar.read_text(encoding="utf-8", errors="replace"))
        )


def read_nifti(file: Path) -> Image:
    """Read an image that was downloaded as NIfTI, with the sidecar beside it if there is one.

    Raises
    ------
    DataError
        Where it cannot be used.
    """
    check_nifti(file)
    path, sidecar = beside(file, ".json"), {}
    if path.exists():
        try:
            sidecar = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"not a readable sidecar ({error})", file=path.name) from None
        if not isinstance(sidecar, dict):
            raise DataError("not a JSON object", file=path.name)
    return _load(file, file.name, sidecar)


def _load(path: Path, where: str, sidecar: dict[str, Any]) -> Image:
    """Check the voxels; integers without a scale stay integers, everything else is float32."""
    try:
        image = load_nifti(path)
    except DataError as error:
        raise DataError(error.what, file=where) from None
    except TypeError:  # voxels of several values each: a colour image
        raise DataError("holds colours instead of one value per voxel", file=where) from None
    stored = nib.load(path)
    data, affine = np.asarray(image.dataobj), scanner_affine(stored)
    if data.ndim not in (3, 4):
        raise DataError(f"has {data.ndim} dimensions", file=where)
    if data.ndim == 4:  # a scan may begin before the injection; later an empty frame is damage
        filled = [bool(frame.min() < frame.max()) for frame in np.moveaxis(data, -1, 0)]
        if not all(filled[filled.index(True) :]):
            number = filled.index(False, filled.index(True)) + 1
            raise DataError(f"frame {number} of {data.shape[3]} is empty", file=where)
    integer = np.issubdtype(stored.get_data_dtype(), np.integer)
    unscaled = (stored.dataobj.slope, stored.dataobj.inter) == (1, 0)
    if integer and unscaled and stored.get_data_dtype().itemsize <= 2:
        data = data.astype(stored.get_data_dtype().newbyteorder("="))
    return Image(data, affine, sidecar)
