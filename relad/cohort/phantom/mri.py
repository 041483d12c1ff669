"""T1w and FLAIR of a person in one scanner: tissue signals, bias field, Rician noise."""

from __future__ import annotations

import numpy as np

from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import geometry
from relad.cohort.phantom import template as head
from relad.cohort.phantom.scanners import Sequence

#: Greatest signal of a stored image: 12 bits less headroom for noise.
STORED_WHITE = 1200.0


def signal(anatomy: person.Anatomy, means: dict[str, float], points: np.ndarray) -> np.ndarray:
    """Noise-free signal (...) at MNI points (..., 3) for the tissue means of a sequence."""
    shape = points.shape[:-1]
    points = points.reshape(-1, 3)
    base = head.template()
    depth = geometry.sample([base.skin_mm], head.HEAD_AFFINE, points, outside=-9)[0]
    covered = np.flatnonzero(depth > 0)
    out = np.zeros(len(points), np.float32)
    out[covered] = _covered(anatomy, means, points[covered], depth[covered])
    return out.reshape(shape)


def _covered(
    anatomy: person.Anatomy, means: dict[str, float], points: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Signal (n,) at points below the skin, ``depth`` (n,) mm deep."""
    base = head.template()
    brain_mm = geometry.sample([base.brain_mm], head.HEAD_AFFINE, points, outside=99)[0]
    material = geometry.sample([base.material], head.HEAD_AFFINE, points, order=0)[0].astype(int)
    rest = np.array([means[name] for name in head.MATERIALS], np.float32)[material]
    out = rest.copy()

    csf_mm, bone_mm = anatomy.skull_mm
    bone = (brain_mm > csf_mm) & (brain_mm < csf_mm + bone_mm)
    marrow = np.abs(brain_mm - csf_mm - bone_mm / 2) < 0.2 * bone_mm
    out[bone] = means["skull"]
    out[marrow] = means["marrow"]
    out[(depth < 4.5) & (brain_mm > csf_mm + bone_mm)] = means["fat"]
    out[depth < 1.2] = means["skin"]
    # Below the brain, the shells open for the spinal canal.
    canal = (material == head.MATERIALS.index("csf")) | (material == head.MATERIALS.index("white"))
    out[canal & (brain_mm > 0)] = rest[canal & (brain_mm > 0)]
    out[(brain_mm <= csf_mm) & ~canal] = means["csf"]

    in_brain = np.flatnonzero(brain_mm < 1.5)
    where = points[in_brain]
    *maps, brain = geometry.sample([*base.tissue, base.brain], base.tissue_affine, where)
    atrophy, lesion, deep = geometry.sample(
        [anatomy.atrophy, anatomy.lesion, base.deep_grey], head.SUVR_AFFINE, where
    )
    grey, white, lesion = person.tissue(maps, atrophy, lesion)
    grey_mean = means["grey"] + deep * (means["deep_grey"] - means["grey"])
    csf = np.clip(1 - grey - white - lesion, 0, 1)
    tissue = (
        grey * grey_mean + white * means["white"] + lesion * means["lesion"] + csf * means["csf"]
    )
    out[in_brain] = brain * tissue + (1 - brain) * out[in_brain]
    return out


def bias_field(
    rng: np.random.Generator, shape: tuple[int, int, int], strength: float
) -> np.ndarray:
    """Smooth coil sensitivity (x, y, z), within 1 - strength and 1 + strength."""
    field = np.zeros(shape, np.float32)
    axes = [
        np.linspace(-1, 1, n, dtype=np.float32).reshape([-1 if b == a else 1 for b in range(3)])
        for a, n in enumerate(shape)
    ]
    for _ in range(4):
        phase, pace = rng.uniform(-np.pi, np.pi), rng.uniform(-1.6, 1.6, 3)
        field += np.sin(sum(p * x for p, x in zip(pace, axes, strict=True)) + phase)
    field -= field.mean()
    return 1 + strength * field / np.abs(field).max()


def scan(
    anatomy: person.Anatomy,
    sequence: Sequence,
    grid: geometry.Grid,
    pose: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Simulate a scan.

    Parameters
    ----------
    grid, pose
        The scan's voxels, and the (4, 4) map from the head frame to its scanner RAS mm.

    Returns
    -------
    (columns, rows, slices) uint16 magnitude, arbitrary units.
    """
    means = dict(sequence.signal)
    if means["grey"] < means["white"]:  # T1-weighted
        means["grey"] *= 1 + anatomy.latent.grey_brightening
    thickness = grid.voxel_mm[2]
    points = anatomy.mni_points(grid, pose, stride=2)
    # A thick slice is the mean over its depth.
    offsets = [0.0] if thickness < 3 else [-0.25, 0.25]
    step = np.gradient(points, axis=2)
    clean = np.mean(
        [signal(anatomy, means, points + np.float32(o) * step) for o in offsets], axis=0
    )
    clean = clean * bias_field(rng, grid.shape, sequence.bias)
    real = clean + sequence.noise * rng.standard_normal(grid.shape, dtype=np.float32)
    imaginary = sequence.noise * rng.standard_normal(grid.shape, dtype=np.float32)
    magnitude = np.sqrt(real**2 + imaginary**2)
    return np.clip(np.round(STORED_WHITE * magnitude), 0, 4095).astype(np.uint16)
