"""The brain mask a study asks for: the template's, one of the derivatives, or a command's.

``registration.brain_extraction`` of the configuration is ``auto`` (a mask of the derivatives where
there is one, else the template's), ``template``, ``derivatives``, or a command such as

    mri_synthstrip -i {t1w} -m {mask}

which is run without a shell, once per subject, in a temporary folder.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np

from relad.errors import DataError, ReladError
from relad.imaging.nifti import load_nifti, save_nifti
from relad.imaging.resample import grid_points, sample

#: Lines of a failed command's messages that are passed on.
_LINES = 3


def given_mask(
    setting: str, t1w: nib.Nifti1Image, derivative: Path | None, scratch: Path
) -> np.ndarray | None:
    """Brain mask (x, y, z) on the grid of the T1w; None if the template's is to be used.

    Parameters
    ----------
    setting
        ``registration.brain_extraction``.
    t1w
        Bias-corrected T1w; commands read it.
    derivative
        Mask of the dataset's derivatives, if there is one.
    scratch
        Folder for the command's files.

    Raises
    ------
    DataError
        Where the mask is missing, empty or elsewhere, or the command fails.
    ReladError
        Where the command does not exist; no subject would get a mask.
    """
    if setting == "template" or (setting == "auto" and derivative is None):
        return None
    if setting in ("auto", "derivatives"):
        if derivative is None:
            raise DataError(
                "has no brain mask among the derivatives, which registration.brain_extraction asks "
                "for (derivatives/*/sub-*/ses-*/anat/*_desc-brain_mask.nii.gz)"
            )
        return load_mask(derivative, t1w)
    return load_mask(_run(setting, t1w, scratch), t1w)


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
