"""MNI152 anatomy that installs with pip: template, tissue maps, target grids and regions.

Everything is read from files inside the nilearn wheel (MNI152 NLin 2009a symmetric, 1 mm), so no
download is needed, or was made of them and is kept beside this module. Regions are made offline:
each grey-matter voxel takes the anatomical class of the nearest of the Seitzman 300 regions of
interest, cortex split into lobes by MNI coordinate.

All affines map voxel indices to RAS millimetres.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np

from relad.imaging.resample import SIGMA_PER_VOXEL
from relad.study.regions import COMPOSITES, REFERENCE_REGIONS, REGIONS

#: BIDS's name of the template's space.
SPACE = "MNI152NLin2009aSym"

#: Rim of the cerebellum that its reference regions leave out: in the next person it lies in CSF,
#: and it takes spill-in from tentorium and occipital cortex.
CEREBELLAR_RIM_MM = 3.0

#: Grid on which regions are cut and heads registered: finer than PET, coarse enough to be quick,
#: with just enough room for skull and scalp.
SHAPE, VOXEL_MM = (96, 112, 96), 2.0

#: :func:`region_labels` of this grid, which nearly every process asks for; written by
#: `python -m relad.imaging.atlas`. Whose it is: NOTICE.
LABELS = Path(__file__).with_suffix(".nii.gz")

#: Superior cerebellar grey ends here (MNI z in mm), below the reach of occipital spill-in.
INFERIOR_CEREBELLUM_BELOW_MM = -40.0


def grid_affine(shape: tuple[int, int, int], voxel_mm: float) -> np.ndarray:
    """Affine of a RAS grid in MNI space, centred on the template's brain.

    Parameters
    ----------
    shape
        Voxels along x, y, z.
    voxel_mm
        Edge of the isotropic voxel in mm.

    Returns
    -------
    (4, 4) array, voxel index to RAS mm.
    """
    centre = np.array([0.0, -17.0, 5.0])  # middle of the 2009a brain mask's bounding box
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = centre - voxel_mm * (np.asarray(shape) - 1) / 2
    return affine


def _load(kind: str) -> nib.Nifti1Image:
    from nilearn import datasets

    load = {
        "t1": datasets.load_mni152_template,
        "brain": datasets.load_mni152_brain_mask,
        "grey": datasets.load_mni152_gm_template,
        "white": datasets.load_mni152_wm_template,
    }[kind]
    return load(resolution=1)


@lru_cache(maxsize=8)
def mni(kind: str) -> nib.Nifti1Image:
    """One MNI152 map at 1 mm, shape (197, 233, 189), float32.

    ``kind``: ``t1`` (skull-stripped, 0..1), ``brain`` (0 or 1), ``grey`` or ``white`` (0..1).
    """
    image = _load(kind)
    return nib.Nifti1Image(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def _cortex(x: float, y: float, z: float) -> str:
    """Name the lobe of a cortical region of interest from its MNI coordinates in mm."""
    side = abs(x)
    if side < 36 and -45 < y < 8 and z < -10:
        return "medial_temporal"
    if side < 18 and -75 < y < -25 and z > -2:
        return "posterior_cingulate_precuneus"
    if side < 18 and 8 < y < 50 and 0 < z < 40:
        return "anterior_cingulate"
    if y < -72 or (y < -55 and z < 8 and side < 40):
        return "occipital"
    if side >= 36 and z < 12 and -72 <= y < 24:
        return "lateral_temporal"
    if -38 < y < 0 and z > 12:
        return "sensorimotor"
    return "parietal" if y <= -25 else "frontal"


@lru_cache(maxsize=1)
def _rois() -> tuple[np.ndarray, np.ndarray]:
    """Seitzman coordinates (300, 3) in MNI mm and their labels (300,) in :data:`REGIONS`."""
    from nilearn import datasets

    data = datasets.fetch_coords_seitzman_2018()
    points = np.stack([np.asarray(data["rois"][axis], dtype=float) for axis in "xyz"], axis=1)
    names = {
        "hippocampus": "hippocampus",
        "amygdala": "amygdala",
        "basalGanglia": "basal_ganglia",
        "thalamus": "thalamus",
        "cerebellum": "superior_cerebellar_grey",
    }
    labels = [
        REGIONS[names.get(kind) or _cortex(*point)]
        for point, kind in zip(points, data["regions"], strict=True)
    ]
    return points, np.array(labels)


def resample_map(kind: str, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Tissue map ``kind`` (see :func:`mni`) on another MNI grid, smoothed if coarser than 1 mm.

    Kept in memory and read only: a subject asks for the same few maps again and again.
    """
    return _resampled(kind, tuple(shape), np.asarray(affine, np.float64).tobytes())


