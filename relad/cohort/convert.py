"""One series of files to one image in memory: DICOM through dcm2niix, NIfTI as it is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from relad.errors import DataError, MachineError, ReladError, refuse_machine_failure
from relad.fileio import beside, no_room, scratch_folder
from relad.imaging.nifti import load_exact

#: A conversion that takes longer than this hangs (s).
TIMEOUT_S = 1800
#: Bytes of an image at most, for each byte of its files: 16 bits may become 32, and half be packed.
_ROOM = 4
#: Signals that no damaged file raises: limits, the memory's watchman, a person.
FROM_OUTSIDE = frozenset(
    {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXFSZ, signal.SIGXCPU}
)
#: dcm2niix's own statuses for an output folder that is none or takes no files.
_UNWRITABLE = (6, 7)
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
    MachineError
        Where the converter, its limits or its disk fail.
    """
    with scratch_folder("relad-ingest-") as scratch:
        inside, outside = scratch / "in", scratch / "out"
        _lay_out(files, inside, outside)
        options = [*_OPTIONS, "-f", "image", "-o", str(outside)]
        try:
            said = _run([find_dcm2niix(), *options, f"{inside}/"], where)
            made = sorted(outside.glob("*.nii"))
            if len(made) != 1:
                because = f" ({said})" if said else ""
                raise DataError(f"dcm2niix made {len(made)} images of it{because}", file=where)
            told = made[0].with_suffix(".json").read_text(encoding="utf-8", errors="replace")
            try:
                return _checked(load_exact(made[0], converted=True), where, json.loads(told))
            except DataError as error:
                raise DataError(error.what, file=where) from None
        except (DataError, OSError, ValueError) as error:
            refuse_machine_failure(error, where)
            # A disk that filled up shows in what was made of the series, as damage would.
            needed = _ROOM * sum(file.stat().st_size for file in files)
            if full := no_room(outside, needed):
                raise MachineError(
                    f"cannot be converted ({full})",
                    file=outside,
                    hint="make room, or name another place by the environment variable TMPDIR",
                ) from error
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"dcm2niix made nothing that can be read ({error})", file=where
            ) from None


def _lay_out(files: Sequence[Path], inside: Path, outside: Path) -> None:
    """Make the converter's folders, the first with links to this image's files alone."""
    try:
        outside.mkdir()
        # A link with a plain name: no trouble with special characters in the folder's path.
        folder = files[0].resolve().parent
        if {file.name for file in folder.iterdir()} == {file.name for file in files}:
            inside.symlink_to(folder, target_is_directory=True)
            return
        inside.mkdir()  # whatever else lies beside them
        for number, file in enumerate(sorted(files)):
            (inside / f"{number:06d}.dcm").symlink_to(file.resolve())
    except OSError as error:
        raise MachineError(
            f"cannot be written ({error.strerror})", file=inside.parent, hint="see to TMPDIR"
        ) from None


def _run(command: Sequence[str], where: str) -> str:
    """Run the converter; its last warning or error.

    Raises
    ------
    DataError
        Where it crashes or hangs on this series.
    MachineError
        Where it cannot be started, is killed from outside, or cannot write.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"dcm2niix took more than {TIMEOUT_S} s", file=where) from None
    except OSError as error:
        raise MachineError(
            f"the converter cannot be run ({error.strerror})", file=command[0],
            hint="pip install dcm2niix",
        ) from None  # fmt: skip
    # A shell around it tells of a signal by 128 and its number.
    killed = -done.returncode if done.returncode < 0 else max(done.returncode - 128, 0)
    if killed in FROM_OUTSIDE:
        raise MachineError(
            f"dcm2niix was ended by {signal.Signals(killed).name}", file=where,
            hint="see to memory, time and file-size limits, and run the same again",
        )  # fmt: skip
    if killed:
        raise DataError(f"dcm2niix crashed on it (signal {killed})", file=where)
    if done.returncode in _UNWRITABLE:
        raise MachineError(
            f"dcm2niix could not write (status {done.returncode})", file=command[-2],
            hint="see to TMPDIR and run the same again",
        )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    said = [line for line in lines if "arning" in line or "rror" in line]
    return said[-1].strip() if said else f"status {done.returncode}" if done.returncode else ""


def read_nifti(file: Path) -> Image:
    """Read an image that was downloaded as NIfTI, with the sidecar beside it if there is one.

    Raises
    ------
    DataError
        Where it cannot be used.
    """
    path, sidecar = beside(file, ".json"), {}
    if path.exists():
        try:
            sidecar = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            refuse_machine_failure(error, path)
            raise DataError(f"not a readable sidecar ({error})", file=path.name) from None
        if not isinstance(sidecar, dict):
            raise DataError("not a JSON object", file=path.name)
    return _checked(load_exact(file), file.name, sidecar)


def _checked(image: nib.Nifti1Image, where: str, sidecar: dict[str, Any]) -> Image:
    """Refuse what has too many dimensions or an empty frame."""
    data = np.asarray(image.dataobj)
    if data.ndim not in (3, 4):
        raise DataError(
            f"has {data.ndim} dimensions",
            file=where,
            hint="give an image of 3, or of 4 whose last is time",
        )
    check_frames(data, where)
    return Image(data, image.affine, sidecar)


def check_frames(data: np.ndarray, where: str) -> None:
    """Refuse (X, Y, Z, T) with an empty frame after a filled one.

    A scan may begin before the injection; later an empty frame is damage.
    """
    if data.ndim != 4:
        return
    filled = [bool(frame.min() < frame.max()) for frame in np.moveaxis(data, -1, 0)]
    if not all(filled[filled.index(True) :]):
        number = filled.index(False, filled.index(True)) + 1
        raise DataError(f"frame {number} of {data.shape[3]} is empty", file=where)
