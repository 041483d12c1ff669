"""Regions in MNI space named by a study: relad's own, or labels of an image with a table.

A tracer's ``reference_region`` is the name of one of
:data:`relad.imaging.atlas.REFERENCE_REGIONS`, or

    {labels: atlas.nii.gz, table: atlas.tsv, names: [Left-Cerebellum-Cortex, …]}

where ``labels`` is a label image in MNI152 space (any grid) and ``table`` names its labels (see
:mod:`relad.imaging.labels`), or ``{segmentation: [Left-Cerebellum-Cortex, …]}``: names in each
person's own segmentation (:mod:`relad.imaging.segmentation`), which lies in no common space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from relad.errors import DataError, ReladError
from relad.fileio import sha256_of
from relad.imaging import atlas
from relad.imaging.atlas import SHAPE, VOXEL_MM
from relad.imaging.labels import indices, read_labels, read_names
from relad.imaging.resample import SIGMA_PER_VOXEL, grid_points

#: Least share of a label image's voxels that must lie in the template's brain, dilated by 10 mm.
MIN_IN_BRAIN, RIM_MM = 0.8, 10.0


def name_of(region: str | Mapping[str, Any]) -> str:
    """Name of a reference region as it stands in status files."""
    if isinstance(region, str):
        return region
    return "+".join(region["segmentation"] if is_own(region) else region["names"])


def is_own(region: str | Mapping[str, Any]) -> bool:
    """Whether a reference region is one of each person's own segmentation."""
    return not isinstance(region, str) and "segmentation" in region


def is_cerebellar(region: str | Mapping[str, Any]) -> bool:
    """Whether most of a region in MNI space lies in the atlas's cerebellum."""
    return bool(mask_of("whole_cerebellum", 0)[mask_of(region, 0)].mean() > 0.5)


def origin_of(region: str | Mapping[str, Any]) -> dict[str, Any]:
    """Where a region comes from, with checksums of the user's files, for sidecars."""
    if isinstance(region, str):
        return {"Name": region, "Atlas": "relad (MNI152 tissue maps, Seitzman 300 ROIs)"}
    files = {key: Path(region[key]) for key in ("labels", "table")}
    return {
        "Name": name_of(region),
        "Atlas": str(files["labels"]),
        "SHA256": {key: sha256_of(file) for key, file in files.items()},
    }


def points_of(region: str | Mapping[str, Any], erode_mm: float) -> np.ndarray:
    """MNI points (n, 3) in mm of the voxels of :func:`mask_of`."""
    mask = mask_of(region, erode_mm)
    return apply_affine(atlas.grid_affine(SHAPE, VOXEL_MM), np.argwhere(mask).astype(np.float64))


def mask_of(region: str | Mapping[str, Any], erode_mm: float) -> np.ndarray:
    """Mask of a region on the atlas's grid (SHAPE, VOXEL_MM), a rim of ``erode_mm`` taken off.

    Raises
    ------
    ReladError
        If a file or a named label is missing, the image is not in MNI space, or nothing is left.
    """
    try:
        return _mask(json.dumps(region, sort_keys=True), float(erode_mm))
    except DataError as error:  # no scan's fault: every subject would be excluded for it
        raise ReladError(error.what, file=error.file, hint=error.hint) from None


@lru_cache(maxsize=16)
def _mask(region_json: str, erode_mm: float) -> np.ndarray:
    region = json.loads(region_json)
    affine = atlas.grid_affine(SHAPE, VOXEL_MM)
    if isinstance(region, str):
        mask = atlas.region_mask(region, SHAPE, affine, erode_mm=erode_mm)
    else:
        mask = _from_labels(region, affine)
        if erode_mm > 0:
            mask = ndimage.distance_transform_edt(mask, sampling=VOXEL_MM) > erode_mm
    if not mask.any():
        raise ReladError(
            f"nothing is left of the reference region {name_of(region)} "
            f"after an erosion of {erode_mm:g} mm",
            hint="lower reference_erosion_mm",
        )
    mask.flags.writeable = False
    return mask


def _from_labels(region: Mapping[str, Any], affine: np.ndarray) -> np.ndarray:
    """Boolean mask (x, y, z) of named labels of an image, on the grid of :data:`SHAPE`."""
    file, table = Path(region["labels"]), Path(region["table"])
    wanted = indices(read_names(table), region["names"], file=table)
    labels, source = read_labels(file, standard=True)
    require_mni(labels, source, file)
    for name, index in wanted.items():
        if not (labels == index).any():
            raise ReladError(f"has no voxel of {name} (label {index} in {table.name})", file=file)
    index = apply_affine(np.linalg.inv(source), grid_points(SHAPE, affine))
    member = np.isin(labels, list(wanted.values())).astype(np.float32)
    # Averaged first where the image is finer than the grid, so that thin regions survive.
    sigma = SIGMA_PER_VOXEL * np.maximum(VOXEL_MM / voxel_sizes(source) - 1, 0)
    member = ndimage.gaussian_filter(member, sigma)
    share = ndimage.map_coordinates(member, np.moveaxis(index, -1, 0), order=1, cval=0.0)
    return share > 0.5


def require_mni(labels: np.ndarray, affine: np.ndarray, file: Path) -> None:
    """Refuse an image of labels, or a mask, that does not lie where MNI152 has its brain.

    Parameters
    ----------
    labels
        (x, y, z), 0 outside.
    affine
        (4, 4), voxel index to RAS mm.
    file
        What the message names.
    """
    some = np.argwhere(labels != 0)
    points = apply_affine(affine, some[:: max(len(some) // 20_000, 1)].astype(float))
    grid = atlas.grid_affine(SHAPE, VOXEL_MM)
    brain = atlas.brain_mask(SHAPE, grid)
    near = ndimage.distance_transform_edt(~brain, sampling=VOXEL_MM) < RIM_MM
    index = np.rint(apply_affine(np.linalg.inv(grid), points)).astype(int)
    within = ((index >= 0) & (index < SHAPE)).all(axis=1)
    share = float(near[tuple(index[within].T)].sum() / max(len(points), 1))
    if share < MIN_IN_BRAIN:
        raise DataError(
            f"is not in MNI152 space: only {share:.0%} of it lies in the template's brain",
            file=file,
            hint="check its affine, or warp it to MNI152 first",
        )
