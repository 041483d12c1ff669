"""Bring one registered subject to the study's MNI grid, PET to SUVR, with QC.

Every image is interpolated once: each voxel of the grid is led through the composed transforms
(MNI warp, affine, rigid, and for PET the motion of each frame) to a point of the original image.
With grid.deform off the warp is left out: the brain takes the template's place and size but keeps
its own shape (ventricles, atrophy), from which methods learn; reference regions always use it.
Images finer than the grid are first smoothed to its voxel size, so that nothing aliases. PET
frames are averaged, weighted by duration, and divided by the mean in the tracer's reference
region, which is measured at 2 mm.

OUT holds T1w, FLAIR, PET in SUVR and the brain mask on the grid, sub-LABEL_qc.png, and
status.json with what the registration said, the QC numbers and, where a limit of the
configuration's section qc is missed, the reason of exclusion.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from relad import atlas, paths, qc
from relad.cli import add_settings
from relad.config import load_settings
from relad.errors import DataError, ReladError
from relad.fileio import load_nifti, read_json, save_nifti, whole_folder, write_json
from relad.provenance import describe
from relad.registration.transforms import mni_to_t1w, names, pet_names, read_affine
from relad.resample import apply_affine, grid_points, inside, limit_resolution, sample
from relad.suvr import Reference, measure_reference

#: Grid on which reference regions are measured: finer than PET, coarse enough to be quick.
REFERENCE_SHAPE, REFERENCE_VOXEL_MM = (96, 112, 96), 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "registered", metavar="REGISTERED", type=Path, help="folder written by relad register"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of this subject")
    parser.add_argument("--subject", metavar="LABEL", required=True, help="without sub-")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings)
    status = normalize(args.registered, args.out, args.subject, settings)
    if status["status"] != "ok":
        print(f"sub-{args.subject}: excluded: {status['reason']}", file=sys.stderr)


def normalize(
    registered: Path, out: Path, subject: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Normalise one subject and write its folder; see the module's description.

    Returns
    -------
    The content of ``status.json``.
    """
    status = read_json(registered / "status.json")
    if status["subject"] != subject:
        raise ReladError(
            f"holds sub-{status['subject']}, not sub-{subject}", file=registered / "status.json"
        )
    with whole_folder(out) as folder:
        if status["status"] == "ok":
            Normalization(registered, subject, settings, status).write(folder)
        write_json(folder / "status.json", status)
        used = {key: settings[key] for key in ("tracers", "grid", "registration", "qc")}
        write_json(
            folder / "provenance.json",
            describe("normalize", used, "matplotlib", "nibabel", "nilearn", "numpy", "scipy"),
        )
    return status


@lru_cache(maxsize=4)
def _reference_points(region: str, erode_mm: float) -> np.ndarray:
    """MNI points (n, 3) in mm of a reference region at 2 mm."""
    affine = atlas.grid_affine(REFERENCE_SHAPE, REFERENCE_VOXEL_MM)
    mask = atlas.reference_mask(region, REFERENCE_SHAPE, affine, erode_mm=erode_mm)
    return apply_affine(affine, np.argwhere(mask).astype(np.float64))


