"""Bring one registered subject to the study's MNI grid, PET to SUVR, and measure its quality.

Every image is interpolated once: each voxel of the grid is led through the composed transforms
(MNI warp, affine, rigid, and for PET the motion of each frame) to a point of the original image.
With grid.deform off the warp is left out: the brain takes the template's place and size but keeps
its own shape (ventricles, atrophy), from which methods learn; reference regions always use it.
Images finer than the grid are first smoothed to its voxel size, so that nothing aliases. PET
frames are averaged, weighted by duration, and divided by the mean in the tracer's reference
region, which is measured at 2 mm, or at the voxels of the person's own segmentation where the study
names labels of it. Where a cohort's psf says so, frames are first smoothed from the
scanner's resolution to a common one.

OUT holds what there is of T1w, FLAIR, PET in SUVR (each with a JSON file: window, reference region,
resolution, motion correction) and the brain mask on the grid, each PET's field of view (desc-fov),
outside of which its SUVR means nothing, the regions of the evaluation that the study takes from the
person's own segmentation, the motion of every PET's frames, and status.json with what the
registration said and the numbers by which `relad qc` judges. An image that cannot be measured at
all is excluded here, with the reason. sub-LABEL_qc.png shows the images; sub-LABEL_flicker.* hold
pairs to flip between, before and after registration, in the same planes.

Of simulated PET, --truth brings what anatomy determines of it (desc-predictable) the same way, by
the transforms found for the scan and with the mean of its own reference region. Only `relad pack`
and `relad ceiling` read it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from relad.cli import add_settings
from relad.errors import DataError, ReladError
from relad.fileio import beside, content_of, read_json, read_object, whole_folder, write_json
from relad.imaging import atlas, regions
from relad.imaging.nifti import load_nifti, save_nifti
from relad.imaging.resample import grid_points, inside, limit_resolution, sample
from relad.imaging.segmentation import Segmentation
from relad.imaging.suvr import Reference, harmonize, measure_reference
from relad.qc.measures import Lattice, Scan, share_in_cerebellum
from relad.qc.picture import draw
from relad.qc.views import Views
from relad.registration.motion import average_at
from relad.registration.transforms import MniToT1w, names, pet_names, read_affine
from relad.status import SIMULATED_KEY, Modality, SubjectStatus
from relad.study import paths
from relad.study.config import load_settings, of_cohort
from relad.study.provenance import describe
from relad.study.settings import (
    NormalizedCohort,
    NormalizeSettings,
    OwnRegions,
    PreprocessSettings,
    Psf,
    Tracer,
    plain,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "registered", metavar="REGISTERED", type=Path, help="folder written by relad register"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of this subject")
    parser.add_argument("--subject", metavar="LABEL", required=True, help="without sub-")
    parser.add_argument(
        "--truth", metavar="FOLDER", type=Path, help="folder truth/ of `relad phantom`"
    )
    parser.add_argument(
        "--cohort", metavar="NAME", help="whose psf is used, where the configuration has several"
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings, NormalizeSettings)
    psf = psf_of(settings.cohorts, args.cohort)
    status = normalize(args.registered, args.out, args.subject, settings, psf, args.truth)
    if not status.ok:
        print(f"sub-{args.subject}: excluded: {status.reason}", file=sys.stderr)


def psf_of(cohorts: Mapping[str, NormalizedCohort], cohort: str | None) -> dict[str, Psf]:
    """Resolutions by tracer of one cohort; the workflow hands over its cohort's alone."""
    if cohort is not None:
        return of_cohort(cohorts, cohort).psf
    some = [entry.psf for entry in cohorts.values()]
    if any(psf != some[0] for psf in some):
        raise ReladError(
            "the cohorts of the configuration differ in psf", hint="name the cohort by --cohort"
        )
    return some[0] if some else {}


