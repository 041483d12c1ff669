"""PET of a person: true uptake per tissue and region, then frames of a tomograph in Bq/ml.

The true image is an SUVR on the 2 mm MNI grid. Frames inside the tracer's window have it as their
mean; the frame before it still looks like perfusion and the frame after it has washed out, so that
averaging the wrong frames is an error that shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import geometry
from relad.cohort.phantom import template as head
from relad.cohort.phantom.scanners import Tomograph
from relad.cohort.phantom.template import GREY_REGIONS, WHITE_REGIONS
from relad.errors import ReladError
from relad.imaging import atlas
from relad.imaging.resample import FWHM_PER_SIGMA

TRACERS = ("tau", "amyloid", "tspo")
HALF_LIFE_S = {"F18": 6586.2, "C11": 1223.4}

#: Uptake (SUVR units) that every brain shows, by region and tissue; ``cortex`` is the default.
BASE: dict[str, dict[str, float]] = {
    "tau": {
        "cortex": 1.08, "basal_ganglia": 1.35, "thalamus": 1.2, "amygdala": 1.15,
        "superior_cerebellar_grey": 1.1, "inferior_cerebellar_grey": 1.05,
        "cerebral_white": 0.80, "cerebellar_white": 0.85, "brainstem": 0.95,
        "lesion": 0.75, "csf": 0.35,
    },
    "amyloid": {
        "cortex": 0.95, "thalamus": 1.2, "basal_ganglia": 1.1,
        "superior_cerebellar_grey": 0.88, "inferior_cerebellar_grey": 0.88,
        "cerebral_white": 1.40, "cerebellar_white": 1.30, "brainstem": 1.45,
        "lesion": 0.85, "csf": 0.35,
    },
    "tspo": {
        "cortex": 1.00, "thalamus": 1.30, "basal_ganglia": 1.08, "hippocampus": 1.12,
        "amygdala": 1.10, "superior_cerebellar_grey": 1.05, "inferior_cerebellar_grey": 1.05,
        "cerebral_white": 0.80, "cerebellar_white": 0.90, "brainstem": 1.25,
        "lesion": 0.80, "csf": 0.30,
    },
}  # fmt: skip

#: Tau by region: (most specific uptake, stage at which it has half of it), as Braak's stages go.
TAU = {
    "medial_temporal": (1.4, 0.22), "hippocampus": (0.9, 0.25), "amygdala": (1.3, 0.27),
    "lateral_temporal": (2.0, 0.42), "posterior_cingulate_precuneus": (1.8, 0.52),
    "parietal": (1.9, 0.56), "occipital": (1.3, 0.70), "frontal": (1.5, 0.68),
    "anterior_cingulate": (1.0, 0.70), "sensorimotor": (0.7, 0.88),
}  # fmt: skip
#: Amyloid by region: specific uptake at full load.
AMYLOID = {
    "frontal": 1.45, "anterior_cingulate": 1.55, "posterior_cingulate_precuneus": 1.65,
    "parietal": 1.40, "lateral_temporal": 1.35, "occipital": 0.95, "medial_temporal": 0.55,
    "sensorimotor": 0.60, "basal_ganglia": 0.90, "hippocampus": 0.25, "amygdala": 0.40,
}  # fmt: skip
#: TSPO by region: rise with the stage, and rise with the global inflammation of small vessels.
TSPO_STAGE = {
    "medial_temporal": 0.75, "lateral_temporal": 0.85, "parietal": 0.65, "amygdala": 0.70,
    "posterior_cingulate_precuneus": 0.65, "hippocampus": 0.60, "frontal": 0.40,
}  # fmt: skip
TSPO_VASCULAR = {"thalamus": 1.00, "basal_ganglia": 0.65}
_TSPO_CORTEX_VASCULAR = 0.60


@dataclass(frozen=True)
class Uptake:
    """A tracer's image before any scanner, (96, 112, 96) float32 on the SUVR grid.

    ``suvr`` is the truth, ``predictable`` what follows from anatomy, stage and lesions alone, and
    ``early`` the perfusion-like image of the frame before the window.
    """

    suvr: np.ndarray
    predictable: np.ndarray
    early: np.ndarray


def vascular_level(lesion_load_ml: float) -> float:
    """Inflammation in 0..1 that goes with the load of white-matter hyperintensities."""
    return float(1 / (1 + (7.0 / lesion_load_ml) ** 1.5))


def _specific(tracer: str, latent: person.Latent) -> dict[str, float]:
    """Specific uptake per grey region, both hemispheres alike."""
    if tracer == "tau":
        stage = latent.stage + latent.tau_shift
        return {
            region: most / (1 + float(np.exp(-(stage - onset) / 0.08)))
            for region, (most, onset) in TAU.items()
        }
    if tracer == "amyloid":
        return {region: most * latent.amyloid_load for region, most in AMYLOID.items()}
    inflamed = vascular_level(latent.lesion_load_ml)
    cortex = {region: _TSPO_CORTEX_VASCULAR * inflamed for region in person.THINNING}
    for region, rise in TSPO_STAGE.items():
        cortex[region] = cortex.get(region, 0.0) + rise * latent.stage
    for region, rise in TSPO_VASCULAR.items():
        cortex[region] = cortex.get(region, 0.0) + rise * inflamed
    return {region: latent.tspo_gain * value for region, value in cortex.items()}


def _per_region(values: Mapping[str, float], default: float = 0.0) -> np.ndarray:
    return np.array([values.get(name, default) for name in GREY_REGIONS], np.float32)


def _image(
    tracer: str, anatomy: person.Anatomy, latent: person.Latent, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Uptake (n,) at the brain voxels; ``left``, ``right`` (regions,) scale specific uptake."""
    base = head.template()
    atrophy, lesion = anatomy.atrophy[base.inside], anatomy.lesion[base.inside]
    grey, white, lesion_share = person.tissue(base.tissue_2mm, atrophy, lesion)
    csf = np.clip(1 - grey - white - lesion_share, 0, 1)

    means = BASE[tracer]
    most = _per_region(_specific(tracer, latent))
    mean, half = most * (left + right) / 2, most * (right - left) / 2
    specific = mean @ base.grey_share + base.right * (half @ base.grey_share)
    if tracer == "tau":
        specific = specific * (0.75 + 0.5 * np.clip(atrophy, 0, 1))
    unspecific = _per_region(means, means["cortex"]) @ base.grey_share
    white_mean = np.array([means[name] for name in WHITE_REGIONS], np.float32) @ base.white_share
    image = (
        grey * (unspecific + specific)
        + white * white_mean
        + lesion_share * means["lesion"]
        + csf * means["csf"]
    )
    if tracer == "tspo":
        halo = ndimage.gaussian_filter(anatomy.lesion, 2.2)[base.inside]
        halo = halo / (halo + 0.12) * base.white_share[0] * (grey + white + lesion_share)
        image = image + latent.tspo_gain * 1.1 * halo
    return image


