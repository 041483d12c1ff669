"""A person's own head: images read with checks, tissue and regions, and what drives the PET.

Stage and vascular load follow from the person's own volumes, age and lesions, against constants
that stand here: nobody changes with who else is in the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import labels, pet
from relad.cohort.phantom import template as head
from relad.cohort.phantom.brain import Brain
from relad.cohort.phantom.folder import Person
from relad.cohort.phantom.template import GREY_REGIONS, WHITE_REGIONS
from relad.errors import DataError
from relad.imaging import atlas
from relad.imaging.labels import read_labels
from relad.imaging.nifti import load_nifti
from relad.imaging.resample import grid_points, limit_resolution, sample

#: Regions whose shrinking the stage is read from.
_MEDIAL = ("medial_temporal", "hippocampus", "amygdala")
#: Mean and standard deviation of what the stage follows from, and the median volume of white-matter
#: hyperintensities in ml, of the 16 people of 71 to 96 years that NiChart hands out as its example
#: (CBICA/NiChart_Project), as `relad phantom` writes these numbers into truth.json of each.
#: They are volumes by MUSE's labels; by another scheme's, everybody's stage would be a little off.
USUAL = {"medial_share": (0.0132, 0.0009), "log_ventricle_share": (-3.08, 0.42), "age": (80.7, 6.0)}
USUAL_LESIONS_ML = 23.0
#: Of their deviations from the usual, in standard deviations; the sum has a spread of about 1.
_WEIGHTS = {"medial_share": -0.6, "log_ventricle_share": 0.5, "age": 0.5}
#: Local share of CSF in and on the cortex: what counts as none lost (the least of these people have
#: 0.1 to 0.2), and how much more as all (the most have 0.5 to 0.6).
_ATROPHY = (0.10, 0.50)
#: Less than this counts as this much: a logarithm is taken of it.
_LEAST_LESIONS_ML = 0.1

#: Cortex of the cerebrum, and all that is as thin: their voxels mix with what lies beside.
_CEREBRUM = tuple(name for name in person.THINNING if name not in ("hippocampus", "amygdala"))
_FOLDED = (*_CEREBRUM, "superior_cerebellar_grey", "inferior_cerebellar_grey")
#: Standard deviation in mm by which a person's own regions are smoothed: they are no template's.
_REGION_MM = 1.0
#: T1w signal relative to white matter below which there is air, and between which there is muscle.
_AIR, _MUSCLE = 0.10, (0.25, 0.80)


@dataclass(frozen=True)
class Images:
    """A person's images in memory.

    Attributes
    ----------
    t1w
        Head whose voxels and affine are those of the file.
    regions
        (x, y, z) uint8 on its grid, values of :data:`relad.cohort.phantom.labels.VALUES`.
    sides
        (x, y, z) int8 on its grid: -1 left, 1 right, 0 unknown.
    flair, lesions
        FLAIR, and the mask (i, j, k) of hyperintensities on its grid; None where there is none.
    """

    t1w: nib.Nifti1Image
    regions: np.ndarray
    sides: np.ndarray
    flair: nib.Nifti1Image | None
    lesions: np.ndarray | None


def read(one: Person) -> Images:
    """Read a person's images.

    Raises
    ------
    ReladError
        Naming the file that cannot be used, and why.
    """
    t1w = load_nifti(one.t1w, ndim=3)
    numbers = _labels(one.labels, t1w, one.t1w)
    scheme = labels.read(one.table)
    regions = labels.image(numbers, t1w.affine, scheme, one.labels)
    flair = lesions = None
    if one.flair is not None and one.lesions is not None:
        flair = load_nifti(one.flair, ndim=3)
        lesions = _labels(one.lesions, flair, one.flair) > 0
    return Images(t1w, regions, labels.sides(numbers, scheme), flair, lesions)


def _labels(file: Path, scan: nib.Nifti1Image, of: Path) -> np.ndarray:
    """Labels (x, y, z) that must lie on the grid of a scan."""
    found, affine = read_labels(file, allow_constant=True)
    if found.shape != scan.shape or not np.allclose(affine, scan.affine, atol=1e-2):
        raise DataError(
            f"lies on another grid than {of.name}",
            file=file,
            hint="both must have the same voxels and affine",
        )
    return found


def volumes_ml(images: Images) -> dict[str, float]:
    """Volume of each region, by name."""
    voxel_ml = float(np.prod(voxel_sizes(images.t1w.affine))) / 1000
    counts = np.bincount(images.regions.ravel(), minlength=max(labels.VALUES.values()) + 1)
    return {name: float(counts[value]) * voxel_ml for name, value in labels.VALUES.items()}


def lesions_ml(images: Images) -> float | None:
    """Volume of the hyperintensities; None where there is no FLAIR that could show them."""
    if images.flair is None or images.lesions is None:
        return None
    return float(images.lesions.sum() * np.prod(voxel_sizes(images.flair.affine)) / 1000)


def measures(volumes: Mapping[str, float], age: float) -> dict[str, float]:
    """What the stage follows from: shares of the intracranial volume, and the age in years.

    The intracranial volume is that of all regions, CSF included.
    """
    whole = sum(volumes.values())
    return {
        "medial_share": sum(volumes[name] for name in _MEDIAL) / whole,
        "log_ventricle_share": float(np.log(volumes["ventricles"] / whole)),
        "age": age,
    }


def disease(
    rng: np.random.Generator, one: Person, volumes: Mapping[str, float], lesions: float | None
) -> person.Disease:
    """What drives a person's PET; ``lesions`` in ml, the usual ones where unknown."""
    told = measures(volumes, one.age)
    worse = sum(
        weight * (told[name] - USUAL[name][0]) / USUAL[name][1] for name, weight in _WEIGHTS.items()
    )
    # About uniform over such people, whose sum of deviations is about normal with unit spread.
    stage = float(1 / (1 + np.exp(-1.7 * worse)))
    load = USUAL_LESIONS_ML if lesions is None else max(lesions, _LEAST_LESIONS_ML)
    expected = person.expected_amyloid(stage, load, USUAL_LESIONS_ML)
    return person.Disease(
        age=one.age,
        sex=one.sex,
        weight_kg=person.draw_weight(rng, one.sex),
        stage=stage,
        amyloid_load=person.hidden_amyloid(rng, expected),
        amyloid_expected=expected,
        tau_shift=person.hidden_tau_shift(rng),
        tspo_gain=person.hidden_tspo_gain(rng),
        lesion_load_ml=load,
        usual_lesions_ml=USUAL_LESIONS_ML,
    )


