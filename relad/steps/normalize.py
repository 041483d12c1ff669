"""Bring one registered subject to the study's MNI grid, PET to SUVR, with QC.

Every image is interpolated once: each voxel of the grid is led through the composed transforms
(MNI warp, affine, rigid, and for PET the motion of each frame) to a point of the original image.
With grid.deform off the warp is left out: the brain takes the template's place and size but keeps
its own shape (ventricles, atrophy), from which methods learn; reference regions always use it.
Images finer than the grid are first smoothed to its voxel size, so that nothing aliases. PET
frames are averaged, weighted by duration, and divided by the mean in the tracer's reference
region, which is measured at 2 mm. Where a cohort's psf says so, frames are first smoothed from the
scanner's resolution to a common one.

OUT holds what there is of T1w, FLAIR, PET in SUVR (each with a JSON file: window, reference region,
resolution) and the brain mask on the grid, sub-LABEL_qc.png, and status.json with what the
registration said, the QC numbers and, where a limit of the configuration's section qc is missed,
the reason of exclusion: of the subject if its T1w fails, else of the FLAIR or the PET alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from relad.cli import add_settings
from relad.errors import DataError, ReladError
from relad.fileio import load_nifti, read_json, save_nifti, whole_folder, write_json
from relad.imaging import atlas, regions
from relad.imaging.resample import apply_affine, grid_points, inside, limit_resolution, sample
from relad.imaging.suvr import harmonize, measure_reference
from relad.qc.limits import judge_flair, judge_head, judge_pet
from relad.qc.measures import Lattice, Scan
from relad.qc.picture import draw
from relad.registration.transforms import MniToT1w, names, pet_names, read_affine
from relad.study import paths
from relad.study.config import load_settings
from relad.study.provenance import describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "registered", metavar="REGISTERED", type=Path, help="folder written by relad register"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of this subject")
    parser.add_argument("--subject", metavar="LABEL", required=True, help="without sub-")
    parser.add_argument(
        "--cohort", metavar="NAME", help="whose psf is used, where the configuration has several"
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings)
    psf = psf_of(settings, args.cohort)
    status = normalize(args.registered, args.out, args.subject, settings, psf)
    if status["status"] != "ok":
        print(f"sub-{args.subject}: excluded: {status['reason']}", file=sys.stderr)


def psf_of(settings: Mapping[str, Any], cohort: str | None) -> dict[str, Any]:
    """Resolutions by tracer of one cohort; the workflow hands over its cohort's alone."""
    known = settings.get("psf", {})
    if cohort is not None:
        if cohort not in known:
            raise ReladError(f"no cohort {cohort!r}", hint=f"known: {', '.join(known)}")
        return known[cohort]
    some = list(known.values())
    if any(psf != some[0] for psf in some):
        raise ReladError(
            "the cohorts of the configuration differ in psf", hint="name the cohort by --cohort"
        )
    return some[0] if some else {}


