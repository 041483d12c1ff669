"""PET of a person: true uptake per tissue and region, then frames of a tomograph in Bq/ml.

The true image is an SUVR on the brain's own grid. Frames inside the tracer's window have it as
their mean; the frame before it still looks like perfusion and the frame after it has washed out, so
that averaging the wrong frames is an error that shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import geometry
from relad.cohort.phantom import template as head
from relad.cohort.phantom.brain import Brain
from relad.cohort.phantom.scanners import Tomograph
from relad.cohort.phantom.template import GREY_REGIONS, WHITE_REGIONS
from relad.errors import ReladError
from relad.imaging.resample import FWHM_PER_SIGMA, limit_resolution

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
#: Standard deviation of the inflammation around lesions.
_HALO_MM = 4.4
#: Uptake of what lies around the brain, and the distance from it at which muscle begins.
AROUND_UPTAKE, MUSCLE_UPTAKE, SOFT_FROM_MM = 0.30, 0.55, 9.0


@dataclass(frozen=True)
class Uptake:
    """A tracer's image before any scanner, (x, y, z) float32 on the brain's grid.

    ``suvr`` is the truth, ``predictable`` what follows from anatomy, stage and lesions alone, and
    ``early`` the perfusion-like image of the frame before the window.
    """

    suvr: np.ndarray
    predictable: np.ndarray
    early: np.ndarray


def _specific(tracer: str, disease: person.Disease) -> dict[str, float]:
    """Specific uptake per grey region, both hemispheres alike."""
    if tracer == "tau":
        stage = disease.stage + disease.tau_shift
        return {
            region: most / (1 + float(np.exp(-(stage - onset) / 0.08)))
            for region, (most, onset) in TAU.items()
        }
    if tracer == "amyloid":
        return {region: most * disease.amyloid_load for region, most in AMYLOID.items()}
    inflamed = disease.vascular
    cortex = {region: _TSPO_CORTEX_VASCULAR * inflamed for region in person.THINNING}
    for region, rise in TSPO_STAGE.items():
        cortex[region] = cortex.get(region, 0.0) + rise * disease.stage
    for region, rise in TSPO_VASCULAR.items():
        cortex[region] = cortex.get(region, 0.0) + rise * inflamed
    return {region: disease.tspo_gain * value for region, value in cortex.items()}


def _per_region(values: Mapping[str, float], default: float = 0.0) -> np.ndarray:
    return np.array([values.get(name, default) for name in GREY_REGIONS], np.float32)


def _image(
    tracer: str, brain: Brain, disease: person.Disease, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Uptake (n,) at the brain voxels; ``left``, ``right`` (regions,) scale specific uptake."""
    grey, white, lesion_share = brain.tissue
    csf = np.clip(1 - grey - white - lesion_share, 0, 1)

    means = BASE[tracer]
    most = _per_region(_specific(tracer, disease))
    mean, half = most * (left + right) / 2, most * (right - left) / 2
    specific = mean @ brain.grey_share + brain.right * (half @ brain.grey_share)
    if tracer == "tau":
        specific = specific * (0.75 + 0.5 * np.clip(brain.atrophy, 0, 1))
    unspecific = _per_region(means, means["cortex"]) @ brain.grey_share
    white_mean = np.array([means[name] for name in WHITE_REGIONS], np.float32) @ brain.white_share
    image = (
        grey * (unspecific + specific)
        + white * white_mean
        + lesion_share * means["lesion"]
        + csf * means["csf"]
    )
    if tracer == "tspo":
        halo = ndimage.gaussian_filter(brain.lesion, _HALO_MM / voxel_sizes(brain.affine))
        halo = halo[brain.inside]
        halo = halo / (halo + 0.12) * brain.white_share[0] * (grey + white + lesion_share)
        image = image + disease.tspo_gain * 1.1 * halo
    return image


def uptake(
    tracer: str,
    reference_region: str,
    brain: Brain,
    disease: person.Disease,
    rng: np.random.Generator,
) -> Uptake:
    """True SUVR of a tracer, its mean in the reference region 1 exactly.

    Parameters
    ----------
    reference_region
        A key of :data:`relad.imaging.atlas.REFERENCE_REGIONS`.
    """
    asymmetry = rng.normal(0, 0.16, len(GREY_REGIONS))
    common = np.exp(rng.normal(0, 0.12, len(GREY_REGIONS)))
    left = (common * (1 - asymmetry)).astype(np.float32)
    right = (common * (1 + asymmetry)).astype(np.float32)
    one = np.ones(len(GREY_REGIONS), np.float32)
    visible = replace(disease, tau_shift=0.0, tspo_gain=1.0, amyloid_load=disease.amyloid_expected)

    reference = brain.reference(reference_region)
    grey, white = brain.perfused
    early = 1.15 * grey + 0.65 * white + 0.2 * (1 - grey - white)

    def suvr(values: np.ndarray) -> np.ndarray:
        out = brain.volume(values)
        return out / out[reference].mean()

    return Uptake(
        suvr=suvr(_image(tracer, brain, disease, left, right)),
        predictable=suvr(_image(tracer, brain, visible, one, one)),
        early=brain.volume(early),
    )


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


