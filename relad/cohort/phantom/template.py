"""The head that every phantom is a deformation of, built once from the MNI152 tissue maps.

The MNI152 files hold a brain without a head. Skull, scalp, face and neck are put around it as
shells of the brain's distance and as simple solids; they matter to a registration as bright and
dark tissue that is not brain, not by their detail.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from relad.imaging import atlas

#: Grid of the true SUVR: MNI at 2 mm.
SUVR_SHAPE, VOXEL_MM = (96, 112, 96), 2.0
SUVR_AFFINE = atlas.grid_affine(SUVR_SHAPE, VOXEL_MM)

#: Larger MNI-aligned grids around the whole head: shells and solids at 2 mm, velocities at 5 mm.
HEAD_SHAPE = (108, 130, 132)
HEAD_AFFINE = np.array([[2.0, 0, 0, -107], [0, 2, 0, -147], [0, 0, 2, -152], [0, 0, 0, 1]])
VELOCITY_SHAPE = (44, 53, 53)
VELOCITY_AFFINE = np.array([[5.0, 0, 0, -107.5], [0, 5, 0, -147], [0, 0, 5, -152], [0, 0, 0, 1]])

#: Middle of the head in MNI mm: scans are centred here.
HEAD_CENTRE = np.array([0.0, -8.0, -8.0])

#: Values of :attr:`Template.material`, for the space that is neither brain nor its shells.
MATERIALS = ("muscle", "air", "eye", "fat", "marrow", "white", "csf")

_WHITE_REGIONS = ("cerebral_white", "cerebellar_white", "brainstem")
#: Grey regions, in the order of the rows of :attr:`Template.grey_share`.
GREY_REGIONS = tuple(name for name in atlas.REGIONS if name not in _WHITE_REGIONS)
WHITE_REGIONS = _WHITE_REGIONS


@dataclass(frozen=True)
class Template:
    """Maps of the template head; n is the number of brain voxels of the SUVR grid.

    Attributes
    ----------
    tissue
        (3, 197, 233, 189) float32 on the 1 mm MNI grid ``tissue_affine``: grey, white, and the
        nearness of outer CSF (0..1), by which cortex thins.
    brain
        (197, 233, 189) float32 brain mask on the same grid.
    inside
        (96, 112, 96) boolean: brain voxels of the SUVR grid.
    tissue_2mm
        (3, n) the same three maps on the SUVR grid.
    grey_share, white_share
        (regions, n) smooth membership in :data:`GREY_REGIONS` and :data:`WHITE_REGIONS`.
    right
        (n,) -1 in the left hemisphere, 1 in the right, smooth across the midline.
    ventricle_mm
        (n,) distance from the ventricles in mm.
    deep_grey
        (96, 112, 96) float32 membership in basal ganglia or thalamus.
    ventricle
        (96, 112, 96) float32 mask of the lateral and third ventricles.
    push
        (44, 53, 53, 3) velocity in mm, 1 at most, that widens the ventricles.
    brain_mm, skin_mm
        (108, 130, 132) distance outside the brain's hull and depth below the skin in mm (both
        signed).
    material
        (108, 130, 132) uint8 index into :data:`MATERIALS`.
    """

    tissue: np.ndarray
    tissue_affine: np.ndarray
    brain: np.ndarray
    inside: np.ndarray
    tissue_2mm: np.ndarray
    grey_share: np.ndarray
    white_share: np.ndarray
    right: np.ndarray
    ventricle_mm: np.ndarray
    deep_grey: np.ndarray
    ventricle: np.ndarray
    push: np.ndarray
    brain_mm: np.ndarray
    skin_mm: np.ndarray
    material: np.ndarray


def _positions(shape: tuple[int, int, int], affine: np.ndarray) -> list[np.ndarray]:
    """x, y and z in mm, each shaped to broadcast over the (axis-aligned) grid."""
    return [
        (affine[a, a] * np.arange(shape[a]) + affine[a, 3]).reshape(
            [-1 if b == a else 1 for b in range(3)]
        )
        for a in range(3)
    ]


def _ellipsoid(grid: list[np.ndarray], centre: tuple, radii: tuple) -> np.ndarray:
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True)) < 1


def _resample(volume: np.ndarray, source: np.ndarray, shape: tuple, affine: np.ndarray):
    """Linear interpolation from one MNI-aligned grid to another."""
    to_source = np.linalg.inv(source) @ affine
    return ndimage.affine_transform(
        volume, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=1
    )


def _signed_mm(mask: np.ndarray, voxel_mm: float) -> np.ndarray:
    """Distance to the mask's surface, positive inside."""
    inner = ndimage.distance_transform_edt(mask, sampling=voxel_mm)
    outer = ndimage.distance_transform_edt(~mask, sampling=voxel_mm)
    return ndimage.gaussian_filter((inner - outer).astype(np.float32), 0.8)