def normalize(
    registered: Path,
    out: Path,
    subject: str,
    settings: Mapping[str, Any],
    psf: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Normalise one subject and write its folder; see the module's description.

    Parameters
    ----------
    registered
        Folder of `relad register`.
    out
        Folder to write.
    subject
        Label without ``sub-``.
    settings
        Sections ``tracers``, ``grid``, ``registration`` and ``qc``.
    psf
        Tracer id -> ``known_fwhm_mm`` and ``target_fwhm_mm``, for tracers to be smoothed.

    Returns
    -------
    The content of ``status.json``.
    """
    with whole_folder(out, mark="status.json") as folder:
        return write_normalized(registered, folder, subject, settings, psf or {})


def write_normalized(
    registered: Path,
    folder: Path,
    subject: str,
    settings: Mapping[str, Any],
    psf: Mapping[str, Any],
) -> dict[str, Any]:
    """Do the work of :func:`normalize` into an existing folder."""
    status = read_json(registered / "status.json")
    if status["subject"] != subject:
        raise ReladError(
            f"holds sub-{status['subject']}, not sub-{subject}", file=registered / "status.json"
        )
    if status["status"] == "ok":
        Normalization(registered, subject, settings, status, psf).write(folder)
    write_json(folder / "status.json", status)
    used = {key: settings[key] for key in ("tracers", "grid", "registration", "qc")}
    write_json(
        folder / "provenance.json",
        describe(
            "normalize", {**used, "psf": dict(psf)}, "matplotlib", "nibabel", "nilearn", "numpy",
            "scipy",
        ),
    )  # fmt: skip
    return status


class Normalization:
    """One subject on its way to the grid; ``status`` is changed in place."""

    def __init__(
        self,
        registered: Path,
        subject: str,
        settings: Mapping[str, Any],
        status: dict[str, Any],
        psf: Mapping[str, Any],
    ):
        self.registered, self.subject, self.status = registered, subject, status
        self.settings, self.psf = settings, psf
        self.names = names(subject)
        self.shape = tuple(settings["grid"]["shape"])
        self.voxel_mm = float(settings["grid"]["voxel_mm"])
        self.affine = atlas.grid_affine(self.shape, self.voxel_mm)
        self.to_t1w = MniToT1w(registered, subject)
        # Without deformation the brain takes the template's place and size, but keeps its shape.
        self.points = self.to_t1w(
            grid_points(self.shape, self.affine), deform=settings["grid"]["deform"]
        )

    def write(self, folder: Path) -> None:
        """Write images, QC picture and, into the status, numbers and reasons."""
        mri, mask = self._mri()
        if not mask.any():
            reason = "no brain lies on the grid; T1w to MNI has failed"
            self._exclude(self.status["mri"]["T1w"], [reason])
            self.status.update(status="excluded", reason=reason)
            return
        pet = self._all_pet()
        note = "SIMULATED DATA " if self.status["simulated"] else ""
        reason = self.status["reason"]
        draw(
            folder / f"sub-{self.subject}_qc.png",
            f"{note}sub-{self.subject}" + (f"\nexcluded: {reason}" if reason else ""),
            {**mri, **pet},
            mask,
            {t: tuple(self.settings["tracers"][t]["suvr_window"]) for t in pet},
        )
        if self.status["status"] != "ok":
            return
        for modality, image in mri.items():
            if self.status["mri"][modality]["status"] == "ok":
                name = paths.preprocessed_mri(self.subject, modality)
                save_nifti(folder / name, image, self.affine, note=note.strip())
        for tracer, image in pet.items():
            if self.status["tracers"][tracer]["status"] == "ok":
                name = paths.preprocessed_pet(self.subject, tracer)
                save_nifti(folder / name, image, self.affine, note=f"{note}SUVR")
                write_json(folder / name.replace(".nii.gz", ".json"), self._sidecar(tracer))
        save_nifti(folder / paths.brain_mask(self.subject), mask, self.affine, note=note.strip())

    @staticmethod
    def _exclude(entry: dict[str, Any], reasons: list[str]) -> None:
        if reasons:
            entry.update(status="excluded", reason="; ".join(reasons))

    def _load(self, name: str, **options: Any) -> nib.Nifti1Image:
        return load_nifti(self.registered / self.names[name], ndim=3, **options)

    def _mri(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """T1w and FLAIR on the grid, and the brain mask: the brain inside all of them."""
        t1w, brain = self._load("t1w"), self._load("brain_mask", allow_constant=True)
        mask = self._on_grid(brain, self.points) > 0.5
        images = {"T1w": self._on_grid(t1w, self.points)}
        mask &= inside(t1w.shape, t1w.affine, self.points)

        numbers, limits = self.status["qc"], self.settings["qc"]
        self.lattice = self._lattice(t1w, brain)
        numbers.update(self.lattice.head())
        self._exclude(self.status["mri"]["T1w"], judge_head(numbers, limits))
        if self.status["mri"]["T1w"]["status"] != "ok":
            self.status.update(status="excluded", reason=self.status["mri"]["T1w"]["reason"])

        entry = self.status["mri"]["FLAIR"]
        if entry["status"] == "ok":
            flair = self._load("flair")
            matrix = read_affine(self.registered / self.names["flair_to_t1w"])
            there = apply_affine(matrix, self.points)
            images["FLAIR"] = self._on_grid(flair, there)
            scan = Scan.of(np.asarray(flair.dataobj), flair.affine, matrix)
            numbers.update(self.lattice.mri("FLAIR", scan))
            self._exclude(entry, judge_flair(numbers, limits))
            if entry["status"] == "ok":
                mask &= inside(flair.shape, flair.affine, there)
        numbers["mask_volume_ml"] = round(float(mask.sum()) * self.voxel_mm**3 / 1000, 1)
        return images, mask

    def _lattice(self, t1w: nib.Nifti1Image, brain: nib.Nifti1Image) -> Lattice:
        """The lattice on which quality is measured, on this person."""
        points = Lattice.points()
        straight = self.to_t1w(points, deform=False)
        head, mask = (Scan.of(np.asarray(i.dataobj), i.affine) for i in (t1w, brain))
        return Lattice(straight, self.to_t1w(points), head, mask.at(straight) > 0.5)

    def _on_grid(self, image: nib.Nifti1Image, points: np.ndarray) -> np.ndarray:
        """Sample an image at points (x, y, z, 3) of its own space, without aliasing."""
        smooth = limit_resolution(np.asarray(image.dataobj), image.affine, self.voxel_mm)
        return sample(smooth, image.affine, points)

    def _all_pet(self) -> dict[str, np.ndarray]:
        """SUVR of each tracer that has one; those of no use get their reason in the status."""
        images = {}
        for tracer, entry in self.status["tracers"].items():
            if entry["status"] != "ok":
                continue
            try:
                images[tracer] = self._pet(tracer, entry)
            except DataError as error:
                self._exclude(entry, [error.what])
                continue
            self._exclude(entry, judge_pet(tracer, entry, self.settings["qc"]))
        return images

    def _pet(self, tracer: str, entry: dict[str, Any]) -> np.ndarray:
        """Average one tracer's frames on the grid, in SUVR; numbers go into its status."""
        files = pet_names(self.subject, tracer)
        image = load_nifti(self.registered / files["frames"])
        data = np.asarray(image.dataobj)
        data = data.reshape(*data.shape[:3], -1)
        frames = read_json(self.registered / files["motion"])["frames"]
        to_pet = read_affine(self.registered / files["pet_to_t1w"])
        mean = load_nifti(self.registered / files["mean"], ndim=3)
        scan = Scan.of(np.asarray(mean.dataobj), mean.affine, to_pet)
        entry.update(self.lattice.pet(scan))

        configured = self.settings["tracers"][tracer]
        name = regions.name_of(configured["reference_region"])
        region = regions.points_of(
            configured["reference_region"], float(configured["reference_erosion_mm"])
        )
        on_grid = apply_affine(to_pet, self.points)
        in_region = apply_affine(to_pet, self.to_t1w(region))
        total = np.zeros(self.shape, np.float32)
        uptake = np.zeros(len(region), np.float32)
        seen = np.ones(len(region), bool)
        brain = apply_affine(to_pet, self.lattice.straight[self.lattice.template])
        covered = np.ones(len(brain), bool)
        seconds = sum(frame["duration_s"] for frame in frames)
        entry["psf"] = self.psf.get(tracer)
        for index, frame in enumerate(frames):
            weight = np.float32(frame["duration_s"] / seconds)
            moved = np.array(frame["reference_to_frame_ras_mm"])
            here, there = apply_affine(moved, on_grid), apply_affine(moved, in_region)
            counts = data[..., index]
            if entry["psf"]:
                counts = harmonize(counts, image.affine, **entry["psf"])
            smooth = limit_resolution(counts, image.affine, self.voxel_mm)
            total += weight * sample(smooth, image.affine, here)
            uptake += weight * sample(counts, image.affine, there)
            seen &= inside(data.shape[:3], image.affine, there)
            covered &= inside(data.shape[:3], image.affine, apply_affine(moved, brain))
        entry["coverage"] = round(float(covered.mean()), 4)
        reference = measure_reference(name, uptake[seen], regions.VOXEL_MM**3 / 1000)
        entry.update(reference.qc(), reference_coverage=round(float(seen.mean()), 4))
        return total / np.float32(reference.mean)

    def _sidecar(self, tracer: str) -> dict[str, Any]:
        """What made one tracer's SUVR image: the JSON file beside it."""
        entry, configured = self.status["tracers"][tracer], self.settings["tracers"][tracer]
        return {
            "Description": "Standardised uptake value ratio (SUVR), mean of the window's frames",
            "Units": "unitless",
            "TracerName": configured["ligand"],
            "SpatialReference": "MNI152NLin2009aSym",
            "WindowMinutes": configured["frames_min"],
            "FrameStartSeconds": entry.get("start_s"),
            "FrameEndSeconds": entry.get("end_s"),
            "Timing": entry.get("timing"),
            "ReferenceRegion": {
                **regions.origin_of(configured["reference_region"]),
                "ErosionMillimetres": configured["reference_erosion_mm"],
                "MeanUptake": entry["reference_mean"],
                "VolumeMillilitres": entry["reference_volume_ml"],
            },
            "PointSpreadFunction": entry["psf"],
            "Simulated": self.status["simulated"],
        }
