"""From the MNI grid, on which methods work, back to the person's own T1w: images and regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine

from relad.errors import DataError
from relad.imaging import atlas
from relad.imaging.nifti import load_nifti
from relad.imaging.resample import sample
from relad.registration.transforms import MniToT1w, names
from relad.study.catalogue import BRAIN
from relad.study.settings import Grid

#: Least share of the voxels around a point that were synthesised, by which a value is told there.
LEAST_SHARE = 0.25

#: Columns of a table of regions, with what they are.
COLUMNS = {
    "index": {"Description": "label of the region in relad's atlas; 0 is the whole brain"},
    "name": {"Description": "region"},
    "suvr": {"Description": "mean SUVR in the region, of the mean of all samples"},
    "suvr_sd": {
        "Description": "standard deviation over samples of the region's mean SUVR: how far one "
        "sample lies from another, not how far they lie from the truth"
    },
    "volume_ml": {"Description": "volume of the region in the T1w", "Units": "mL"},
}


class Native:
    """The brain of a person on the grid of the T1w.

    Parameters
    ----------
    registered
        Folder of `relad register`.
    subject
        Label without ``sub-``.
    grid
        On which methods work.
    mask
        (x, y, z) bool on that grid: where they synthesise.

    Attributes
    ----------
    affine, shape
        Of the T1w.
    brain
        (X, Y, Z) bool on its grid.
    """

    def __init__(self, registered: Path, subject: str, grid: Grid, mask: np.ndarray):
        image = load_nifti(registered / names(subject)["brain_mask"], allow_constant=True)
        self.affine, self.shape = image.affine, image.shape
        self.brain = np.asarray(image.dataobj) > 0.5
        self._grid = atlas.grid_affine(grid.shape, grid.voxel_mm)
        to_t1w = MniToT1w(registered, subject)
        mm = apply_affine(self.affine, np.argwhere(self.brain).astype(np.float64))
        self._points = to_t1w.inverse(mm, deform=grid.deform)
        self._share = sample(mask.astype(np.float32), self._grid, self._points)
        self._known = self._share > LEAST_SHARE
        if not self._known.any():
            raise DataError("nothing of the person's brain lies on the model's grid")
        self._regions = _regions_at(to_t1w.inverse(mm))

    def values(self, volume: np.ndarray) -> np.ndarray:
        """Interpolate a volume (x, y, z), 0 outside the mask, at the n voxels of the brain.

        What lies outside of the mask has no part in it, so that the brain's rim is no darker.
        """
        found = sample(volume, self._grid, self._points)
        return np.divide(found, self._share, out=np.zeros_like(found), where=self._known)

    def image(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) as an image (X, Y, Z), 0 elsewhere."""
        image = np.zeros(self.shape, np.float32)
        image[self.brain] = values
        return image

    @property
    def regions(self) -> np.ndarray:
        """Region of every voxel (X, Y, Z) of the T1w as :data:`relad.imaging.atlas.REGIONS`."""
        labels = np.zeros(self.shape, np.uint8)
        labels[self.brain] = np.where(self._known, self._regions, 0)
        return labels

    def regional(self, samples: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Rows of :data:`COLUMNS` from the samples (K, n), each as :meth:`values` gives it."""
        voxel_ml = abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000
        rows = []
        for name, index in {BRAIN: 0, **atlas.REGIONS}.items():
            here = self._known & ((self._regions == index) | (index == 0))
            row: dict[str, Any] = {"index": index, "name": name}
            if here.any():
                means = np.array([values[here].mean(dtype=np.float64) for values in samples])
                spread = means.std(ddof=1) if len(means) > 1 else None
                row["suvr"] = round(float(means.mean()), 4)
                row["suvr_sd"] = None if spread is None else round(float(spread), 4)
            row["volume_ml"] = round(float(here.sum()) * voxel_ml, 2)
            rows.append(row)
        return rows


def _regions_at(points: np.ndarray) -> np.ndarray:
    """Region of :data:`relad.imaging.atlas.REGIONS` at MNI points (n, 3); 0 for none."""
    grid = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    labels = atlas.region_labels(atlas.SHAPE, grid)
    return sample(labels, grid, points, order=0).astype(np.uint8)
