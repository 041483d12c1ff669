"""T1w to MNI by the brain alone: search of a pose, affine, then SyN; and the template's own mask.

Skull, scalp, neck and shoulders differ between people and scans far more than brains do, and the
template has none, so the brain of the T1w is registered to that of MNI152 from a searched start
(:mod:`relad.registration.search`), whatever extraction it comes from. SyN is driven by local
correlation: cerebellum and cortex follow their own contrast, where a global measure follows the
outline, which in an aged head lies beyond centimetres of CSF.

The template also has an opinion on where the brain is, from the whole head: an affine of a
head-like template, the skull-stripped MNI152 with a dark shell for the skull and a bright one for
the scalp, which hold the scale. It serves where there is no extraction, and else to doubt it.
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
from relad.imaging.similarity import stripped
from relad.registration import engine, search
from relad.registration.engine import Stage
from relad.registration.transforms import Warp, read_affine, write_affine

SKULL_MM = 8.0
SCALP_MM = 8.0
#: Intensity of skull and scalp, as multiples of white matter's.
SKULL, SCALP = 0.2, 1.2
RIM_AFFINE_MM, RIM_SYN_MM = 10.0, 4.0


@dataclass(frozen=True)
class Template:
    """MNI152 with its metric masks: its brain, and a head-like image around it."""

    t1: ants.ANTsImage
    head: ants.ANTsImage
    brain: np.ndarray
    affine: np.ndarray
    near: np.ndarray
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
    near = outward < RIM_AFFINE_MM
    return Template(
        t1=engine.to_ants(np.where(brain, t1, 0), affine),
        head=engine.to_ants(head, affine),
        brain=brain,
        affine=affine,
        near=near,
        mask_affine=engine.mask_of(near, affine),
        mask_syn=engine.mask_of(outward < RIM_SYN_MM, affine),
    )


def find_pose(brain: ants.ANTsImage) -> tuple[np.ndarray, float]:
    """Coarse map of MNI points to those of an extracted brain, see :func:`search.start`."""
    target = template()
    return search.start(target.t1, brain, mask=target.near, pitches_deg=search.PITCHES_DEG)


def to_mni(
    t1w: ants.ANTsImage, brain: np.ndarray, prefix: Path, *, seed: int, deform: bool = True
) -> None:
    """Register a bias-corrected T1w to MNI by its brain.

    Writes ``<prefix>0GenericAffine.mat`` and, where it is to ``deform``, ``<prefix>1Warp.nii.gz``
    and ``<prefix>1InverseWarp.nii.gz``.

    Parameters
    ----------
    t1w
        Head at working resolution.
    brain
        (x, y, z) boolean on the grid of ``t1w``.
    prefix
        Of the files.
    seed
        Of the metric's sampling.
    """
    target = template()
    moving = engine.to_ants(stripped(t1w.numpy(), brain), engine.affine_of(t1w))
    start = prefix.with_name(f"{prefix.name}start.mat")
    write_affine(start, find_pose(moving)[0])
    coarse = prefix.with_name(prefix.name + "affine") if deform else prefix
    engine.register(
        target.t1,
        moving,
        [
            # Levels of 8, then 8 and 4 mm.
            Stage("Rigid[0.1]", (30,), (4,), (2,), sampling=0.25),
            Stage("Affine[0.1]", (60, 30), (4, 2), (2, 1), sampling=0.25),
        ],
        coarse,
        seed=seed,
        initial=start,
    )
    if not deform:
        return
    engine.register(
        target.t1,
        moving,
        # Local correlation over cubes of three voxels of 8 and 4 mm; no smoothing at the last
        # level: it costs accuracy here and saves nothing.
        [Stage("SyN[0.2,3,0]", (40, 20), (4, 2), (1, 0), metric="CC", mask=target.mask_syn)],
        prefix,
        seed=seed,
        initial=f"{coarse}0GenericAffine.mat",
    )


def head_to_mni(t1w: ants.ANTsImage, start: Path, prefix: Path, *, seed: int) -> None:
    """Affine of a whole head to the head-like template; writes ``<prefix>0GenericAffine.mat``."""
    target = template()
    engine.register(
        target.head,
        engine.clip_highlights(t1w),
        [
            # Levels of 8, 8 and 4 mm.
            Stage("Rigid[0.1]", (30,), (4,), (2,), sampling=0.25),
            Stage("Affine[0.1]", (60,), (4,), (2,), sampling=0.25),
            Stage("Affine[0.1]", (30,), (2,), (1,), sampling=0.2, mask=target.mask_affine),
        ],
        prefix,
        seed=seed,
        initial=start,
    )


def template_mask(t1w: ants.ANTsImage, prefix: Path, *, seed: int) -> np.ndarray:
    """Brain (x, y, z) of a whole head on its own grid, carried back from the template by SyN.

    For where no other extraction can be had: in aged heads it misses a tenth of the brain.
    """
    target = template()
    start = prefix.with_name(f"{prefix.name}start.mat")
    moving = engine.clip_highlights(t1w)
    found, _ = search.start(target.head, moving, mask=target.near, pitches_deg=search.PITCHES_DEG)
    write_affine(start, found)
    coarse = prefix.with_name(prefix.name + "affine")
    head_to_mni(t1w, start, coarse, seed=seed)
    engine.register(
        target.head,
        moving,
        [Stage("SyN[0.25,3,0]", (40, 10), (4, 2), (1, 0), mask=target.mask_syn)],
        prefix,
        seed=seed,
        initial=f"{coarse}0GenericAffine.mat",
    )
    points = grid_points(t1w.shape, engine.affine_of(t1w))
    points = apply_affine(np.linalg.inv(read_affine(f"{prefix}0GenericAffine.mat")), points)
    points = Warp(f"{prefix}1InverseWarp.nii.gz")(points)
    return sample(target.brain.astype(np.float32), target.affine, points) > 0.5


def overlap(t1w: ants.ANTsImage, brain: np.ndarray, prefix: Path) -> float:
    """Dice overlap of a brain (x, y, z) on a T1w's grid with the template's, by an affine alone."""
    target = template()
    points = grid_points(SHAPE, target.affine)
    points = apply_affine(read_affine(f"{prefix}0GenericAffine.mat"), points)
    found = sample(brain.astype(np.float32), engine.affine_of(t1w), points) > 0.5
    total = int(found.sum()) + int(target.brain.sum())
    return 2 * int((found & target.brain).sum()) / total