class Normalization:
    """One subject on its way to the grid; ``status`` is changed in place."""

    def __init__(
        self,
        registered: Path,
        subject: str,
        settings: Mapping[str, Any],
        status: dict[str, Any],
    ):
        self.registered, self.subject, self.status = registered, subject, status
        self.settings = settings
        self.names = names(subject)
        self.shape = tuple(settings["grid"]["shape"])
        self.voxel_mm = float(settings["grid"]["voxel_mm"])
        self.affine = atlas.grid_affine(self.shape, self.voxel_mm)
        # Without deformation the brain takes the template's place and size, but keeps its shape.
        self.points = self._to_t1w(
            grid_points(self.shape, self.affine), deform=settings["grid"]["deform"]
        )
        self.template = atlas.brain_mask(self.shape, self.affine)

    def _to_t1w(self, mni: np.ndarray, *, deform: bool) -> np.ndarray:
        return mni_to_t1w(self.registered, self.subject, mni, deform=deform)

    def write(self, folder: Path) -> None:
        """Write images, QC picture and, into the status, numbers and reasons."""
        numbers = self.status["qc"]
        mri, mask = self._mri(numbers)
        if not mask.any():
            reason = "no brain lies on the grid; T1w to MNI has failed"
            self.status.update(status="excluded", reason=reason)
            return
        pet = self._all_pet(mask)
        reason = qc.judge_subject(numbers, self.settings["qc"])
        if reason:
            self.status.update(status="excluded", reason=reason)
        note = "SIMULATED DATA " if self.status["simulated"] else ""
        qc.picture(
            folder / f"sub-{self.subject}_qc.png",
            f"{note}sub-{self.subject}" + (f"\nexcluded: {reason}" if reason else ""),
            {**mri, **pet},
            mask,
            {t: tuple(self.settings["tracers"][t]["suvr_window"]) for t in pet},
        )
        if reason:
            return
        for modality, image in mri.items():
            name = paths.preprocessed_mri(self.subject, modality)
            save_nifti(folder / name, image, self.affine, note=note.strip())
        for tracer, image in pet.items():
            name = paths.preprocessed_pet(self.subject, tracer)
            save_nifti(folder / name, image, self.affine, note=f"{note}SUVR")
        save_nifti(folder / paths.brain_mask(self.subject), mask, self.affine, note=note.strip())

    def _mri(self, numbers: dict[str, Any]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """T1w and FLAIR on the grid, and the brain mask: the brain inside both scans."""
        t1w = load_nifti(self.registered / self.names["t1w"], ndim=3)
        flair = load_nifti(self.registered / self.names["flair"], ndim=3)
        brain = load_nifti(self.registered / self.names["brain_mask"], ndim=3)
        to_flair = read_affine(self.registered / self.names["flair_to_t1w"])
        in_flair = apply_affine(to_flair, self.points)

        soft = limit_resolution(np.asarray(brain.dataobj), brain.affine, self.voxel_mm)
        mask = sample(soft, brain.affine, self.points) > 0.5
        smooth_t1w = limit_resolution(np.asarray(t1w.dataobj), t1w.affine, self.voxel_mm)
        smooth_flair = limit_resolution(np.asarray(flair.dataobj), flair.affine, self.voxel_mm)
        images = {}
        covered = {}
        for name, data, affine, points in (
            ("T1w", smooth_t1w, t1w.affine, self.points),
            ("FLAIR", smooth_flair, flair.affine, in_flair),
        ):
            images[name] = sample(data, affine, points)
            covered[name] = inside(data.shape, affine, points)
            numbers[f"{name}_coverage"] = _share(covered[name], self.template)
        mask &= covered["T1w"] & covered["FLAIR"]
        # The template is matched by all transforms, also where the images keep their own shape.
        deformed = self._to_t1w(grid_points(self.shape, self.affine)[self.template], deform=True)
        numbers["T1w_registration"] = _rounded(
            qc.correlation(
                sample(smooth_t1w, t1w.affine, deformed),
                atlas.resample_map("t1", self.shape, self.affine)[self.template],
            )
        )
        if mask.any():
            numbers["FLAIR_registration"] = _rounded(
                qc.correlation_ratio(images["FLAIR"][mask], images["T1w"][mask])
            )
        numbers["mask_volume_ml"] = round(float(mask.sum()) * self.voxel_mm**3 / 1000, 1)
        return images, mask

    def _all_pet(self, mask: np.ndarray) -> dict[str, np.ndarray]:
        """SUVR of each usable tracer; the others get their reason in the status."""
        images = {}
        for tracer, entry in self.status["tracers"].items():
            if entry["status"] != "ok":
                continue
            try:
                suvr, reference, coverage = self._pet(tracer)
            except DataError as error:
                entry.update(status="excluded", reason=error.what)
                continue
            entry.update(reference.qc(), coverage=coverage)
            entry["registration"] = _rounded(qc.outline_correlation(suvr, mask, self.voxel_mm))
            reason = qc.judge_image(
                f"{tracer} to T1w", entry["registration"], coverage, self.settings["qc"]
            )
            if reason:
                entry.update(status="excluded", reason=reason)
            else:
                images[tracer] = suvr
        return images

    def _pet(self, tracer: str) -> tuple[np.ndarray, Reference, float]:
        """Average one tracer's frames on the grid; SUVR, its reference, coverage of the brain."""
        files = pet_names(self.subject, tracer)
        image = load_nifti(self.registered / files["frames"])
        data = np.asarray(image.dataobj)
        data = data.reshape(*data.shape[:3], -1)
        frames = read_json(self.registered / files["motion"])["frames"]
        to_pet = read_affine(self.registered / files["pet_to_t1w"])
        entry = self.settings["tracers"][tracer]

        on_grid = apply_affine(to_pet, self.points)
        region = _reference_points(entry["reference_region"], float(entry["reference_erosion_mm"]))
        in_region = apply_affine(to_pet, self._to_t1w(region, deform=True))
        total = np.zeros(self.shape, np.float32)
        uptake = np.zeros(len(region), np.float32)
        seen = np.ones(self.shape, bool)
        region_seen = np.ones(len(region), bool)
        seconds = sum(frame["duration_s"] for frame in frames)
        for index, frame in enumerate(frames):
            weight = np.float32(frame["duration_s"] / seconds)
            moved = np.array(frame["reference_to_frame_ras_mm"])
            here, there = apply_affine(moved, on_grid), apply_affine(moved, in_region)
            smooth = limit_resolution(data[..., index], image.affine, self.voxel_mm)
            total += weight * sample(smooth, image.affine, here)
            uptake += weight * sample(data[..., index], image.affine, there)
            seen &= inside(data.shape[:3], image.affine, here)
            region_seen &= inside(data.shape[:3], image.affine, there)
        reference = measure_reference(
            entry["reference_region"], uptake[region_seen], REFERENCE_VOXEL_MM**3 / 1000
        )
        return total / np.float32(reference.mean), reference, _share(seen, self.template)


def _rounded(value: float) -> float:
    return round(value, 4)


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    """Share of the boolean mask ``whole`` that lies in ``part``."""
    return _rounded(float((part & whole).sum() / whole.sum()))
