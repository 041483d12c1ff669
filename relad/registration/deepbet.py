"""Brain extraction by deepbet: a trained network whose weights lie in its package.

Measured on 19 real heads in docs/preprocessing.md. The network has learnt from upright heads; of a
pitched one it takes part of the neck for brain. So a head that turns out to be tilted against the
axes of its voxels is set upright and extracted once more.

References
----------
Fisch et al., deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural Networks,
Computers in Biology and Medicine 2024.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import io_orientation
from scipy.spatial.transform import Rotation

from relad.errors import DataError
from relad.imaging.resample import finer_than, to_grid
from relad.imaging.similarity import rigid
from relad.registration import engine

#: The network sees 256 voxels along each side of the brain: what is finer than this is lost on it.
VOXEL_MM = 1.0
#: A head tilted by more than this is set upright; below, it is extracted as it lies.
TILT_DEG = 20.0
#: Pitches at which a head is tried, until the brain found fits the template as well as this
#: (normalised mutual information; real brains 1.106 to 1.143, what is none 1.095 at most).
PITCHES_DEG, SURE = (0.0, 25.0, -25.0, 50.0, -50.0), 1.1


def available() -> bool:
    """Whether deepbet can be imported."""
    return importlib.util.find_spec("deepbet") is not None


@lru_cache(maxsize=1)
def _network() -> Any:
    # Not what the package's commands import: they need a GUI toolkit.
    from deepbet.bet import BrainExtraction

    return BrainExtraction()


def extract(
    t1w: nib.Nifti1Image,
    find_pose: Callable[[nib.Nifti1Image, np.ndarray], tuple[np.ndarray, float]],
) -> np.ndarray:
    """Brain mask (x, y, z) of a T1w head.

    Parameters
    ----------
    t1w
        Bias-corrected, in memory.
    find_pose
        Function of an image and the brain mask on its grid that gives the coarse (4, 4) map of MNI
        points to points of the image, and how well brain and template match then.

    Raises
    ------
    DataError
        Where the network finds no brain.
    """
    copy = _copy(t1w)
    found: list[_Found] = []
    failure = None

    def best_with(turn: Rotation) -> _Found | None:
        """The best brain so far, once the head has been tried on voxels turned so."""
        nonlocal failure
        image = _turned(copy, turn)
        try:
            mask = _predict(image)
            found.append(_Found(*find_pose(image, mask), image, mask))
        except DataError as error:
            failure = failure or error
        return max(found, key=lambda one: one.score, default=None)

    for pitch in PITCHES_DEG:
        best = best_with(Rotation.from_rotvec([pitch, 0, 0], degrees=True))
        if best is not None and best.score >= SURE:
            break
    if best is None:
        raise failure
    if tilt_deg(best.image.affine, best.pose) > TILT_DEG:
        best = best_with(_tilt(copy.affine, best.pose))
    if best.image is t1w:
        return best.mask
    mask = best.mask.astype(np.float32)
    return to_grid(mask, best.image.affine, t1w.shape, t1w.affine) > 0.5


@dataclass(frozen=True)
class _Found:
    """A brain on an image's grid, its pose and how well it matches the template there."""

    pose: np.ndarray
    score: float
    image: nib.Nifti1Image
    mask: np.ndarray


def _turned(image: nib.Nifti1Image, turn: Rotation) -> nib.Nifti1Image:
    """The same head on voxels that are turned about the middle of the field of view."""
    if not turn.magnitude():
        return image
    middle = apply_affine(image.affine, (np.asarray(image.shape) - 1) / 2)
    affine = rigid(turn.as_rotvec(degrees=True), np.zeros(3), middle) @ image.affine
    data = to_grid(np.asarray(image.dataobj), image.affine, image.shape, affine)
    return nib.Nifti1Image(data, affine)


def _copy(t1w: nib.Nifti1Image) -> nib.Nifti1Image:
    """The image itself, or a copy of :data:`VOXEL_MM` where it is finer."""
    if not finer_than(t1w.affine, VOXEL_MM):
        return t1w
    copy = engine.working_copy(t1w, VOXEL_MM)
    return nib.Nifti1Image(copy.numpy(), engine.affine_of(copy))


def _predict(image: nib.Nifti1Image) -> np.ndarray:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get(engine.THREADS, "1")))
    try:
        _, mask, _ = _network().run(image)
    except (AssertionError, ValueError) as error:  # no foreground, by its own words
        raise DataError(
            f"the network for brain extraction finds no brain in it ({error})",
            hint="look at the image; registration.brain_extraction names other ways",
        ) from None
    finally:
        torch.set_num_threads(before)
    return np.asarray(mask.dataobj) > 0


def tilt_deg(affine: np.ndarray, pose: np.ndarray) -> float:
    """Angle between a head's axes and those of the voxels that come closest to them.

    Parameters
    ----------
    affine
        (4, 4) voxel to RAS mm.
    pose
        (4, 4) rigid map of MNI points to the image's.
    """
    return float(np.rad2deg(_tilt(affine, pose).magnitude()))


def _tilt(affine: np.ndarray, pose: np.ndarray) -> Rotation:
    """Turn in RAS mm that takes the voxels' axes to the head's."""
    axes = np.zeros((3, 3))
    for voxel_axis, (world_axis, sign) in enumerate(io_orientation(affine)):
        column = affine[:3, voxel_axis]
        axes[:, int(world_axis)] = sign * column / np.linalg.norm(column)
    return Rotation.from_matrix(pose[:3, :3] @ axes.T)