def _tissue() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey, white and nearness of CSF, (3, ...), with the brain mask and affine, all at 1 mm."""
    image = atlas.mni("brain")
    brain = np.asarray(image.dataobj)
    grey = np.asarray(atlas.mni("grey").dataobj) * (brain > 0)
    white = np.asarray(atlas.mni("white").dataobj) * (brain > 0)
    csf = np.clip(1 - grey - white, 0, 1)
    # An average of 152 brains has washed-out gyri; raising the probabilities to a power sharpens
    # them towards those of one person.
    grey, white, csf = grey**2, white**2, csf**2
    total = grey + white + csf
    grey, white = grey / total, white / total
    x, y, z = _positions(brain.shape, image.affine)
    central = (np.abs(x) < 45) & (y > -70) & (y < 45) & (z > -20) & (z < 45)
    depth = ndimage.distance_transform_edt(brain > 0)
    ventricles = (csf / total > 0.5) & (depth > 22) & central
    outer = ndimage.gaussian_filter(
        np.where(ventricles, 0, 1 - grey - white).astype(np.float32), 1.8
    )
    maps = np.stack([grey, white, outer]).astype(np.float32)
    # T1w voxels are about twice as wide as these: a light blur keeps them from aliasing.
    maps[:2] = ndimage.gaussian_filter(maps[:2], (0, 0.5, 0.5, 0.5))
    return maps, brain, image.affine


def _ventricles(csf: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Soft mask of the lateral and third ventricles on the SUVR grid."""
    x, y, z = _positions(SUVR_SHAPE, SUVR_AFFINE)
    depth = ndimage.distance_transform_edt(inside, sampling=2.0)
    box = (np.abs(x) < 45) & (y > -65) & (y < 40) & (z > -16) & (z < 40)
    # Cisterns and the fissure lie on the midline, behind and above the third ventricle.
    cistern = (np.abs(x) < 8) & ((y < -26) | (z > 22))
    mask, count = ndimage.label((csf > 0.5) & (depth > 22) & box & ~cistern)
    volumes = ndimage.sum_labels(np.ones(SUVR_SHAPE), mask, np.arange(1, count + 1))
    mask = np.isin(mask, 1 + np.flatnonzero(volumes >= 60))
    return ndimage.gaussian_filter(mask.astype(np.float32), 0.6)


def shares(
    labels: np.ndarray,
    names: tuple[str, ...],
    inside: np.ndarray,
    sigma_voxels: float | np.ndarray = 1.5,
) -> np.ndarray:
    """Smooth membership (regions, n) of every brain voxel in the nearest of the named regions.

    Parameters
    ----------
    labels
        (x, y, z) values of :data:`relad.imaging.atlas.REGIONS`.
    names, inside
        Regions, and the mask (x, y, z) of the n brain voxels.
    sigma_voxels
        Standard deviation of the smoothing, of all axes or of each.
    """
    values = np.array([atlas.REGIONS[name] for name in names])
    nearest = ndimage.distance_transform_edt(
        ~np.isin(labels, values), return_distances=False, return_indices=True
    )
    filled = labels[tuple(nearest)]
    return np.stack(
        [
            ndimage.gaussian_filter((filled == value).astype(np.float32), sigma_voxels)[inside]
            for value in values
        ]
    )


