"""One person: latent disease, a warped and ageing brain, lesions.

The template is carried into the person's head frame by an affine after a diffeomorphism,
``p = A exp(v)(m)``, with v a smooth stationary velocity field integrated by scaling and squaring
(Arsigny et al., MICCAI 2006). Disease acts on both: it widens the ventricles through v and turns
the outer rim of cortex into CSF.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from relad.cohort.phantom import geometry
from relad.cohort.phantom import template as head
from relad.cohort.phantom.template import GREY_REGIONS, Template

#: How much each grey region thins with the stage of the disease, relative to the worst.
THINNING = {
    "medial_temporal": 1.0, "hippocampus": 1.0, "amygdala": 1.0, "lateral_temporal": 0.8,
    "posterior_cingulate_precuneus": 0.65, "parietal": 0.65, "frontal": 0.45,
    "anterior_cingulate": 0.35, "occipital": 0.2, "sensorimotor": 0.1,
}  # fmt: skip
_SQUARINGS = 5
_GOLDEN = (5**0.5 - 1) / 2


def stream(seed: int, *names: object) -> np.random.Generator:
    """Random generator that depends on the study's seed and on names alone, never on order."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    words = np.frombuffer(digest, "<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


@dataclass(frozen=True)
class Disease:
    """What drives a person's PET.

    Attributes
    ----------
    stage
        Stage of the disease, 0 to 1; spreads tau, and goes with atrophy.
    amyloid_load, amyloid_expected
        Amyloid in 0..1, and its part that stage and lesions predict.
    tau_shift
        Offset of the tau stage from ``stage``; not visible on MRI.
    tspo_gain
        Factor on inflammation, such as the rs6971 genotype's; not visible on MRI.
    lesion_load_ml, usual_lesions_ml
        Volume of white-matter hyperintensities, and that of the middle of such people.
    """

    age: float
    sex: str
    weight_kg: float
    stage: float
    amyloid_load: float
    amyloid_expected: float
    tau_shift: float
    tspo_gain: float
    lesion_load_ml: float
    usual_lesions_ml: float

    @property
    def vascular(self) -> float:
        """Inflammation in 0..1 that goes with the load of white-matter hyperintensities."""
        return float(1 / (1 + (self.usual_lesions_ml / self.lesion_load_ml) ** 1.5))


@dataclass(frozen=True)
class Latent(Disease):
    """What drives the images of a phantom, whose lesions are those of MNI space.

    Attributes
    ----------
    grey_brightening
        Relative rise of the grey signal on T1w; grey-white contrast fades with the stage.
    """

    group: str
    grey_brightening: float


#: Volume of white-matter hyperintensities in the middle of the phantoms.
USUAL_LESIONS_ML = 7.0


def expected_amyloid(stage: float, lesions_ml: float, usual_ml: float) -> float:
    """Amyloid in 0..1 that stage and white-matter hyperintensities predict."""
    # Log lesion load as a number of about unit spread around its median.
    lesions = np.log(lesions_ml / usual_ml)
    return float(1 / (1 + np.exp(-(7.0 * (stage - 0.42) + 0.7 * lesions))))


def draw_weight(rng: np.random.Generator, sex: str) -> float:
    """Body weight in kg."""
    return round(float(np.clip(rng.normal(80 if sex == "M" else 68, 11), 45, 120)), 1)


def hidden_amyloid(rng: np.random.Generator, expected: float) -> float:
    """Amyloid in 0..1 about what is expected; the deviation is not visible on MRI."""
    return float(np.clip(expected + rng.normal(0, 0.15), 0, 1))


def hidden_tau_shift(rng: np.random.Generator) -> float:
    """See :attr:`Disease.tau_shift`."""
    return float(np.clip(rng.normal(0, 0.08), -0.18, 0.18))


def hidden_tspo_gain(rng: np.random.Generator) -> float:
    """See :attr:`Disease.tspo_gain`."""
    return float(np.clip(rng.normal(1, 0.18), 0.6, 1.4))


