"""Measures of quality: does a scan show a head, is it where registration says, is all of it there.

Everything is measured on one lattice of 4 mm over the template, whatever the study's grid, so that
numbers and limits mean the same in every study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from relad.errors import DataError
from relad.imaging import atlas, regions
from relad.imaging.resample import FWHM_PER_SIGMA, grid_points, inside, limit_resolution, sample
from relad.imaging.segmentation import Segmentation
from relad.imaging.similarity import (
    correlation,
    correlation_ratio,
    half_turns,
    pose_margin,
    stripped,
)
from relad.study.settings import OwnRegions

#: The lattice: the paper's box around the template's brain.
SHAPE, VOXEL_MM = (40, 48, 40), 4.0
#: Rim around the brain, and blur of its outline, with which other images are compared.
RIM_MM, OUTLINE_FWHM_MM = 16.0, 8.0
#: Displacements for T1w to MNI: people differ from the template by some millimetres anyway.
HEAD_SHIFT_MM, HEAD_TURN_DEG = 16.0, 20.0
#: Rim around a reference region within which T1w and template are compared: its surroundings tell
#: where it lies.
REFERENCE_RIM_MM = 11.0
#: Full width at half maximum that separates what a tomograph resolves from what an MRI shows.
DETAIL_FWHM_MM = 6.0
#: Rim around the template's brain in which a head without its skull shows nothing.
HEAD_RIM_MM = 12.0


def outline_correlation(image: np.ndarray, mask: np.ndarray, voxel_mm: float) -> float:
    """How well PET fills the brain's outline, whatever its pattern inside.

    Parameters
    ----------
    image
        (x, y, z) PET.
    mask
        (x, y, z) boolean, brain.
    voxel_mm
        Edge of the isotropic voxel in mm.

    Returns
    -------
    Pearson correlation of the image with the mask, blurred like PET, over the brain and a rim of
    :data:`RIM_MM`. On phantoms it is 0.8 to 0.95 for registered PET, 0.5 to 0.7 for PET that is
    16 mm off and below 0.5 for 30 mm: it tells a lost PET;
    :func:`relad.imaging.similarity.pose_margin` tells one that is a little off.
    """
    rim = ndimage.distance_transform_edt(~mask, sampling=voxel_mm) < RIM_MM
    outline = ndimage.gaussian_filter(
        mask.astype(np.float32), OUTLINE_FWHM_MM / FWHM_PER_SIGMA / voxel_mm
    )
    return correlation(image[rim], outline[rim])


@dataclass(frozen=True)
class Scan:
    """An image of the person.

    Attributes
    ----------
    data
        (x, y, z), smoothed to the lattice.
    affine
        Its (4, 4) voxel to RAS mm affine.
    matrix
        (4, 4) map of RAS mm points from the T1w to it.
    """

    data: np.ndarray
    affine: np.ndarray
    matrix: np.ndarray

    @classmethod
    def of(cls, data: np.ndarray, affine: np.ndarray, matrix: np.ndarray | None = None) -> Scan:
        matrix = np.eye(4) if matrix is None else matrix
        return cls(limit_resolution(data, affine, VOXEL_MM), affine, matrix)

    def at(self, points: np.ndarray) -> np.ndarray:
        """Values at points (..., 3) of the T1w."""
        return sample(self.data, self.affine, apply_affine(self.matrix, points))

    def covers(self, points: np.ndarray) -> float:
        """Share of points (n, 3) of the T1w that lie inside the field of view."""
        return _rounded(
            inside(self.data.shape, self.affine, apply_affine(self.matrix, points)).mean()
        )


class Lattice:
    """The lattice on one person.

    Parameters
    ----------
    t1w
        The bias-corrected head.
    mask
        Brain mask on the grid of ``t1w``.
    to_t1w
        Map of MNI points (..., 3) to the T1w, by the affine alone where ``deform`` is False.
    """

    def __init__(
        self, t1w: nib.Nifti1Image, mask: nib.Nifti1Image, to_t1w: Callable[..., np.ndarray]
    ):
        self.straight, self.deformed = (to_t1w(self.points(), deform=d) for d in (False, True))
        head, inside_brain = np.asarray(t1w.dataobj), np.asarray(mask.dataobj) > 0.5
        self.t1w = Scan.of(head, t1w.affine)
        self._native, self._to_t1w = stripped(head, inside_brain), to_t1w
        self.stripped = Scan.of(self._native, t1w.affine)
        self.brain = Scan.of(inside_brain, t1w.affine).at(self.straight) > 0.5
        affine = atlas.grid_affine(SHAPE, VOXEL_MM)
        self.template = atlas.brain_mask(SHAPE, affine)
        self.template_t1 = np.where(self.template, atlas.resample_map("t1", SHAPE, affine), 0)

    @staticmethod
    def points() -> np.ndarray:
        """Points (x, y, z, 3) of the lattice in MNI mm."""
        return grid_points(SHAPE, atlas.grid_affine(SHAPE, VOXEL_MM))

    @cached_property
    def near(self) -> np.ndarray:
        """Boolean (x, y, z): the person's brain and a rim."""
        return ndimage.distance_transform_edt(~self.brain, sampling=VOXEL_MM) < RIM_MM

    def head(self) -> dict[str, float]:
        """How well the T1w fits the template: registration, margin, half turn and coverage.

        ``T1w_margin`` compares the brain and the empty rim around it with the template's, by the
        affine alone (SyN finds a way to fit anything a little); docs/preprocessing.md has what it
        is of real heads and of what is none. ``T1w_half_turn`` is by how much the best of three
        half turns fits better than the pose found (correlation): positive where orientation codes
        are wrong.
        """
        rim = ndimage.distance_transform_edt(~self.template, sampling=VOXEL_MM) < HEAD_RIM_MM
        margin, _ = pose_margin(
            self.straight[rim],
            self.template_t1[rim],
            self.stripped.data,
            self.stripped.affine,
            self.stripped.matrix,
            shift_mm=HEAD_SHIFT_MM,
            turn_deg=HEAD_TURN_DEG,
        )
        bent, straight = (points[self.template] for points in (self.deformed, self.straight))
        wanted = self.template_t1[self.template]
        mni = self.points()[self.template]
        to_t1w = _affine_through(mni, straight)
        turned = max(
            correlation(self.t1w.at(apply_affine(to_t1w @ turn, mni)), wanted)
            for _, turn in half_turns(mni.mean(axis=0))
        )
        return {
            "T1w_registration": _rounded(correlation(self.t1w.at(bent), wanted)),
            "T1w_margin": _rounded(margin),
            "T1w_half_turn": _rounded(turned - correlation(self.t1w.at(straight), wanted)),
            "T1w_coverage": self.t1w.covers(straight),
        }

    def mri(self, name: str, scan: Scan) -> dict[str, float]:
        """How well another MRI fits the T1w: its registration, margin and coverage."""
        inside_brain = self.straight[self.brain]
        ratio = correlation_ratio(scan.at(inside_brain), self.t1w.at(inside_brain))
        return {
            f"{name}_registration": _rounded(ratio),
            f"{name}_margin": self.margin(scan),
            f"{name}_coverage": scan.covers(self.straight[self.template]),
        }

    def pet(self, image: nib.Nifti1Image, matrix: np.ndarray) -> dict[str, float]:
        """How well a PET fits the T1w, and whether it is one.

        Parameters
        ----------
        image
            Mean of the frames.
        matrix
            (4, 4) map of RAS mm points from the T1w to it.

        Returns
        -------
        ``registration`` (outline), ``margin``, and ``detail``: the share of the variance in the
        brain that is lost when the image is smoothed by :data:`DETAIL_FWHM_MM`. A tomograph does
        not resolve what is so small; an MRI that is given for a PET does.
        """
        data = np.asarray(image.dataobj)
        scan = Scan.of(data, image.affine, matrix)
        outline = outline_correlation(scan.at(self.straight), self.brain, VOXEL_MM)
        sigma = DETAIL_FWHM_MM / FWHM_PER_SIGMA / voxel_sizes(image.affine)
        there = apply_affine(matrix, self.straight[self.brain])
        fine, coarse = (
            sample(d, image.affine, there, order=0)
            for d in (data, ndimage.gaussian_filter(data, sigma))
        )
        return {
            "registration": _rounded(outline),
            "margin": self.margin(scan),
            "detail": _rounded(1 - correlation(fine, coarse) ** 2),
        }

    def reference_fit(self, region: np.ndarray) -> float:
        """How well T1w and template match around a reference region, by all transforms.

        Parameters
        ----------
        region
            Mask (x, y, z) on the atlas's grid, see :func:`relad.imaging.regions.mask_of`.

        Returns
        -------
        Correlation of the brain with the template over the region and a rim of
        :data:`REFERENCE_RIM_MM`. It falls where the region slips off the cerebellum, which no
        number of the PET would tell.
        """
        affine = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
        near = ndimage.distance_transform_edt(~region, sampling=atlas.VOXEL_MM) < REFERENCE_RIM_MM
        brain = atlas.brain_mask(atlas.SHAPE, affine)
        wanted = np.where(brain, atlas.resample_map("t1", atlas.SHAPE, affine), 0)[near]
        there = self._to_t1w(apply_affine(affine, np.argwhere(near).astype(float)))
        return _rounded(correlation(sample(self._native, self.t1w.affine, there), wanted))

    def margin(self, scan: Scan) -> float:
        """Pose margin of another image of the person, in and near the brain."""
        points = self.straight[self.near]
        values = self.t1w.at(points)
        # Scalp fat would take most levels of the measure.
        values = np.minimum(values, np.percentile(self.t1w.at(self.straight[self.brain]), 98))
        return _rounded(pose_margin(points, values, scan.data, scan.affine, scan.matrix)[0])