def normalize(
    registered: Path,
    out: Path,
    subject: str,
    settings: NormalizeSettings | PreprocessSettings,
    psf: Mapping[str, Psf] | None = None,
    truth: Path | None = None,
) -> SubjectStatus:
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
        Tracers, grid and section ``segmentation``; what else they hold is not read.
    psf
        Tracer id -> resolutions, for tracers to be smoothed.
    truth
        Folder ``truth/`` of `relad phantom`, of a simulated cohort.
    """
    with whole_folder(out, mark="status.json") as folder:
        return write_normalized(registered, folder, subject, settings, psf or {}, truth)


def write_normalized(
    registered: Path,
    folder: Path,
    subject: str,
    settings: NormalizeSettings | PreprocessSettings,
    psf: Mapping[str, Psf],
    truth: Path | None = None,
) -> SubjectStatus:
    """Do the work of :func:`normalize` into an existing folder."""
    status = SubjectStatus.read(registered)
    if status.subject != subject:
        raise ReladError(
            f"holds sub-{status.subject}, not sub-{subject}", file=registered / "status.json"
        )
    if status.ok:
        Normalization(registered, settings, status, psf, truth).write(folder)
    status.write(folder)
    used = {
        "tracers": {name: plain(tracer) for name, tracer in settings.tracers.items()},
        "segmentation": plain(settings.segmentation),
        "grid": plain(settings.grid),
        "psf": {name: plain(of_tracer) for name, of_tracer in psf.items()},
    }
    packages = ("matplotlib", "nibabel", "nilearn", "numpy", "scipy")
    write_json(folder / "provenance.json", describe("normalize", used, *packages))
    return status


@dataclass(frozen=True)
class WayToSuvr:
    """How the frames of one PET become SUVR on the grid.

    Attributes
    ----------
    region, in_region, voxel_ml
        Name of the reference region, its points (n, 3) that every frame shows, and ml of each.
    on_grid, seen_on_grid, voxel_mm
        Points (x, y, z, 3) of the grid, which of them every frame shows, and the grid's voxel size.
    psf
        Resolutions, where frames are smoothed.
    poses, times_s
        Of each frame the (4, 4) map from the reference frame, in mm of which all points are, and
        its begin and end in s after injection.
    """

    region: str
    in_region: np.ndarray
    voxel_ml: float
    on_grid: np.ndarray
    seen_on_grid: np.ndarray
    voxel_mm: float
    psf: Psf | None
    poses: Sequence[np.ndarray]
    times_s: Sequence[tuple[float, float]]

    def harmonized(self, frames: list[np.ndarray], affine: np.ndarray) -> list[np.ndarray]:
        """Frames at the resolution common to the study."""
        if self.psf is None:
            return frames
        return [harmonize(frame, affine, **plain(self.psf)) for frame in frames]

    def suvr(
        self,
        frames: list[np.ndarray],
        affine: np.ndarray,
        poses: Sequence[np.ndarray],
        weights: Sequence[float],
    ) -> tuple[np.ndarray, Reference]:
        """Mean of harmonised frames over their mean in the reference region, each read once."""
        uptake = average_at(self.in_region, frames, affine, poses, weights)
        reference = measure_reference(self.region, uptake, self.voxel_ml)
        smooth = (limit_resolution(frame, affine, self.voxel_mm) for frame in frames)
        suvr = average_at(self.on_grid, smooth, affine, poses, weights)
        return suvr / np.float32(reference.mean), reference


class Normalization:
    """One subject on its way to the grid; ``status`` is changed in place."""

    def __init__(
        self,
        registered: Path,
        settings: NormalizeSettings | PreprocessSettings,
        status: SubjectStatus,
        psf: Mapping[str, Psf],
        truth: Path | None = None,
    ):
        self.registered, self.subject, self.status = registered, status.subject, status
        self.truth = None if truth is None else truth / f"sub-{status.subject}"
        self.tracers, self.psf = settings.tracers, psf
        self.own: OwnRegions = settings.segmentation
        self.names = names(status.subject)
        self.shape, self.voxel_mm = settings.grid.shape, settings.grid.voxel_mm
        self.affine = atlas.grid_affine(self.shape, self.voxel_mm)
        self.to_t1w = MniToT1w(registered, status.subject)
        # Without deformation the brain takes the template's place and size, but keeps its shape.
        self.points = self.to_t1w(grid_points(self.shape, self.affine), deform=settings.grid.deform)
        self.views = Views(self.to_t1w)

    def write(self, folder: Path) -> None:
        """Write images, QC picture and, into the status, numbers."""
        mri, mask = self._mri()
        if not mask.any():
            self.status.exclude("no brain lies on the grid; T1w to MNI has failed")
            return
        pet = self._all_pet(folder)
        title = f"{self.status.kind.mark} sub-{self.subject}".strip()
        self.views.write(folder, self.subject, title)
        draw(
            folder / paths.qc_picture(self.subject),
            title,
            {**mri, **pet},
            mask,
            {tracer: self.tracers[tracer].suvr_window for tracer in pet},
        )
        for modality, image in mri.items():
            name = paths.preprocessed_mri(self.subject, modality)
            save_nifti(folder / name, image, self.affine, note=self.status.mri[modality].mark)
        for tracer, image in pet.items():
            name = paths.preprocessed_pet(self.subject, tracer)
            note = f"{self.status.pet[tracer].mark} SUVR".strip()
            save_nifti(folder / name, image, self.affine, note=note)
            write_json(folder / name.replace(".nii.gz", ".json"), self._sidecar(tracer))
        mark = self.status.mri[Modality.T1W].mark
        save_nifti(folder / paths.brain_mask(self.subject), mask, self.affine, note=mark)
        self._write_regions(folder / paths.own_regions(self.subject), mask, mark)

    def _load(self, name: str, **options: Any) -> nib.Nifti1Image:
        return load_nifti(self.registered / self.names[name], ndim=3, **options)

    def _mri(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """T1w and FLAIR on the grid, and the brain mask: the brain inside all of them."""
        t1w, brain = self._load("t1w"), self._load("brain_mask", allow_constant=True)
        mask = self._on_grid(brain, self.points) > 0.5
        images = {"T1w": self._on_grid(t1w, self.points)}
        self.views.add_t1w(t1w, brain)
        mask &= inside(t1w.shape, t1w.affine, self.points)

        numbers = self.status.numbers
        self.lattice = Lattice(t1w, brain, self.to_t1w)
        numbers.update(self.lattice.head())
        if self.status.mri[Modality.FLAIR].ok:
            flair = self._load("flair")
            matrix = read_affine(self.registered / self.names["flair_to_t1w"])
            there = apply_affine(matrix, self.points)
            images["FLAIR"] = self._on_grid(flair, there)
            self.views.add_flair(flair, matrix)
            scan = Scan.of(np.asarray(flair.dataobj), flair.affine, matrix)
            numbers.update(self.lattice.mri("FLAIR", scan))
            mask &= inside(flair.shape, flair.affine, there)
        numbers["mask_volume_ml"] = round(float(mask.sum()) * self.voxel_mm**3 / 1000, 1)
        return images, mask

    @cached_property
    def segmentation(self) -> Segmentation:
        """The person's own labels.

        Raises
        ------
        DataError
            Where there are none that can be used.
        """
        status = self.status.segmentation
        if not status.ok:
            raise DataError(str(status.reason))
        return Segmentation.read(
            *(self.registered / self.names[key] for key in ("segmentation", "segmentation_table"))
        )

    def _write_regions(self, file: Path, brain: np.ndarray, mark: str) -> None:
        """Write the regions of the evaluation, or say of the segmentation what it lacks."""
        if not self.own.regions:
            return
        try:
            masks = {
                name: self.segmentation.on_grid(labels, self.points, self.voxel_mm) & brain
                for name, labels in self.own.regions.items()
            }
            for name, mask in masks.items():
                if not mask.any():
                    raise DataError(f"nothing of the region {name} is left on the grid")
        except DataError as error:
            if self.status.segmentation.ok:
                self.status.segmentation.exclude([_said(error)])
            return
        save_nifti(file, np.stack(list(masks.values()), axis=-1), self.affine, note=mark)
        about = {
            "Description": "One volume a region, 1 where it fills more than half of a voxel",
            "Regions": plain(self.own.regions),
            "SpatialReference": atlas.SPACE,
            **self._origin(),
        }
        write_json(beside(file, ".json"), about)

    def _origin(self) -> dict[str, Any]:
        """Where the person's own labels come from, for sidecars."""
        numbers = self.status.segmentation.numbers
        return {
            "Segmentation": self.status.inputs["segmentation"],
            "SHA256": {key: numbers[f"{key}_sha256"] for key in ("labels", "table")},
        }

    def _reference(self, tracer: Tracer, numbers: dict[str, Any]) -> tuple[np.ndarray, float]:
        """Points (n, 3) of a tracer's reference region in mm of the T1w, and ml of each."""
        region, erode_mm = tracer.reference_region, tracer.reference_erosion_mm
        if regions.is_own(region):
            try:
                points = self.segmentation.points(region["segmentation"], erode_mm)
            except DataError as error:
                raise DataError(
                    "its reference region is to be one of the person's own segmentation: "
                    + _said(error)
                ) from None
            return points, self.segmentation.voxel_ml
        if self.status.segmentation.ok:
            shares = share_in_cerebellum(self.to_t1w, region, self.segmentation, self.own, erode_mm)
            numbers.update({f"reference_in_{name}": share for name, share in shares.items()})
        numbers["reference_fit"] = self.lattice.reference_fit(regions.mask_of(region, erode_mm))
        return self.to_t1w(regions.points_of(region, erode_mm)), regions.VOXEL_MM**3 / 1000

    def _on_grid(self, image: nib.Nifti1Image, points: np.ndarray) -> np.ndarray:
        """Sample an image at points (x, y, z, 3) of its own space, without aliasing."""
        smooth = limit_resolution(np.asarray(image.dataobj), image.affine, self.voxel_mm)
        return sample(smooth, image.affine, points)

    def _all_pet(self, folder: Path) -> dict[str, np.ndarray]:
        """SUVR of each tracer that has one; what cannot be measured gets its reason."""
        images = {}
        for tracer, scan in self.status.pet.items():
            if not scan.ok:
                continue
            name = paths.motion(self.subject, tracer)
            write_json(folder / name, read_json(self.registered / name))
            try:
                images[tracer], way = self._pet(tracer, scan.numbers)
            except DataError as error:
                scan.exclude([error.what])
                continue
            name = paths.field_of_view(self.subject, tracer)
            save_nifti(folder / name, way.seen_on_grid, self.affine, note=scan.mark)
            if self.truth is not None:
                name = paths.predictable_pet(self.subject, tracer)
                note = f"{scan.mark} SUVR that anatomy determines"
                save_nifti(folder / name, self._predictable(tracer, way), self.affine, note=note)
        return images

    def _predictable(self, tracer: str, way: WayToSuvr) -> np.ndarray:
        """What anatomy determines of a simulated PET, (x, y, z) SUVR as that PET came to be."""
        file = self.truth / paths.predictable_truth(self.subject, tracer)
        if not file.exists():
            raise ReladError(
                f"nothing is known of the {tracer} PET of sub-{self.subject}",
                file=file,
                hint="simulate the cohort again, or leave --truth out",
            )
        about = read_object(beside(file, ".json"), ["FrameTimesStart", "FrameDuration"])
        what = "description of a simulated PET"
        with content_of(beside(file, ".json"), what, hint="simulate the cohort again"):
            middle_s = about["FrameTimesStart"][0] + about["FrameDuration"][0] / 2
        found = [i for i, (start, end) in enumerate(way.times_s) if start <= middle_s < end]
        if not found:
            raise ReladError(
                f"lies where the head was {middle_s / 60:.1f} min after injection, which is in no "
                "frame of the window",
                file=file,
                hint="simulate the cohort again with this study's tracers",
            )
        image = load_nifti(file, ndim=3)
        volumes = way.harmonized([np.asarray(image.dataobj)], image.affine)
        return way.suvr(volumes, image.affine, [way.poses[found[0]]], [1.0])[0]

    def _pet(self, tracer: str, numbers: dict[str, Any]) -> tuple[np.ndarray, WayToSuvr]:
        """One tracer's frames averaged on the grid, in SUVR, and how; adds to ``numbers``."""
        files = pet_names(self.subject, tracer)
        image = load_nifti(self.registered / files["frames"])
        data = np.asarray(image.dataobj)
        data = data.reshape(*data.shape[:3], -1)
        moved = read_json(self.registered / files["motion"])
        frames = [frame for frame in moved["frames"] if frame["in_window"]]
        to_pet = read_affine(self.registered / files["pet_to_t1w"])
        mean = load_nifti(self.registered / files["mean"], ndim=3)
        numbers.update(self.lattice.pet(mean, to_pet))

        configured, psf = self.tracers[tracer], self.psf.get(tracer)
        numbers["psf"] = None if psf is None else plain(psf)
        region, voxel_ml = self._reference(configured, numbers)
        on_grid, in_region, in_brain = (
            apply_affine(to_pet, points)
            for points in (
                self.points,
                region,
                self.lattice.straight[self.lattice.template],
            )
        )
        found = [frame["reference_to_frame_ras_mm"] for frame in frames]
        still = [np.eye(4)] * len(frames)
        poses = [np.array(pose) for pose in found] if moved["corrected"] else still
        seconds = sum(frame["duration_s"] for frame in frames)
        weights = [frame["duration_s"] / seconds for frame in frames]

        def covered(points: np.ndarray) -> np.ndarray:
            """Whether points lie inside the field of view in every frame."""
            seen = [inside(data.shape[:3], image.affine, apply_affine(p, points)) for p in poses]
            return np.all(seen, axis=0)

        numbers["coverage"] = round(float(covered(in_brain).mean()), 4)
        way = WayToSuvr(
            region=regions.name_of(configured.reference_region),
            in_region=in_region[seen := covered(in_region)],
            voxel_ml=voxel_ml,
            on_grid=on_grid,
            seen_on_grid=covered(on_grid),
            voxel_mm=self.voxel_mm,
            psf=psf,
            poses=poses,
            times_s=[(f["start_s"], f["start_s"] + f["duration_s"]) for f in frames],
        )
        counts = way.harmonized([data[..., i] for i in range(len(frames))], image.affine)
        suvr, reference = way.suvr(counts, image.affine, poses, weights)
        numbers.update(reference.qc(), reference_coverage=round(float(seen.mean()), 4))
        views, there = self.views, apply_affine(to_pet, self.views.points)
        views.add_pair(
            tracer,
            average_at(there, counts, image.affine, poses, weights),
            average_at(views.points, counts, image.affine, poses, weights),
        )
        if len(frames) > 1 and None not in found:
            other = still if moved["corrected"] else [np.array(pose) for pose in found]
            shown = average_at(there, counts, image.affine, other, weights)
            views.add_motion(tracer, shown, corrected=moved["corrected"])
        return suvr, way

    def _sidecar(self, tracer: str) -> dict[str, Any]:
        """What made one tracer's SUVR image: the JSON file beside it."""
        scan, configured = self.status.pet[tracer], self.tracers[tracer]
        numbers = scan.numbers
        region = configured.reference_region
        own = regions.is_own(region)
        return {
            "Description": "Standardised uptake value ratio (SUVR), mean of the window's frames",
            "Units": "unitless",
            "TracerName": configured.ligand,
            "SpatialReference": atlas.SPACE,
            "WindowMinutes": configured.frames_min,
            "FrameStartSeconds": numbers.get("start_s"),
            "FrameEndSeconds": numbers.get("end_s"),
            "Timing": numbers.get("timing"),
            "ReferenceRegion": {
                **(
                    {"Name": regions.name_of(region), "PersonsOwn": True, **self._origin()}
                    if own
                    else regions.origin_of(region)
                ),
                "ErosionMillimetres": configured.reference_erosion_mm,
                "MeanUptake": numbers["reference_mean"],
                "VolumeMillilitres": numbers["reference_volume_ml"],
            },
            "PointSpreadFunction": numbers["psf"],
            "MotionCorrection": {
                "Applied": numbers["motion_corrected"],
                "LargestDisplacementMillimetres": numbers["motion_mm"],
            },
            SIMULATED_KEY: scan.simulated,
        }


def _said(error: DataError) -> str:
    """A message on the person's own labels in one piece; a scan's status has no hint."""
    return error.what + (f" ({error.hint})" if error.hint else "")