def uptake(
    tracer: str, reference_region: str, anatomy: person.Anatomy, rng: np.random.Generator
) -> Uptake:
    """True SUVR of a tracer, its mean in the reference region 1 exactly.

    Parameters
    ----------
    reference_region
        A key of :data:`relad.imaging.atlas.REFERENCE_REGIONS`.
    """
    base = head.template()
    latent = anatomy.latent
    asymmetry = rng.normal(0, 0.16, len(GREY_REGIONS))
    common = np.exp(rng.normal(0, 0.12, len(GREY_REGIONS)))
    left = (common * (1 - asymmetry)).astype(np.float32)
    right = (common * (1 + asymmetry)).astype(np.float32)
    one = np.ones(len(GREY_REGIONS), np.float32)
    visible = replace(latent, tau_shift=0.0, tspo_gain=1.0, amyloid_load=latent.amyloid_expected)

    reference = _reference(reference_region)
    grey, white, _ = base.tissue_2mm
    early = 1.15 * grey + 0.65 * white + 0.2 * (1 - grey - white)

    def volume(values: np.ndarray) -> np.ndarray:
        out = np.zeros(head.SUVR_SHAPE, np.float32)
        out[base.inside] = values
        return out

    def suvr(values: np.ndarray) -> np.ndarray:
        out = volume(values)
        return out / out[reference].mean()

    return Uptake(
        suvr=suvr(_image(tracer, anatomy, latent, left, right)),
        predictable=suvr(_image(tracer, anatomy, visible, one, one)),
        early=volume(early),
    )


_REFERENCES: dict[str, np.ndarray] = {}


def _reference(region: str) -> np.ndarray:
    if region not in _REFERENCES:
        _REFERENCES[region] = atlas.region_mask(region, head.SUVR_SHAPE, head.SUVR_AFFINE)
    return _REFERENCES[region]


@dataclass(frozen=True)
class Frame:
    """One frame: times after injection, level and contrast of the activity in it."""

    start_s: float
    duration_s: float
    level: float
    contrast: float