def lesion_share(images: Images, to_flair: np.ndarray) -> np.ndarray:
    """Share (x, y, z) of each voxel of the T1w that is hyperintense on FLAIR.

    ``to_flair`` (4, 4) maps points of the T1w to the FLAIR.
    """
    if images.flair is None or images.lesions is None:
        return np.zeros(images.t1w.shape, np.float32)
    grid = images.t1w.affine
    wide = float(voxel_sizes(grid).max())
    mask = limit_resolution(images.lesions, images.flair.affine, wide)
    share = np.zeros(images.t1w.shape, np.float32)
    brain = images.regions > 0
    points = apply_affine(to_flair @ grid, np.argwhere(brain).astype(float))
    share[brain] = sample(mask, images.flair.affine, points)
    return share


def brain(images: Images, to_flair: np.ndarray) -> Brain:
    """Tissue and regions of a person's brain, on the grid of the T1w."""
    regions = images.regions
    inside, affine = regions > 0, images.t1w.affine
    voxel_mm = voxel_sizes(affine)
    lesion = lesion_share(images, to_flair)
    # All that needs neighbours is done within a box around the brain.
    box = tuple(slice(max(w.min() - 8, 0), w.max() + 9) for w in np.nonzero(inside))
    cut, cut_inside = regions[box], inside[box]
    signal = _flat(np.asarray(images.t1w.dataobj)[box], cut, lesion[box], voxel_mm)
    grey, white, lesions = _tissue(signal, cut, lesion[box], voxel_mm)
    csf = 1 - grey - white - lesions
    nearest = ndimage.distance_transform_edt(
        images.sides[box] == 0, sampling=voxel_mm, return_distances=False, return_indices=True
    )
    right = ndimage.gaussian_filter(
        images.sides[box][tuple(nearest)].astype(np.float32), 3 / voxel_mm
    )
    return Brain(
        inside=inside,
        affine=affine,
        tissue=np.stack([grey, white, lesions])[:, cut_inside],
        perfused=np.stack([grey, white + lesions])[:, cut_inside],
        grey_share=head.shares(cut, GREY_REGIONS, cut_inside, _REGION_MM / voxel_mm),
        white_share=head.shares(cut, WHITE_REGIONS, cut_inside, _REGION_MM / voxel_mm),
        right=right[cut_inside],
        atrophy=_atrophy(csf, cut, voxel_mm)[cut_inside],
        lesion=lesion,
        reference=partial(reference_mask, regions),
    )


