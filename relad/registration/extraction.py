"""The brain mask a study asks for, by ``registration.brain_extraction`` of the configuration.

``auto`` is a mask of the derivatives where there is one, else that of a trained network
(:mod:`relad.registration.deepbet`), else, where the network is not installed, the template's;
``derivatives``, ``deepbet`` and ``template`` are one of these and nothing else; all other words are
a command such as

    mri_synthstrip -i {t1w} -m {mask}

which is run without a shell, once per subject, in a temporary folder.
"""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ants
import nibabel as nib
import numpy as np

from relad.errors import DataError, ReladError
from relad.imaging.nifti import load_nifti, save_nifti
from relad.imaging.resample import grid_points, sample, to_grid
from relad.imaging.similarity import stripped
from relad.registration import brain, deepbet, engine

#: Words of ``registration.brain_extraction`` that are no command.
KNOWN = ("auto", "derivatives", "deepbet", "template")
#: Lines of a failed command's messages that are passed on.
_LINES = 3


@dataclass(frozen=True)
class Extraction:
    """A brain.

    Attributes
    ----------
    mask
        (x, y, z) boolean on the grid of the T1w.
    origin
        ``derivatives``, ``deepbet``, ``template``, or the command.
    unfit
        Why the derivatives' mask was not taken, where there is one that could not be.
    """

    mask: np.ndarray
    origin: str
    unfit: DataError | None = None


def extract(
    setting: str,
    t1w: nib.Nifti1Image,
    low: ants.ANTsImage,
    derivative: Path | None,
    scratch: Path,
    *,
    seed: int,
) -> Extraction:
    """Find the brain of a T1w as a study wants it.

    Parameters
    ----------
    setting
        ``registration.brain_extraction``.
    t1w, low
        Bias-corrected T1w, and the same at working resolution.
    derivative
        Mask of the dataset's derivatives, if there is one.
    scratch
        Folder for files.
    seed
        Of the template's registration.

    Raises
    ------
    DataError
        Where the mask is missing, empty or elsewhere, the network finds no brain, or the command
        fails.
    ReladError
        Where the network is not installed or the command does not exist: no subject would get a
        mask.
    """
    unfit = None
    if setting == "derivatives" or (setting == "auto" and derivative is not None):
        if derivative is None:
            raise DataError(
                "has no brain mask among the derivatives, which registration.brain_extraction asks "
                "for (derivatives/*/sub-*/ses-*/anat/*_desc-brain_mask.nii.gz)"
            )
        try:
            return Extraction(load_mask(derivative, t1w), "derivatives")
        except DataError as error:
            if setting != "auto":
                raise
            unfit = error  # a mask that nobody asked for
    if setting == "deepbet" or (setting == "auto" and deepbet.available()):
        if not deepbet.available():
            raise ReladError(
                "registration.brain_extraction is deepbet, which is not installed",
                hint="pip install deepbet, or see registration.brain_extraction",
            )
        return Extraction(deepbet.extract(t1w, _pose), "deepbet", unfit)
    if setting in ("auto", "template"):
        mask = brain.template_mask(low, scratch / "template", seed=seed)
        mask = to_grid(mask.astype(np.float32), engine.affine_of(low), t1w.shape, t1w.affine) > 0.5
        return Extraction(mask, "template", unfit)
    return Extraction(load_mask(_run(setting, t1w, scratch), t1w), setting)


def _pose(image: nib.Nifti1Image, mask: np.ndarray) -> tuple[np.ndarray, float]:
    data = stripped(np.asarray(image.dataobj), mask)
    return brain.find_pose(engine.to_ants(data, image.affine))


def on_low(mask: np.ndarray, affine: np.ndarray, low: ants.ANTsImage) -> np.ndarray:
    """A brain mask on the grid of an image at working resolution."""
    there = to_grid(mask.astype(np.float32), affine, low.shape, engine.affine_of(low))
    return there > 0.5


def load_mask(path: Path, t1w: nib.Nifti1Image) -> np.ndarray:
    """Load a brain mask onto the grid of the T1w (x, y, z), whose space it must be in.

    Raises
    ------
    DataError
        Where it is empty, full, or elsewhere.
    """
    image = load_nifti(path, ndim=3, allow_constant=True)
    mask = np.asarray(image.dataobj) > 0.5
    if not mask.any() or mask.all():
        what = "no voxel" if not mask.any() else "every voxel"
        raise DataError(f"is no brain mask: {what} is above 0.5", file=path)
    if image.shape == t1w.shape and np.allclose(image.affine, t1w.affine, atol=1e-2):
        return mask
    if sorted(image.shape) != sorted(t1w.shape):
        size, needed = (" x ".join(map(str, i.shape)) for i in (image, t1w))
        raise DataError(
            f"is not on the grid of the image it masks: {size} voxels, not {needed}", file=path
        )
    # Other programs store the same voxels in another order of axes.
    points = grid_points(t1w.shape, t1w.affine)
    reordered = sample(mask.astype(np.float32), image.affine, points) > 0.5
    if reordered.sum() != mask.sum():
        raise DataError("is not on the grid of the image it masks: their affines differ", file=path)
    return reordered


def _run(command: str, t1w: nib.Nifti1Image, scratch: Path) -> Path:
    """Run a command on the T1w; return the mask that it wrote."""
    head, mask = scratch / "t1w.nii.gz", scratch / "mask.nii.gz"
    save_nifti(head, np.asarray(t1w.dataobj), t1w.affine)
    words = [word.replace("{t1w}", str(head)).replace("{mask}", str(mask))
             for word in shlex.split(command)]  # fmt: skip
    try:
        done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ReladError(
            f"the brain extraction command {words[0]!r} cannot be run ({error.strerror})",
            hint="see registration.brain_extraction in the configuration",
        ) from None
    said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-_LINES:]) or "no message"
    if done.returncode != 0:
        raise DataError(f"brain extraction by {words[0]} failed (status {done.returncode}): {said}")
    if not mask.exists():
        raise DataError(f"brain extraction by {words[0]} wrote no mask ({said})")
    return mask