def draw_latent(seed: int, cohort: str, ptid: str) -> Latent:
    """Draw a person's latent variables.

    The stage follows an additive low-discrepancy sequence in the subject's running number, so that
    a cohort of 20 covers the whole disease and a person does not change with the cohort's size.
    """
    rng = stream(seed, cohort, ptid, "latent")
    number = int(ptid.rsplit("_", 1)[-1])
    offset = stream(seed, cohort, "stage").uniform()
    stage = (offset + number * _GOLDEN) % 1.0
    age = float(np.clip(rng.normal(68 + 9 * stage, 5), 55, 90))
    vascular = rng.normal(0.02 * (age - 72), 0.9)
    lesions_ml = float(np.clip(USUAL_LESIONS_ML * np.exp(vascular), 0.8, 45.0))
    expected = expected_amyloid(stage, lesions_ml, USUAL_LESIONS_ML)
    load = hidden_amyloid(rng, expected)
    severity = stage + rng.normal(0, 0.1)
    sex = "FM"[rng.integers(2)]
    return Latent(
        age=round(age, 1),
        sex=sex,
        group="CN" if severity < 0.38 else "MCI" if severity < 0.7 else "AD",
        weight_kg=draw_weight(rng, sex),
        stage=float(stage),
        amyloid_load=load,
        amyloid_expected=expected,
        tau_shift=hidden_tau_shift(rng),
        tspo_gain=hidden_tspo_gain(rng),
        grey_brightening=float(0.13 * stage + rng.normal(0, 0.015)),
        lesion_load_ml=lesions_ml,
        usual_lesions_ml=USUAL_LESIONS_ML,
    )


def _exponential(velocity: np.ndarray) -> np.ndarray:
    """Displacement (..., 3) in mm of exp(velocity) on the velocity grid."""
    displacement = velocity / 2**_SQUARINGS
    points = geometry.Grid(head.VELOCITY_SHAPE, head.VELOCITY_AFFINE).points()
    for _ in range(_SQUARINGS):
        displacement = displacement + _at(displacement, points + displacement)
    return displacement.astype(np.float32)