@lru_cache(maxsize=16)
def _resampled(kind: str, shape: tuple[int, int, int], affine_bytes: bytes) -> np.ndarray:
    from scipy import ndimage

    affine = np.frombuffer(affine_bytes).reshape(4, 4)
    source = mni(kind)
    voxel_mm = float(np.abs(np.linalg.det(affine[:3, :3])) ** (1 / 3))
    data = np.asarray(source.dataobj)
    if voxel_mm > 1.0:
        data = ndimage.gaussian_filter(data, SIGMA_PER_VOXEL * (voxel_mm**2 - 1) ** 0.5)
    to_source = np.linalg.inv(source.affine) @ affine
    resampled = ndimage.affine_transform(
        data, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=1
    ).astype(np.float32)
    resampled.flags.writeable = False
    return resampled


def brain_mask(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Template brain mask on an MNI grid, boolean."""
    return resample_map("brain", shape, affine) > 0.5


def forget() -> None:
    """Drop every map kept in memory, as a new process would start."""
    for kept in (_resampled, _labels, _region, mni):
        kept.cache_clear()


def region_labels(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Region of each voxel of an MNI grid.

    Returns
    -------
    (x, y, z) uint8 array: 0 outside the listed tissues, else a value of :data:`REGIONS`.
    """
    return _labels(tuple(shape), np.asarray(affine, np.float64).tobytes())


@lru_cache(maxsize=4)
def _labels(shape: tuple[int, int, int], affine_bytes: bytes) -> np.ndarray:
    if shape == SHAPE and affine_bytes == grid_affine(SHAPE, VOXEL_MM).tobytes():
        labels = np.ascontiguousarray(nib.load(LABELS).dataobj, np.uint8)
    else:
        labels = cut_labels(shape, np.frombuffer(affine_bytes).reshape(4, 4))
    labels.flags.writeable = False
    return labels


def cut_labels(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """What :func:`region_labels` returns, cut anew from nilearn's maps (3 s, where it is kept)."""
    from scipy.spatial import cKDTree

    grey = resample_map("grey", shape, affine)
    white = resample_map("white", shape, affine)
    labels = np.zeros(shape, np.uint8)
    tissue = np.argwhere(((grey > 0.35) | (white > 0.5)) & brain_mask(shape, affine))
    points = tissue @ affine[:3, :3].T + affine[:3, 3]
    rois, roi_labels = _rois()
    nearest = roi_labels[cKDTree(rois).query(points)[1]]

    is_white = white[tuple(tissue.T)] > grey[tuple(tissue.T)]
    cerebellar = nearest == REGIONS["superior_cerebellar_grey"]
    below = points[:, 2] < INFERIOR_CEREBELLUM_BELOW_MM
    # Pons and medulla have no region of interest of their own and lie in front of y = -45.
    brainstem = (np.abs(points[:, 0]) < 18) & (points[:, 2] < -14)
    brainstem &= (points[:, 1] > -45) & (points[:, 1] < -8)

    value = nearest.copy()
    value[cerebellar & below] = REGIONS["inferior_cerebellar_grey"]
    value[is_white] = REGIONS["cerebral_white"]
    value[is_white & cerebellar] = REGIONS["cerebellar_white"]
    value[brainstem] = REGIONS["brainstem"]
    labels[tuple(tissue.T)] = value
    return labels


@lru_cache(maxsize=1)
def _cerebellar_depth_mm() -> np.ndarray:
    """Depth (x, y, z) in mm below the surface of the cerebellum, its fissures closed."""
    from scipy import ndimage

    parts = [REGIONS[name] for name in REFERENCE_REGIONS["whole_cerebellum"]]
    whole = np.isin(region_labels(SHAPE, grid_affine(SHAPE, VOXEL_MM)), parts)
    closed = ndimage.binary_closing(whole, iterations=3)
    return ndimage.distance_transform_edt(closed, sampling=VOXEL_MM)


def region_mask(
    region: str, shape: tuple[int, int, int], affine: np.ndarray, *, erode_mm: float = 0.0
) -> np.ndarray:
    """Boolean mask of a region on an MNI grid, kept in memory and read only.

    ``region`` is one of :data:`REGIONS`, :data:`REFERENCE_REGIONS` or :data:`COMPOSITES`.

    The mask is cut from labels of :data:`VOXEL_MM` and averaged down, so that it stays thin on
    coarse grids; ``erode_mm`` removes a rim of that depth. Cerebellar reference regions are cut
    from the cerebellum less :data:`CEREBELLAR_RIM_MM` (docs/preprocessing.md has what that does).
    """
    return _region(region, tuple(shape), np.asarray(affine, np.float64).tobytes(), float(erode_mm))


def _smoothed(mask: np.ndarray, sigma: float) -> np.ndarray:
    """SciPy's Gaussian filter of a mask, (x, y, z) float32, computed only where it is not 0."""
    from scipy import ndimage

    smooth = np.zeros(mask.shape, np.float32)
    if mask.any():
        reach = int(4 * sigma + 0.5)  # where SciPy's kernel ends
        there = np.argwhere(mask)
        low, high = np.maximum(there.min(0) - reach, 0), there.max(0) + reach + 1
        box = tuple(map(slice, low, high))
        smooth[box] = ndimage.gaussian_filter(mask[box].astype(np.float32), sigma)
    return smooth


@lru_cache(maxsize=64)
def _region(
    region: str, shape: tuple[int, int, int], affine_bytes: bytes, erode_mm: float
) -> np.ndarray:
    from scipy import ndimage

    affine = np.frombuffer(affine_bytes).reshape(4, 4)
    fine_affine = grid_affine(SHAPE, VOXEL_MM)
    fine = region_labels(SHAPE, fine_affine)
    parts = (REFERENCE_REGIONS | COMPOSITES).get(region, (region,))
    mask = np.isin(fine, [REGIONS[name] for name in parts])
    if region in REFERENCE_REGIONS and set(parts) <= set(REFERENCE_REGIONS["whole_cerebellum"]):
        mask &= _cerebellar_depth_mm() > CEREBELLAR_RIM_MM
    if erode_mm > 0:
        mask = ndimage.distance_transform_edt(mask, sampling=VOXEL_MM) > erode_mm
    to_fine = np.linalg.inv(fine_affine) @ affine
    voxel_mm = float(np.abs(np.linalg.det(affine[:3, :3])) ** (1 / 3))
    share = ndimage.affine_transform(
        _smoothed(mask, SIGMA_PER_VOXEL * max(voxel_mm / VOXEL_MM, 1e-3)),
        to_fine[:3, :3],
        to_fine[:3, 3],
        output_shape=shape,
        order=1,
    )
    mask = share > 0.5
    mask.flags.writeable = False
    return mask


def main() -> None:
    """Write :data:`LABELS`, byte for byte the same on every run."""
    from relad.imaging.nifti import save_nifti

    affine = grid_affine(SHAPE, VOXEL_MM)
    save_nifti(LABELS, cut_labels(SHAPE, affine), affine, note="MNI152 regions, atlas.REGIONS")


if __name__ == "__main__":
    main()