def share_in_cerebellum(
    to_t1w: Callable[[np.ndarray], np.ndarray],
    region: str | Mapping[str, Any],
    own: Segmentation,
    names: OwnRegions,
    erode_mm: float = 0.0,
) -> dict[str, float]:
    """How much of a reference region lies where it should, once it is carried to the T1w.

    Parameters
    ----------
    to_t1w
        Map of MNI points (..., 3) to the T1w.
    region
        In MNI152 space, see :mod:`relad.imaging.regions`.
    own
        The person's own labels.
    names
        What makes up the cerebellum and its grey matter, by names or by labels.
    erode_mm
        Rim taken off the region.

    Returns
    -------
    Share (0 to 1) of the region's points in each of ``cerebellum`` and ``cerebellar_grey``; empty
    where the region is none of the cerebellum, and without those whose names the table lacks.
    """
    shares: dict[str, float] = {}
    if not regions.is_cerebellar(region):
        return shares
    points = to_t1w(regions.points_of(region, erode_mm))
    for key in ("cerebellum", "cerebellar_grey"):
        try:
            shares[key] = round(own.share(points, getattr(names, key)), 4)
        except DataError:
            continue  # labels of something else, or under other names
    return shares


def _affine_through(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4, 4) affine that takes points (n, 3) to others of which they are an affine image."""
    some = slice(None, None, max(len(source) // 500, 1))
    design = np.column_stack([source[some], np.ones(len(source[some]))])
    matrix = np.eye(4)
    matrix[:3] = np.linalg.lstsq(design, target[some], rcond=None)[0].T
    return matrix


def _rounded(value: float) -> float:
    return round(float(value), 4)
