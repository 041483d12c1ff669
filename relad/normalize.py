"""Bring one subject to the MNI grid, PET to SUVR, with quality control.

Every image is interpolated once: the transforms of `relad register` are composed, voxel by voxel of
the grid, down to the original image (for PET to each frame, through its own motion). Images finer
than the grid are smoothed to its resolution first. PET is divided by its mean in the tracer's
reference region, which is carried from MNI to the subject with the full (affine and SyN) transform.

With grid.deform off, images come to MNI by the affine alone: the brain has the template's position
and size, but keeps its own shape - ventricles, atrophy - which is what methods learn from. With it
on, SyN aligns shapes too.

status.json carries the subject on: included or not and why, and the numbers of quality control;
sub-X_qc.png shows the images with the brain mask's outline.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from relad import atlas, paths, provenance, qc
from relad.cli import add_settings
from relad.config import MODALITIES, load_settings
from relad.errors import DataError
from relad.fileio import load_nifti, read_json, save_nifti, whole_folder, write_json
from relad.registration.transforms import Warp, names, pet_names, read_affine
from relad.resample import apply_affine, grid_points, inside, limit_resolution, sample

PACKAGES = ("numpy", "scipy", "nibabel", "nilearn", "matplotlib")
#: Grid on which reference regions are cut: fine enough for a few millimetres of erosion.
REFERENCE_SHAPE, REFERENCE_VOXEL_MM = (96, 114, 96), 2.0
#: Least share of the brain that an image has to cover.
MIN_COVERAGE = 0.9


class Subject:
    """Maps from MNI to one registered subject's scans."""

    def __init__(self, folder: Path, subject: str):
        self.folder, self.subject = folder, subject
        self.files = names(subject)
        self.affine = read_affine(folder / self.files["t1w_to_mni_affine"])
        warp = folder / self.files["t1w_to_mni_warp"]
        self.warp = Warp(warp) if warp.exists() else None

    def to_t1w(self, points: np.ndarray, *, deform: bool) -> np.ndarray:
        """Map MNI points (..., 3) to T1w points, RAS mm, with or without the SyN warp."""
        if deform and self.warp is not None:
            points = self.warp(points)
        return apply_affine(self.affine, points)

    def mri(self, modality: str, t1w_points: np.ndarray, voxel_mm: float) -> np.ndarray:
        """Sample the bias-corrected T1w or FLAIR at T1w points; negative overshoot is cut."""
        points = t1w_points
        if modality == "FLAIR":
            points = apply_affine(read_affine(self.folder / self.files["flair_to_t1w"]), points)
        image = load_nifti(self.folder / self.files[modality.lower()], ndim=3)
        data = limit_resolution(np.asarray(image.dataobj), image.affine, voxel_mm)
        return np.maximum(sample(data, image.affine, points), 0.0)

    def mask(self, t1w_points: np.ndarray) -> np.ndarray:
        image = load_nifti(self.folder / self.files["brain_mask"], ndim=3)
        return sample(np.asarray(image.dataobj), image.affine, t1w_points) > 0.5


class Pet:
    """The frames of one tracer's PET, to be sampled through all transforms at once."""

    def __init__(self, folder: Path, subject: str, tracer: str):
        files = pet_names(subject, tracer)
        image = load_nifti(folder / files["frames"])
        data = np.asarray(image.dataobj)
        self.frames = data[..., None] if data.ndim == 3 else data
        self.affine = image.affine
        self.to_pet = read_affine(folder / files["pet_to_t1w"])
        motion = read_json(folder / files["motion"])
        self.motion = [np.array(matrix) for matrix in motion["matrices"]]
        self.seconds = np.array(motion["seconds"])

    def points(self, t1w_points: np.ndarray) -> np.ndarray:
        """Map T1w points to points of the reference frame, RAS mm."""
        return apply_affine(self.to_pet, t1w_points)

    def sample(self, t1w_points: np.ndarray, voxel_mm: float) -> np.ndarray:
        """Duration-weighted mean of the frames (Bq/ml) at T1w points, one interpolation each."""
        points = self.points(t1w_points)
        total = np.zeros(points.shape[:-1])
        for i, (matrix, seconds) in enumerate(zip(self.motion, self.seconds, strict=True)):
            frame = limit_resolution(self.frames[..., i], self.affine, voxel_mm)
            total += seconds * sample(frame, self.affine, apply_affine(matrix, points))
        return (total / self.seconds.sum()).astype(np.float32)

    def coverage(self, t1w_points: np.ndarray) -> float:
        """Share of points inside the field of view."""
        shape = self.frames.shape[:3]
        return float(inside(shape, self.affine, self.points(t1w_points)).mean())


