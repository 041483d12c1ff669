"""From a whole head to MNI: affine, then SyN, and the brain mask carried back.

1. Affine (centre of mass, rigid, affine) of the head to a head-like template: the skull-stripped
   MNI152 brain with a dark shell for the skull and a bright one for the scalp. The shells hold
   the scale, which the brain alone does not: a metric inside the brain mask likes to stretch the
   mask out to the skull, one over everything likes to match scalp with air.
2. The affine refined with the metric restricted to the brain and a rim.
3. SyN from there, restricted likewise. Nothing is registered twice: the same affine and warp give
   the brain mask and the map to MNI.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import ants
import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from relad.imaging import atlas
from relad.imaging.atlas import SHAPE, VOXEL_MM
from relad.imaging.resample import grid_points, sample
from relad.registration import engine
from relad.registration.engine import Stage
from relad.registration.transforms import Warp, read_affine

SKULL_MM = 8.0
SCALP_MM = 8.0
#: Intensity of skull and scalp, as multiples of white matter's.
SKULL, SCALP = 0.2, 1.2
RIM_AFFINE_MM, RIM_SYN_MM = 10.0, 4.0


@dataclass(frozen=True)
class Template:
    """Head-like MNI152 template with its metric masks."""

    head: ants.ANTsImage
    brain: np.ndarray
    affine: np.ndarray
    mask_affine: ants.ANTsImage
    mask_syn: ants.ANTsImage


@lru_cache(maxsize=1)
def template() -> Template:
    affine = atlas.grid_affine(SHAPE, VOXEL_MM)
    t1 = atlas.resample_map("t1", SHAPE, affine)
    brain = atlas.brain_mask(SHAPE, affine)
    outward = ndimage.distance_transform_edt(~brain, sampling=VOXEL_MM)
    white = np.percentile(t1[brain], 85)
    shells = np.where(outward < SKULL_MM, SKULL * white, SCALP * white)
    shells[outward >= SKULL_MM + SCALP_MM] = 0
    head = ndimage.gaussian_filter(np.where(brain, t1, shells), 0.7)
    return Template(
        head=engine.to_ants(head, affine),
        brain=brain,
        affine=affine,
        mask_affine=engine.mask_of(outward < RIM_AFFINE_MM, affine),
        mask_syn=engine.mask_of(outward < RIM_SYN_MM, affine),
    )


def to_mni(t1w: ants.ANTsImage, prefix: Path, *, seed: int) -> None:
    """Register a bias-corrected T1w head to MNI.

    Writes ``<prefix>0GenericAffine.mat``, ``<prefix>1Warp.nii.gz`` and
    ``<prefix>1InverseWarp.nii.gz``.
    """
    target = template()
    moving = engine.clip_highlights(t1w)
    coarse = prefix.with_name(prefix.name + "affine")
    engine.register(
        target.head,
        moving,
        [
            # Levels of 8, 8 and 4 mm.
            Stage("Rigid[0.1]", (30,), (4,), (2,), sampling=0.25),
            Stage("Affine[0.1]", (60,), (4,), (2,), sampling=0.25),
            Stage("Affine[0.1]", (30,), (2,), (1,), sampling=0.2, mask=target.mask_affine),
        ],
        coarse,
        seed=seed,
    )
    engine.register(
        target.head,
        moving,
        # No smoothing at the last level: it costs accuracy here and saves nothing.
        [Stage("SyN[0.25,3,0]", (40, 10), (4, 2), (1, 0), mask=target.mask_syn)],
        prefix,
        seed=seed,
        initial=f"{coarse}0GenericAffine.mat",
    )


def carry_back(shape: tuple[int, ...], affine: np.ndarray, prefix: Path) -> np.ndarray:
    """Carry the template's brain mask to a T1w grid.

    Returns
    -------
    (2, x, y, z) boolean: by affine and SyN, and by the affine alone.
    """
    target = template()
    brain = target.brain.astype(np.float32)
    points = apply_affine(
        np.linalg.inv(read_affine(f"{prefix}0GenericAffine.mat")), grid_points(shape, affine)
    )
    warped = Warp(f"{prefix}1InverseWarp.nii.gz")(points)
    return np.stack([sample(brain, target.affine, p) > 0.5 for p in (warped, points)])