#: Grid of the activity in the head frame, 2.5 mm: everything that a tomograph sees.
_ACTIVITY_SHAPE, _ACTIVITY_MM = (88, 104, 86), 2.5


def activity_grid(centre: np.ndarray) -> geometry.Grid:
    """Grid of the activity around the middle (3,) of a brain, along the axes of the head frame."""
    return geometry.Grid.centred(_ACTIVITY_SHAPE, (_ACTIVITY_MM,) * 3, np.eye(3), centre)


@dataclass(frozen=True)
class Body:
    """Where a brain and the tissue around it lie on the activity grid.

    Attributes
    ----------
    around
        Uptake (x, y, z) of the tissue around the brain, on ``grid``.
    voxels, points
        Flat indices (m,) of the brain's voxels on ``grid``, and where each lies (m, 3) in mm of the
        image with the (4, 4) ``affine`` that says the brain's uptake.
    share
        (m,) share of each of them that is brain.
    """

    grid: geometry.Grid
    around: np.ndarray
    voxels: np.ndarray
    points: np.ndarray
    share: np.ndarray
    affine: np.ndarray

    @classmethod
    def of_template(cls, anatomy: person.Anatomy) -> Body:
        """Body of a phantom."""
        base = head.template()
        grid = activity_grid(np.array([0.0, -17.0, 5.0]))
        points = anatomy.mni_points(grid, np.eye(4), stride=2).reshape(-1, 3)
        skin_mm = geometry.sample([base.skin_mm], head.HEAD_AFFINE, points, outside=-9)[0]
        head_voxels = np.flatnonzero(skin_mm > 0)
        points = points[head_voxels]
        brain_mm = geometry.sample([base.brain_mm], head.HEAD_AFFINE, points, outside=99)[0]
        material = geometry.sample([base.material], head.HEAD_AFFINE, points, order=0)[0]
        muscle = (brain_mm > SOFT_FROM_MM) & np.isin(material, [head.MATERIALS.index("muscle")])
        tissue = np.where(muscle, MUSCLE_UPTAKE, AROUND_UPTAKE)
        tissue[material == head.MATERIALS.index("air")] = 0.0
        around = np.zeros(grid.shape, np.float32)
        around.ravel()[head_voxels] = tissue
        brain = np.flatnonzero(brain_mm < 2)
        inside = base.inside.astype(np.float32)
        (share,) = geometry.sample([inside], head.SUVR_AFFINE, points[brain])
        return cls(grid, around, head_voxels[brain], points[brain], share, head.SUVR_AFFINE)

    def activity(self, image: np.ndarray, fwhm_mm: float) -> np.ndarray:
        """An image of the brain in the head frame, with its surroundings, blurred."""
        out = self.around.copy()
        image = limit_resolution(image, self.affine, head.VOXEL_MM)
        (value,) = geometry.sample([image], self.affine, self.points)
        out.ravel()[self.voxels] = value + (1 - self.share) * out.ravel()[self.voxels]
        return _blur(out, fwhm_mm, self.grid.voxel_mm)


def _on_grid(
    activity: np.ndarray, source: geometry.Grid, grid: geometry.Grid, pose: np.ndarray
) -> np.ndarray:
    """Activity (x, y, z) of a head in a pose, at the voxels of a scan."""
    index = np.linalg.inv(pose @ source.affine) @ grid.affine
    return ndimage.affine_transform(
        activity, index[:3, :3], index[:3, 3], output_shape=grid.shape, order=1
    )


def noise_free(
    body: Body, image: np.ndarray, tomograph: Tomograph, grid: geometry.Grid, pose: np.ndarray
) -> np.ndarray:
    """An image of the brain as the tomograph would show it, had it endless counts.

    Parameters
    ----------
    image
        Uptake (x, y, z) on the brain's grid.
    pose
        (4, 4) map from the head frame to scanner RAS mm.

    Returns
    -------
    (columns, rows, slices) float32 in the unit of ``image``.
    """
    activity = body.activity(image, tomograph.intrinsic_mm)
    return _blur(_on_grid(activity, body.grid, grid, pose), tomograph.filter_mm, grid.voxel_mm)


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
        clean = _on_grid(activity, body.grid, grid, pose)
        decay = 0.5 ** ((frame.start_s - middle) / half_life_s)
        per_unit = tomograph.counts * frame.duration_s / 60 * decay
        counts = rng.poisson(np.clip(clean, 0, None) * per_unit).astype(np.float32)
        volumes.append(_blur(counts / per_unit, tomograph.filter_mm, grid.voxel_mm))
    return volumes