def frames(window_min: tuple[float, float]) -> list[Frame]:
    """One frame before the window, four that fill it, one after it.

    Level and contrast run linearly through the window about a mean of 1, so the duration-weighted
    mean of its frames is the true SUVR.
    """
    start, end = (60.0 * minutes for minutes in window_min)
    duration = (end - start) / 4
    if duration <= 0 or start < duration:
        raise ReladError(f"frames_min {list(window_min)} leaves no room for frames")
    inside = [
        Frame(start + k * duration, duration, 1 - 0.015 * (k - 1.5), 1 + 0.015 * (k - 1.5))
        for k in range(4)
    ]
    before = Frame(start - duration, duration, 1.7, 0.4)
    after = Frame(end, duration, 0.6, 1.2)
    return [before, *inside, after]


#: Grid of the activity in the head frame, 2.5 mm, around everything a tomograph sees.
_ACTIVITY_GRID = geometry.Grid.centred(
    (88, 104, 86), (2.5, 2.5, 2.5), np.eye(3), np.array([0.0, -17.0, 5.0])
)


class Body:
    """Where a person's brain and the tissue around it lie on the activity grid."""

    def __init__(self, anatomy: person.Anatomy):
        base = head.template()
        points = anatomy.mni_points(_ACTIVITY_GRID, np.eye(4), stride=2).reshape(-1, 3)
        skin_mm = geometry.sample([base.skin_mm], head.HEAD_AFFINE, points, outside=-9)[0]
        head_voxels = np.flatnonzero(skin_mm > 0)
        points = points[head_voxels]
        brain_mm = geometry.sample([base.brain_mm], head.HEAD_AFFINE, points, outside=99)[0]
        material = geometry.sample([base.material], head.HEAD_AFFINE, points, order=0)[0]
        soft = (brain_mm > 9) & np.isin(material, [head.MATERIALS.index("muscle")])
        around = np.where(soft, 0.55, 0.30)
        around[material == head.MATERIALS.index("air")] = 0.0
        self._around = np.zeros(_ACTIVITY_GRID.shape, np.float32)
        self._around.ravel()[head_voxels] = around
        brain = np.flatnonzero(brain_mm < 2)
        self._points = points[brain]
        self._voxels = head_voxels[brain]
        inside = base.inside.astype(np.float32)
        (self._share,) = geometry.sample([inside], head.SUVR_AFFINE, self._points)

    def activity(self, image: np.ndarray, fwhm_mm: float) -> np.ndarray:
        """An image of the SUVR grid in the head frame, with its surroundings, blurred."""
        out = self._around.copy()
        (value,) = geometry.sample([image], head.SUVR_AFFINE, self._points)
        out.ravel()[self._voxels] = value + (1 - self._share) * out.ravel()[self._voxels]
        return _blur(out, fwhm_mm, _ACTIVITY_GRID.voxel_mm)


def _blur(volume: np.ndarray, fwhm_mm: float, voxel_mm: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(volume, fwhm_mm / FWHM_PER_SIGMA / voxel_mm, truncate=3.0)


def scan(
    body: Body,
    image: Uptake,
    tomograph: Tomograph,
    grid: geometry.Grid,
    poses: list[np.ndarray],
    schedule: list[Frame],
    half_life_s: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Simulate the frames of a scan.

    Parameters
    ----------
    poses
        Per frame, the (4, 4) map from the head frame to scanner RAS mm.

    Returns
    -------
    Per frame, (columns, rows, slices) float32 activity relative to the reference region's mean in
    the window, corrected for decay.
    """
    late = body.activity(image.suvr, tomograph.intrinsic_mm)
    early = body.activity(image.early, tomograph.intrinsic_mm)
    middle = np.mean([frame.start_s for frame in schedule])
    volumes = []
    for frame, pose in zip(schedule, poses, strict=True):
        activity = frame.level * (early + frame.contrast * (late - early))
        to_source = np.linalg.inv(pose @ _ACTIVITY_GRID.affine) @ grid.affine
        clean = ndimage.affine_transform(
            activity, to_source[:3, :3], to_source[:3, 3], output_shape=grid.shape, order=1
        )
        decay = 0.5 ** ((frame.start_s - middle) / half_life_s)
        per_unit = tomograph.counts * frame.duration_s / 60 * decay
        counts = rng.poisson(np.clip(clean, 0, None) * per_unit).astype(np.float32)
        volumes.append(_blur(counts / per_unit, tomograph.filter_mm, grid.voxel_mm))
    return volumes