def reference_activity(subject: Subject, pet: Pet, entry: Mapping[str, Any]) -> dict[str, float]:
    """Mean, standard deviation (Bq/ml) and volume (ml) of a tracer's reference region.

    Raises
    ------
    DataError
        Where the region lies outside the field of view or holds no activity.
    """
    affine = atlas.grid_affine(REFERENCE_SHAPE, REFERENCE_VOXEL_MM)
    region = atlas.reference_mask(
        entry["reference_region"],
        REFERENCE_SHAPE,
        affine,
        erode_mm=entry["reference_erosion_mm"],
    )
    points = subject.to_t1w(apply_affine(affine, np.argwhere(region).astype(float)), deform=True)
    seen = pet.coverage(points)
    if seen < MIN_COVERAGE:
        raise DataError(
            f"only {seen:.0%} of {entry['reference_region']} lies in the field of view"
        )
    values = pet.sample(points, REFERENCE_VOXEL_MM)
    if not values.mean() > 0:
        raise DataError(f"no activity in {entry['reference_region']}")
    return {
        "reference_mean_bq_ml": float(values.mean()),
        "reference_sd_bq_ml": float(values.std()),
        "reference_volume_ml": float(region.sum() * REFERENCE_VOXEL_MM**3 / 1000),
    }


def normalize(
    folder: Path, out: Path, status: dict[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a registered subject's images on the grid into ``out``; return the new status."""
    label = status["subject"]
    grid = settings["grid"]
    shape, voxel_mm = tuple(grid["shape"]), float(grid["voxel_mm"])
    affine = atlas.grid_affine(shape, voxel_mm)
    subject = Subject(folder, label)
    points = grid_points(shape, affine)
    t1w_points = subject.to_t1w(points, deform=grid["deform"])
    mask = subject.mask(t1w_points)
    images = {m: subject.mri(m, t1w_points, voxel_mm) for m in MODALITIES}
    numbers = status["qc"]
    numbers.update(
        qc.registration(
            subject.mri("T1w", subject.to_t1w(points, deform=True), voxel_mm),
            subject.mask(subject.to_t1w(points, deform=False)),
            shape,
            affine,
        )
    )
    reason = qc.gate(numbers, settings["qc"]) or qc.empty(images, mask)
    if reason:
        return {**status, "status": "excluded", "reason": reason}

    note = "MNI152, bias-corrected, arbitrary units"
    save_nifti(out / paths.brain_mask(label), mask, affine, note="MNI152, brain mask")
    for modality, data in images.items():
        save_nifti(out / paths.preprocessed_mri(label, modality), data, affine, note=note)
    shown = dict(images)
    for tracer, entry in settings["tracers"].items():
        state = status["tracers"][tracer]
        if state["status"] != "ok":
            continue
        try:
            pet = Pet(folder, label, tracer)
            covered = pet.coverage(t1w_points[mask])
            if covered < MIN_COVERAGE:
                raise DataError(f"only {covered:.0%} of the brain lies in the field of view")
            reference = reference_activity(subject, pet, entry)
        except DataError as error:
            state.update(status="excluded", reason=str(error))
            continue
        suvr = pet.sample(t1w_points, voxel_mm) / np.float32(reference["reference_mean_bq_ml"])
        suvr = np.where(mask, np.maximum(suvr, 0.0), 0.0)
        numbers.setdefault(tracer, {}).update(
            {key: round(value, 4) for key, value in reference.items()},
            coverage=round(covered, 4),
            suvr_mean=round(float(suvr[mask].mean()), 4),
        )
        save_nifti(
            out / paths.preprocessed_pet(label, tracer),
            suvr,
            affine,
            note=f"MNI152, SUVR, {entry['ligand']}, {entry['reference_region']}",
        )
        shown[f"{tracer} (SUVR)"] = suvr
    qc.picture(out / f"sub-{label}_qc.png", f"sub-{label}", shown, mask, affine)
    return status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("registered", type=Path, help="folder of `relad register`")
    parser.add_argument("out", type=Path, help="folder of this subject's images on the MNI grid")
    parser.add_argument("--subject", required=True, help="BIDS label, without sub-")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings)
    settings = {key: settings[key] for key in ("tracers", "grid", "qc")}
    status = read_json(args.registered / "status.json")
    status.pop("provenance", None)
    if status["subject"] != args.subject:
        raise DataError(f"holds subject {status['subject']}, not {args.subject}", file=args.registered)
    with whole_folder(args.out) as temporary:
        if status["status"] == "ok":
            try:
                status = normalize(args.registered, temporary, status, settings)
            except DataError as error:
                status.update(status="excluded", reason=str(error))
        status["provenance"] = provenance.describe("normalize", settings, *PACKAGES)
        write_json(temporary / "status.json", status)
    if status["reason"]:
        print(f"sub-{args.subject}: excluded: {status['reason']}", file=sys.stderr)