def reference_mask(regions: np.ndarray, name: str) -> np.ndarray:
    """Mask (x, y, z) of a key of :data:`relad.imaging.atlas.REFERENCE_REGIONS`."""
    return _is(regions, atlas.REFERENCE_REGIONS[name])


def _is(regions: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    return np.isin(regions, [labels.VALUES[name] for name in names])


def _flat(
    signal: np.ndarray, regions: np.ndarray, lesion: np.ndarray, voxel_mm: np.ndarray
) -> np.ndarray:
    """T1w signal in units of the healthy white matter around, which shows the bias field."""
    white = _is(regions, ("cerebral_white", "cerebellar_white"))
    pure = ndimage.binary_erosion(white) & (lesion < 0.05)
    pure = pure if pure.any() else white
    weight = ndimage.gaussian_filter(pure.astype(np.float32), 20 / voxel_mm)
    level = ndimage.gaussian_filter(np.where(pure, signal, 0).astype(np.float32), 20 / voxel_mm)
    usual = float(np.median(signal[pure]))
    # Far from all white matter, the field is taken to be that of the whole.
    field = (level + 1e-3 * usual) / (weight + 1e-3)
    return signal / np.maximum(field, 1e-3 * usual)


def _tissue(
    signal: np.ndarray, regions: np.ndarray, lesion: np.ndarray, voxel_mm: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey, healthy white and lesion shares (x, y, z); what is left of 1 is CSF.

    A voxel of the cortex mixes CSF with grey, or grey with white, by its signal between the means
    of these three in this head. Other voxels are what their labels say, but for a neighbour's
    tissue.
    """
    white = _is(regions, WHITE_REGIONS)
    cortex = _is(regions, _FOLDED)
    fluid = _is(regions, ("csf",))
    ventricle = _is(regions, ("ventricles",))
    deep = (regions > 0) & ~(white | cortex | fluid | ventricle)
    grey_mean = float(np.median(signal[_is(regions, _CEREBRUM)]))
    core = ndimage.binary_erosion(ventricle)
    csf_mean = float(np.median(signal[core if core.any() else ventricle]))
    csf_mean = min(csf_mean, 0.8 * grey_mean)
    grey_mean = min(grey_mean, 0.9)

    def reach(what: np.ndarray) -> np.ndarray:
        """How far a voxel has a neighbour of a kind, 0 to 1."""
        near = ndimage.gaussian_filter(what.astype(np.float32), 1.5 / voxel_mm)
        return np.clip(4 * near, 0, 1)

    dark = np.clip((grey_mean - signal) / (grey_mean - csf_mean), 0, 1)
    light = np.clip((signal - grey_mean) / (1 - grey_mean), 0, 1)
    near_csf = reach(fluid | ventricle)
    near_grey, near_white = reach(cortex | deep), reach(white)

    out_grey = np.zeros(signal.shape, np.float32)
    out_white = np.zeros(signal.shape, np.float32)
    out_white[cortex] = (light * near_white)[cortex]
    out_grey[cortex] = (1 - dark - light * near_white)[cortex]
    out_grey[deep] = (1 - dark * near_csf)[deep]
    out_grey[fluid] = ((1 - dark) * near_grey)[fluid]
    between = np.clip((signal - csf_mean) / (1 - csf_mean), 0, 1)
    out_white[ventricle] = (between * near_white)[ventricle]
    # What is dark in white matter is grey or CSF beside such, else a lesion or nothing.
    healthy = 1 - lesion
    out_grey[white] = ((1 - light) * (1 - dark) * near_grey * healthy)[white]
    out_csf = (dark * near_csf * healthy)[white]
    out_white[white] = np.clip(1 - out_grey[white] - out_csf, 0, 1)
    lesions = lesion * out_white
    return out_grey, out_white - lesions, lesions


def _atrophy(csf: np.ndarray, regions: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray:
    """Loss of cortex around each voxel (x, y, z), about 0 to 1: CSF in the cortex and upon it."""
    rind = _is(regions, (*_CEREBRUM, "csf")).astype(np.float32)
    share = ndimage.gaussian_filter(csf * rind, 6 / voxel_mm)
    share /= np.maximum(ndimage.gaussian_filter(rind, 6 / voxel_mm), 1e-3)
    return (share - _ATROPHY[0]) / _ATROPHY[1]


def middle(images: Images) -> np.ndarray:
    """Middle (3,) of the brain's bounding box, in mm of the T1w."""
    index = np.argwhere((images.regions > 0) & (images.regions != labels.VALUES["csf"]))
    points = apply_affine(images.t1w.affine, index.astype(float))
    return (points.min(axis=0) + points.max(axis=0)) / 2


def body(images: Images, centre: np.ndarray) -> pet.Body:
    """The head around the brain: its outline and what is bright in it, by the T1w."""
    grid = pet.activity_grid(centre)
    affine, (mm, *_) = images.t1w.affine, grid.voxel_mm
    points = grid_points(grid.shape, grid.affine)
    inside = limit_resolution(images.regions > 0, affine, mm)
    share = sample(inside, affine, points)
    white = _is(images.regions, ("cerebral_white",))
    data = np.asarray(images.t1w.dataobj)
    level = float(np.median(data[white]))
    signal = sample(limit_resolution(data, affine, mm), affine, points) / level

    brain_mm = ndimage.distance_transform_edt(share < 0.5, sampling=mm)
    outline = ndimage.binary_closing(np.pad(signal > _AIR, 4), iterations=4)[4:-4, 4:-4, 4:-4]
    outline |= brain_mm < pet.SOFT_FROM_MM
    pieces, count = ndimage.label(outline)
    sizes = ndimage.sum_labels(outline, pieces, np.arange(1, count + 1))
    outline = pieces == 1 + int(np.argmax(sizes))
    beyond = brain_mm > pet.SOFT_FROM_MM
    around = np.where(outline, pet.AROUND_UPTAKE, 0)
    around[outline & beyond & (signal > _MUSCLE[0]) & (signal < _MUSCLE[1])] = pet.MUSCLE_UPTAKE
    around[beyond & (signal < _AIR)] = 0
    voxels = np.flatnonzero(share > 0)
    return pet.Body(
        grid=grid,
        around=around.astype(np.float32),
        voxels=voxels,
        points=points.reshape(-1, 3)[voxels],
        share=share.ravel()[voxels],
        affine=affine,
    )