def _at(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Sample a vector field (x, y, z, 3) of the velocity grid at points (..., 3)."""
    components = np.moveaxis(field, -1, 0)
    return np.moveaxis(geometry.sample(components, head.VELOCITY_AFFINE, points), 0, -1)


@dataclass(frozen=True)
class Anatomy:
    """A person's head.

    Attributes
    ----------
    affine
        (4, 4) of the map above.
    forward, inverse
        Displacements (44, 53, 53, 3) in mm of exp(v) and exp(-v).
    atrophy
        (96, 112, 96) float32 loss of cortex, about 0 (young) to 1, on the SUVR grid.
    lesion
        (96, 112, 96) float32 share of each voxel of the SUVR grid that is lesion.
    skull_mm
        Thickness of CSF and of bone under the scalp.
    """

    latent: Latent
    affine: np.ndarray
    forward: np.ndarray
    inverse: np.ndarray
    atrophy: np.ndarray
    lesion: np.ndarray
    skull_mm: tuple[float, float]

    def to_head(self, points: np.ndarray) -> np.ndarray:
        """Map MNI points (..., 3) to the head frame: the inverse of :meth:`to_mni`.

        exp(v) on a grid inverts exp(-v) to some tenths of a mm; since images are drawn with
        exp(-v), fixed-point steps bring the points to where these show them.
        """
        found = geometry.apply(self.affine, points + _at(self.forward, points))
        for _ in range(5):
            found = found + 0.7 * (points - self.to_mni(found)) @ self.affine[:3, :3].T
        return found

    def to_mni(self, points: np.ndarray) -> np.ndarray:
        """Map points (..., 3) of the head frame to MNI."""
        points = geometry.apply(np.linalg.inv(self.affine), points)
        return points + _at(self.inverse, points)

    def mni_points(self, grid: geometry.Grid, pose: np.ndarray, stride: int) -> np.ndarray:
        """MNI position (x, y, z, 3) of each voxel of a scan whose head lies in ``pose`` (4, 4)."""
        coarse = geometry.apply(np.linalg.inv(pose), grid.points(stride))
        return geometry.refine(self.to_mni(coarse), grid.shape, stride)


def tissue(
    maps: np.ndarray, atrophy: np.ndarray, lesion: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey, healthy white and lesion shares after atrophy; what is left of 1 is CSF.

    Parameters
    ----------
    maps
        (3, ...) grey, white and nearness of CSF, as :attr:`Template.tissue`.
    atrophy, lesion
        (...) at the same points.
    """
    grey, white, outer = maps
    # The rim that faces CSF is lost first: atrophy lowers the nearness at which grey matter ends.
    lost = 1 / (1 + np.exp(-(outer - 0.80 + 0.50 * np.clip(atrophy, -0.3, 1.0)) / 0.045))
    lesion = lesion * white
    return grey * (1 - lost), white - lesion, lesion


def _velocity(rng: np.random.Generator, base: Template, latent: Latent) -> np.ndarray:
    velocity = np.stack(
        [
            3.4 * geometry.smooth_noise(rng, head.VELOCITY_SHAPE, 5.0)
            + 1.6 * geometry.smooth_noise(rng, head.VELOCITY_SHAPE, 2.2)
            for _ in range(3)
        ],
        axis=-1,
    )
    widening = 10.0 * latent.stage + 0.06 * (latent.age - 70) + rng.normal(0, 0.6)
    return velocity + np.float32(widening) * base.push


def _lesions(rng: np.random.Generator, base: Template, load_ml: float) -> np.ndarray:
    """Lesions of the wanted volume, patchy and mostly around the ventricles, (96, 112, 96)."""
    white = np.zeros(head.SUVR_SHAPE, np.float32)
    white[base.inside] = base.tissue_2mm[1] * base.white_share[0]
    patches = geometry.smooth_noise(rng, head.SUVR_SHAPE, 4.0)
    patches += 0.5 * geometry.smooth_noise(rng, head.SUVR_SHAPE, 1.5)
    score = np.full(head.SUVR_SHAPE, -np.inf, np.float32)
    score[base.inside] = patches[base.inside] - base.ventricle_mm / 9.0
    score[white < 0.75] = -np.inf
    count = min(int(load_ml * 1000 / 8), int(np.isfinite(score).sum()))
    threshold = np.partition(score.ravel(), -count)[-count]
    return ndimage.gaussian_filter((score >= threshold).astype(np.float32), 0.5)


def build(seed: int, cohort: str, ptid: str) -> Anatomy:
    """Draw a person: same seed, cohort and id give the same person."""
    base = head.template()
    latent = draw_latent(seed, cohort, ptid)
    rng = stream(seed, cohort, ptid, "anatomy")

    # The MNI152 template is larger than most heads.
    scale = rng.normal(0.95, 0.03) * (1.015 if latent.sex == "M" else 0.985)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.clip(scale * rng.normal(1, 0.02, 3), 0.86, 1.03))
    affine[:3, :3] += np.triu(rng.uniform(-0.03, 0.03, (3, 3)), 1)
    velocity = _velocity(rng, base, latent)

    regional = np.array([THINNING.get(name, 0.0) for name in GREY_REGIONS], np.float32)
    spread = geometry.smooth_noise(rng, head.SUVR_SHAPE, 6.0)[base.inside]
    cortex = np.array([0.0 if "cerebellar" in name else 1.0 for name in GREY_REGIONS], np.float32)
    ageing = 0.008 * (latent.age - 60)
    atrophy = np.zeros(head.SUVR_SHAPE, np.float32)
    atrophy[base.inside] = latent.stage * (regional @ base.grey_share) + (
        cortex @ base.grey_share
    ) * (ageing + 0.13 * spread)
    return Anatomy(
        latent=latent,
        affine=affine,
        forward=_exponential(velocity),
        inverse=_exponential(-velocity),
        atrophy=atrophy,
        lesion=_lesions(rng, base, latent.lesion_load_ml),
        skull_mm=(float(rng.uniform(1.5, 3.5)), float(rng.uniform(4.5, 7.0))),
    )