def _head(brain_2mm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances from brain and skin, and the material of the rest, on the head grid."""
    grid = _positions(HEAD_SHAPE, HEAD_AFFINE)
    x, y, z = grid
    brain_mm = -_signed_mm(brain_2mm, 2.0)

    neck = ((x / 58) ** 2 + ((y + 32 - 0.1 * z) / 60) ** 2 < 1) & (z < -40)
    face = _ellipsoid(grid, (0, 38, -52), (62, 52, 80))
    nose = _ellipsoid(grid, (0, 92, -48), (13, 17, 24))
    # The scalp bridges what the brain's outline does not: close it by 12 mm first.
    hull = ndimage.distance_transform_edt(brain_mm < 12, sampling=2.0) > 12
    around = ndimage.distance_transform_edt(~(hull | brain_2mm), sampling=2.0) < 12
    skin_mm = _signed_mm(around | neck | face | nose, 2.0)

    material = np.zeros(HEAD_SHAPE, np.uint8)

    def fill(name: str, where: np.ndarray) -> None:
        material[np.broadcast_to(where, HEAD_SHAPE)] = MATERIALS.index(name)

    fill("marrow", ((x / 17) ** 2 + ((y + 42) / 16) ** 2 < 1) & (z < -72))  # spine
    fill("csf", ((x / 9) ** 2 + ((y + 44) / 8) ** 2 < 1) & (z < -66))
    fill("white", ((x / 6) ** 2 + ((y + 44) / 5) ** 2 < 1) & (z < -66))  # cord
    fill("marrow", _ellipsoid(grid, (0, 62, -108), (40, 24, 12)))  # jaw
    fill("air", _ellipsoid(grid, (0, 62, -45), (11, 30, 18)))  # nasal cavity
    fill("air", _ellipsoid(grid, (0, 14, -85), (10, 8, 34)))  # pharynx
    for side in (-1, 1):
        fill("air", _ellipsoid(grid, (side * 26, 56, -58), (12, 14, 15)))  # maxillary sinus
        fill("fat", _ellipsoid(grid, (side * 31, 58, -32), (17, 24, 16)))  # orbit
        fill("eye", _ellipsoid(grid, (side * 31, 66, -32), (12, 12, 12)))
        fill("fat", _ellipsoid(grid, (side * 48, 34, -75), (9, 22, 18)))  # cheek
    return brain_mm.astype(np.float32), skin_mm.astype(np.float32), material


@lru_cache(maxsize=1)
def template() -> Template:
    """Build the template once per process (a few seconds)."""
    tissue, brain, affine = _tissue()
    # Average to 2 mm before taking every second voxel.
    soft = ndimage.gaussian_filter(tissue, (0, 0.7, 0.7, 0.7))
    tissue_2mm = np.stack([_resample(m, affine, SUVR_SHAPE, SUVR_AFFINE) for m in soft])
    inside = atlas.brain_mask(SUVR_SHAPE, SUVR_AFFINE)
    labels = atlas.region_labels(SUVR_SHAPE, SUVR_AFFINE)

    x, _, _ = _positions(SUVR_SHAPE, SUVR_AFFINE)
    ventricle = _ventricles(1 - tissue_2mm[0] - tissue_2mm[1], inside)
    wide = ndimage.gaussian_filter(
        _resample(ventricle, SUVR_AFFINE, VELOCITY_SHAPE, VELOCITY_AFFINE), 1.3
    )
    push = -np.stack(np.gradient(wide), axis=-1)

    grey_share = shares(labels, GREY_REGIONS, inside)
    deep = [GREY_REGIONS.index(name) for name in ("basal_ganglia", "thalamus")]
    deep_grey = np.zeros(SUVR_SHAPE, np.float32)
    deep_grey[inside] = grey_share[deep].sum(axis=0)

    brain_2mm = _resample(brain, affine, HEAD_SHAPE, HEAD_AFFINE) > 0.5
    brain_mm, skin_mm, material = _head(brain_2mm)
    return Template(
        tissue=tissue,
        tissue_affine=affine,
        brain=brain,
        inside=inside,
        tissue_2mm=tissue_2mm[:, inside],
        grey_share=grey_share,
        white_share=shares(labels, WHITE_REGIONS, inside),
        right=np.broadcast_to(np.tanh(x / 5), SUVR_SHAPE)[inside].astype(np.float32),
        ventricle_mm=ndimage.distance_transform_edt(ventricle < 0.5, sampling=2.0)[inside].astype(
            np.float32
        ),
        deep_grey=deep_grey,
        ventricle=ventricle,
        push=(push / np.linalg.norm(push, axis=-1).max()).astype(np.float32),
        brain_mm=brain_mm,
        skin_mm=skin_mm,
        material=material,
    )
