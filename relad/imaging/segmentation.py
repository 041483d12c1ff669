"""A person's own segmentation: named labels that lie in the space of their T1w, on any grid.

FreeSurfer's ``aparc+aseg`` is one: its conformed grid lies in the scanner's space by its own
affine. Nothing here is led through MNI152.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, from_matvec, voxel_sizes
from scipy import ndimage

from relad.errors import DataError
from relad.fileio import write_table
from relad.imaging.labels import indices, read_labels, read_names
from relad.imaging.nifti import save_nifti
from relad.imaging.resample import limit_resolution, sample
from relad.imaging.similarity import SHIFT_MM, TURN_DEG, best_of, displaced, explained_by

#: Least share of the labels that must lie in the person's brain, dilated by so many mm.
MIN_IN_BRAIN, RIM_MM = 0.8, 5.0
#: Labels that fill at least this share of the brain are compared with the T1w itself.
MIN_FILLED = 0.5
#: Points at which that is done, at most.
_POINTS = 60_000


@dataclass(frozen=True)
class Segmentation:
    """Labels of one person.

    Attributes
    ----------
    labels
        (x, y, z) int32; 0 is no region.
    affine
        (4, 4), voxel index to RAS mm of the T1w.
    names
        Name -> label.
    file, table
        What messages name.
    """

    labels: np.ndarray
    affine: np.ndarray
    names: dict[str, int]
    file: Path
    table: Path

    @classmethod
    def read(cls, file: Path, table: Path) -> Segmentation:
        """Read a label image and its table.

        Raises
        ------
        DataError
            Where one of them is missing or cannot be read.
        """
        if not table.is_file():
            raise DataError("no such table of the labels' names", file=table)
        labels, affine = read_labels(file)
        return cls(labels, affine, read_names(table), file, table)

    def write(self, file: Path, table: Path, *, note: str = "") -> None:
        """Write both, the labels as they lie, the table as BIDS has it."""
        small = np.int16 if np.abs(self.labels).max() < 2**15 else np.int32
        save_nifti(file, self.labels.astype(small), self.affine, note=note)
        rows = [{"index": index, "name": name} for name, index in self.names.items()]
        write_table(table, rows, ("index", "name"))

    @property
    def voxel_ml(self) -> float:
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    @cached_property
    def _there(self) -> set[int]:
        return set(np.unique(self.labels).tolist())

    def numbers(self, region: Sequence[str | int]) -> list[int]:
        """Labels of a region, given by names or by the labels themselves.

        Raises
        ------
        DataError
            Where a name is not in the table, or a label has no voxel.
        """
        names = [name for name in region if isinstance(name, str)]
        # Of a table of all that FreeSurfer can label, what this person has is listed first.
        known = dict(sorted(self.names.items(), key=lambda row: row[1] not in self._there - {0}))
        found = indices(known, names, file=self.table)
        found |= {str(label): label for label in region if not isinstance(label, str)}
        for name, number in found.items():
            if number not in self._there:
                raise DataError(f"has no voxel of {name} (label {number})", file=self.file)
        return list(found.values())

    def points(self, region: Sequence[str | int], erode_mm: float = 0.0) -> np.ndarray:
        """Centres (n, 3) in mm of a region's voxels, a rim of ``erode_mm`` taken off.

        Raises
        ------
        DataError
            As :meth:`numbers`, or where nothing is left.
        """
        inner, affine = self._around(region, 0.0)
        if erode_mm > 0:
            rimmed = np.pad(inner, 1)  # what ends at the image's edge ends there
            depth = ndimage.distance_transform_edt(rimmed, sampling=voxel_sizes(self.affine))
            inner = depth[1:-1, 1:-1, 1:-1] > erode_mm
        if not inner.any():
            raise DataError(
                f"nothing is left of {'+'.join(map(str, region))} after an erosion of "
                f"{erode_mm:g} mm",
                file=self.file,
            )
        return apply_affine(affine, np.argwhere(inner).astype(np.float64))

    def _around(self, region: Sequence[str | int], mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Boolean mask of a region and of ``mm`` around it, and the affine of that box."""
        mask = np.isin(self.labels, self.numbers(region))
        more = np.ceil(mm / voxel_sizes(self.affine)).astype(int)
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        starts = [max(axis.start - n, 0) for axis, n in zip(box, more, strict=True)]
        box = tuple(slice(s, a.stop + n) for s, a, n in zip(starts, box, more, strict=True))
        return mask[box], self.affine @ from_matvec(np.eye(3), starts)

    def at(self, points: np.ndarray) -> np.ndarray:
        """Label (n,) of the voxel at each point (n, 3) in mm; 0 outside the image."""
        index = np.rint(apply_affine(np.linalg.inv(self.affine), points)).astype(int)
        there = ((index >= 0) & (index < self.labels.shape)).all(axis=1)
        found = np.zeros(len(points), self.labels.dtype)
        found[there] = self.labels[tuple(index[there].T)]
        return found

    def share(self, points: np.ndarray, region: Sequence[str | int]) -> float:
        """Share of points (n, 3) in mm that lie in a region."""
        return float(np.isin(self.at(points), self.numbers(region)).mean())

    def on_grid(self, region: Sequence[str], points: np.ndarray, voxel_mm: float) -> np.ndarray:
        """Voxels of a grid of which a region fills more than half, boolean.

        Parameters
        ----------
        region
            Names of labels.
        points
            (x, y, z, 3) centres of the grid's voxels in mm of the T1w.
        voxel_mm
            Their edge.
        """
        member, affine = self._around(region, 2 * voxel_mm)
        return sample(limit_resolution(member, affine, voxel_mm), affine, points) > 0.5

    def require_space(self, t1w: nib.Nifti1Image, brain: np.ndarray) -> float:
        """Share of the labels in the brain; refuses labels that lie elsewhere than the T1w.

        Labels that fill the brain must also explain the T1w's intensities better where they lie
        than displaced by 8 mm or 10 degrees: those in FreeSurfer's surface coordinates, say, lie in
        the brain, but some mm off.

        Parameters
        ----------
        t1w
            The person's T1w.
        brain
            (x, y, z) boolean mask on its grid.

        Raises
        ------
        DataError
            Where the labels lie elsewhere.
        """
        elsewhere = "is not in the space of the T1w (bring it there first): "
        some = np.argwhere(self.labels != 0)
        points = apply_affine(self.affine, some[:: max(len(some) // _POINTS, 1)].astype(float))
        outward = ndimage.distance_transform_edt(~brain, sampling=voxel_sizes(t1w.affine))
        rim = outward <= RIM_MM
        share = float((sample(rim.astype(np.float32), t1w.affine, points) > 0.5).mean())
        if share < MIN_IN_BRAIN:
            raise DataError(
                f"{elsewhere}only {share:.0%} of its labels lie in the brain", file=self.file
            )
        inside = np.argwhere(rim)
        points = apply_affine(t1w.affine, inside[:: max(len(inside) // _POINTS, 1)].astype(float))
        labels = self.at(points)
        in_brain = sample(brain.astype(np.float32), t1w.affine, points) > 0.5
        if (labels[in_brain] != 0).mean() >= MIN_FILLED:
            intensities = np.asarray(t1w.dataobj)
            _, classes = np.unique(labels, return_inverse=True)

            def score(matrix: np.ndarray) -> float:
                there = sample(intensities, t1w.affine, apply_affine(matrix, points))
                return explained_by(there, classes)

            best, pose = best_of(displaced(points.mean(axis=0), SHIFT_MM, TURN_DEG), score)
            if best > score(np.eye(4)):
                raise DataError(f"{elsewhere}its labels fit better when {pose}", file=self.file)
        return round(share, 4)
