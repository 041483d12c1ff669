"""Rigid registration within one person: FLAIR to T1w and PET to T1w."""

from __future__ import annotations

from pathlib import Path

import ants
import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

from relad.registration import engine, search
from relad.registration.engine import Stage
from relad.registration.motion import smooth
from relad.registration.transforms import write_affine

#: T1w is smoothed towards the resolution of PET before the two are compared.
T1W_FWHM_MM = 5.0
#: Rim around the brain within which other images are compared with T1w; beyond it lie neck, face.
RIM_MM = 18.0


def flair_to_t1w(
    t1w: ants.ANTsImage,
    flair: ants.ANTsImage,
    prefix: Path,
    *,
    seed: int,
    brain: np.ndarray | None = None,
) -> None:
    """Register FLAIR to T1w over the whole head.

    Parameters
    ----------
    t1w, flair
        Bias-corrected, at working resolution.
    prefix
        ``<prefix>0GenericAffine.mat`` is written.
    seed
        Of the metric's sampling.
    brain
        Brain mask on the grid of ``t1w``, where there is one. The start is searched by the whole
        head, which a field of view that differs misleads, and then also by the brain alone, which
        may be found back to front: of both the one is taken by which the brain fits better.
    """
    fixed, moving = engine.clip_highlights(t1w), engine.clip_highlights(flair)
    start, _ = search.start(fixed, moving)
    if brain is not None:
        near = _near(brain, engine.affine_of(t1w))
        other, _ = search.start(
            fixed,
            moving,
            mask=near,
            centre_of=brain.astype(np.float32),
            pitches_deg=search.PITCHES_DEG,
        )
        start = search.best(fixed, moving, [start, other], near)
    stage = Stage("Rigid[0.1]", (60, 30), (4, 2), (1, 0), sampling=0.2)
    engine.register(fixed, moving, [stage], prefix, seed=seed, initial=_written(start, prefix))


def _near(brain: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The brain and a rim of :data:`RIM_MM`."""
    return ndimage.distance_transform_edt(~brain, sampling=voxel_sizes(affine)) < RIM_MM


def pet_to_t1w(
    t1w: ants.ANTsImage,
    brain: np.ndarray,
    pet: np.ndarray,
    pet_affine: np.ndarray,
    prefix: Path,
    *,
    seed: int,
) -> None:
    """Register a mean PET to T1w by what lies in and near the brain.

    Parameters
    ----------
    t1w
        Bias-corrected T1w head at working resolution.
    brain
        Brain mask on the grid of ``t1w``.
    pet, pet_affine
        Mean PET (x, y, z) and its (4, 4) voxel to RAS mm affine.
    prefix
        ``<prefix>0GenericAffine.mat`` is written.
    """
    affine = engine.affine_of(t1w)
    rim = _near(brain, affine)
    fixed = smooth(engine.clip_highlights(t1w).numpy(), affine, T1W_FWHM_MM)
    fixed, moving = engine.to_ants(fixed, affine), engine.to_ants(pet, pet_affine)
    start, _ = search.start(
        fixed, moving, mask=rim, centre_of=brain.astype(np.float32), pitches_deg=search.PITCHES_DEG
    )
    mask = engine.mask_of(rim, affine)
    stage = Stage("Rigid[0.1]", (40, 20), (4, 2), (1, 0), sampling=0.2, mask=mask)
    engine.register(fixed, moving, [stage], prefix, seed=seed, initial=_written(start, prefix))


def _written(start: np.ndarray, prefix: Path) -> Path:
    path = prefix.with_name(f"{prefix.name}start.mat")
    write_affine(path, start)
    return path
