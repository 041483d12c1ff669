"""All scans of one simulated person, written as LONI would deliver them, and their truth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from relad import fileio
from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import dicom, geometry, mri, pet
from relad.cohort.phantom import template as head
from relad.cohort.phantom.brain import Brain, of_template
from relad.cohort.phantom.scanners import Scanner, Sequence
from relad.imaging import atlas, nifti
from relad.status import Kind
from relad.study import paths
from relad.study.settings import Tracer
from relad.study.subjects import bids_label

#: Header of LONI's collection CSV.
COLUMNS = (
    "Image Data ID", "Subject", "Group", "Sex", "Age", "Visit", "Modality", "Description", "Type",
    "Acq Date", "Format", "Downloaded",
)  # fmt: skip
#: Grid on which the true map from MNI to the T1w scan is written.
POINTS_SHAPE = (48, 56, 48)
POINTS_AFFINE = atlas.grid_affine(POINTS_SHAPE, 4.0)


@dataclass(frozen=True)
class Plan:
    """What a subject's study depends on."""

    seed: int
    cohort: str
    scanner: Scanner
    tracers: Mapping[str, Tracer]


class Visit:
    """One person's visit: its calendar, the numbering of its series, its PET.

    Parameters
    ----------
    name
        What the person's random numbers depend on, beside seed and cohort.
    centre
        Middle of the head (3,) in mm of the head frame; the brain's lies 8 mm behind it and 12 mm
        above.
    space
        Name of the space of ``brain``, in the names of files.
    note
        What every simulated scan says of itself.
    """

    def __init__(
        self, plan: Plan, ptid: str, name: str, disease: person.Disease, centre: np.ndarray,
        brain: Brain, body: pet.Body, *, space: str, group: str, note: str,
    ):  # fmt: skip
        self.plan = plan
        self.ptid = ptid
        self.name = name
        self.label = bids_label(ptid)
        self.disease = disease
        self.centre = centre
        self.brain = brain
        self.body = body
        self.space = space
        self.group = group
        self.note = note
        rng = self._stream("calendar")
        day = datetime(2014, 1, 6) + timedelta(days=int(rng.integers(0, 700)))
        self.mri_start = day + timedelta(minutes=int(rng.integers(8 * 60, 16 * 60)))
        self.rows: list[dict[str, Any]] = []
        self._series_number = 0

    def _stream(self, purpose: str) -> np.random.Generator:
        return person.stream(self.plan.seed, self.plan.cohort, self.name, purpose)

    def _begin(self, out: Path) -> tuple[Path, Path]:
        """Folders of the person's scans and of their truth."""
        truth = out / "truth" / f"sub-{self.label}"
        truth.mkdir(parents=True)
        return out / "loni" / self.ptid, truth

    # --- series ---------------------------------------------------------------------------------

    def _list(
        self, loni: Path, description: str, modality: str, form: str, start: datetime
    ) -> tuple[Path, int]:
        """Number a series and list it in the collection; its folder and LONI's number of it."""
        self._series_number += 1
        scanner = self.plan.scanner
        site, _, number = self.ptid.split("_")
        image_id = int(f"{site}{number}{self._series_number:02d}")
        self.rows.append(
            {
                "Image Data ID": f"{scanner.image_id_prefix}{image_id}",
                "Subject": self.ptid,
                "Group": self.group,
                "Sex": self.disease.sex,
                "Age": int(self.disease.age),
                "Visit": "bl",
                "Modality": modality,
                "Description": description,
                "Type": "Original",
                "Acq Date": f"{start.month}/{start.day}/{start.year}",
                "Format": form,
                "Downloaded": "",
            }
        )
        name = re.sub(r"[^A-Za-z0-9.-]", "_", description)
        return loni / name / f"{start:%Y-%m-%d_%H_%M_%S}.0" / f"I{image_id}", image_id

    def _series(
        self, loni: Path, description: str, modality: str, start: datetime, header: dict[str, Any]
    ) -> tuple[Path, dicom.Series]:
        """List a DICOM series; its folder and what every image of it says."""
        kind = "PET" if modality == "PT" else "MRI"
        folder, image_id = self._list(loni, description, kind, "DCM", start)
        scanner, disease = self.plan.scanner, self.disease
        series = dicom.Series(
            f"{self.plan.cohort}/{self.plan.seed}", self.ptid, image_id, self._series_number,
            description, modality, start,
            {
                "Manufacturer": scanner.manufacturer,
                "SoftwareVersions": scanner.software,
                "PatientSex": disease.sex,
                "PatientAge": f"{int(disease.age):03d}Y",
                "PatientWeight": str(disease.weight_kg),
                **header,
            },
            self.note,
        )  # fmt: skip
        return folder, series

    def _pet(self, loni: Path, truth: Path, tracer: str, index: int) -> list[np.ndarray]:
        """Write one PET series and its truth; return the pose of the head in every frame."""
        entry = self.plan.tracers[tracer]
        scanner = self.plan.scanner
        rng = self._stream(tracer)
        image = pet.uptake(tracer, entry.reference_region, self.brain, self.disease, rng)
        schedule = pet.frames(entry.frames_min)
        pose = geometry.random_rigid(rng, 8, 12, self.centre)
        neck = geometry.apply(pose, self.centre)
        moves = [geometry.random_rigid(rng, 0.6, 0.8, neck) for _ in schedule[1:]]
        poses = [pose, *(move @ pose for move in moves)]
        above = np.array([0.0, -8.0, 12.0])
        middle = geometry.apply(pose, self.centre + above) + rng.uniform(-2, 2, 3)
        tomograph = scanner.pet
        grid = geometry.Grid.centred(tomograph.shape, tomograph.voxel_mm, geometry.AXIAL, middle)

        # PBR28 and PiB carry carbon-11, the other ligands of the field fluorine-18.
        nuclide = "C11" if entry.ligand.upper() in {"PBR28", "PIB", "PK11195"} else "F18"
        half_life = pet.HALF_LIFE_S[nuclide]
        volumes = pet.scan(self.body, image, tomograph, grid, poses, schedule, half_life, rng)
        dose = float(round(rng.normal(370e6 if nuclide == "F18" else 550e6, 20e6)))
        injection = (self.mri_start + timedelta(days=7 + 14 * index)).replace(hour=9, minute=12)
        start = injection + timedelta(seconds=schedule[0].start_s)
        # START refers activity to the begin of the scan, ADMIN to the injection.
        at_start = tomograph.decay_correction == "START"
        reference_s = schedule[0].start_s if at_start else 0.0
        decay = np.log(2) / half_life
        scale = 1.1 * dose / (1000 * self.disease.weight_kg) * np.exp(-decay * reference_s)
        factors = [
            decay * f.duration_s / (1 - np.exp(-decay * f.duration_s))
            * np.exp(decay * (f.start_s - reference_s))
            for f in schedule
        ]  # fmt: skip
        ligand = entry.ligand if at_start else (entry.aliases or (entry.ligand,))[0]
        header = {
            "ManufacturerModelName": tomograph.model,
            "Units": "BQML",
            "CountsSource": "EMISSION",
            "DecayCorrection": tomograph.decay_correction,
            "CorrectedImage": ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"],
            "RandomsCorrectionMethod": "DLYD",
            "AttenuationCorrectionMethod": "CT-derived mu-map",
            "ScatterCorrectionMethod": "Model-based",
            "ReconstructionMethod": tomograph.reconstruction,
            "ConvolutionKernel": f"Gauss{tomograph.filter_mm:.2f}",
            "CollimatorType": "NONE",
            "DoseCalibrationFactor": "1",
            "RadiopharmaceuticalInformationSequence": dicom.radiopharmaceutical(
                ligand, nuclide, injection, half_life, dose
            ),
        }
        folder, series = self._series(
            loni, tomograph.description.format(ligand=ligand), "PT", start, header
        )
        dicom.write_pet(
            folder, series, grid, [scale * v for v in volumes], schedule, factors,
            scanner.descending,
        )  # fmt: skip
        for kind, volume in (("noisefree", image.suvr), ("predictable", image.predictable)):
            self._save_uptake(truth, f"trc-{tracer}_space-{self.space}_desc-{kind}_pet", volume)
        middle = len(schedule) // 2
        ceiling = pet.noise_free(self.body, image.predictable, tomograph, grid, poses[middle])
        self._save_predictable(truth, tracer, ceiling, grid, schedule[middle])
        return poses

    def _pets(self, loni: Path, truth: Path, from_t1w: np.ndarray) -> dict[str, Any]:
        """Write all PET; per tracer its poses relative to the T1w.

        ``from_t1w`` (4, 4) maps points of the T1w to the head frame.
        """
        scans = {}
        for index, tracer in enumerate(self.plan.tracers):
            poses = self._pet(loni, truth, tracer, index)
            scans[tracer] = {"rigid_T1w_to_frame": [(p @ from_t1w).tolist() for p in poses]}
        return scans

    # --- truth ----------------------------------------------------------------------------------

    def _save(
        self, truth: Path, name: str, data: np.ndarray, affine: np.ndarray, *, note: str = ""
    ) -> None:
        nifti.save_nifti(truth / f"sub-{self.label}_{name}.nii.gz", data, affine, note=note)

    def _save_uptake(self, truth: Path, name: str, volume: np.ndarray) -> None:
        # Rounded to 1/1024: far below any noise, and a quarter of the size once compressed.
        coarse = (np.round(volume * 1024) / 1024).astype(np.float32)
        self._save(truth, name, coarse, self.brain.affine, note=Kind.SIMULATED.mark)

    def _save_predictable(
        self, truth: Path, tracer: str, volume: np.ndarray, grid: geometry.Grid, frame: pet.Frame
    ) -> None:
        """Write what anatomy determines of a PET, on the scan's grid, where one frame lies."""
        file = truth / paths.predictable_truth(self.label, tracer)
        nifti.save_nifti(file, volume, grid.affine, note=Kind.SIMULATED.mark, compact=True)
        about = {
            "Description": "Uptake that anatomy, stage and lesions determine, as the tomograph "
            "would show it with endless counts, in the pose of the frame that is timed here",
            "FrameTimesStart": [frame.start_s],
            "FrameDuration": [frame.duration_s],
        }
        fileio.write_json(fileio.beside(file, ".json"), about)

    def _facts(self) -> dict[str, Any]:
        """What truth.json says of everybody."""
        disease = self.disease
        return {
            "subject": self.label,
            "ptid": self.ptid,
            "seed": self.plan.seed,
            "stage": disease.stage,
            "amyloid_load": disease.amyloid_load,
            "amyloid_load_expected": disease.amyloid_expected,
            "tau_shift": disease.tau_shift,
            "tspo_gain": disease.tspo_gain,
            "lesion_load_ml": disease.lesion_load_ml,
        }


class Study(Visit):
    """A phantom's visit; :meth:`write` makes every file below a cohort's folder."""

    def __init__(self, plan: Plan, ptid: str):
        self.anatomy = anatomy = person.build(plan.seed, plan.cohort, ptid)
        super().__init__(
            plan, ptid, ptid, anatomy.latent, geometry.apply(anatomy.affine, head.HEAD_CENTRE),
            of_template(anatomy), pet.Body.of_template(anatomy),
            space="MNI", group=anatomy.latent.group, note=dicom.NOTE,
        )  # fmt: skip

    def write(self, out: Path) -> list[dict[str, Any]]:
        """Write scans and truth below ``out``; return the rows of the collection CSV."""
        loni, truth = self._begin(out)
        scanner = self.plan.scanner
        self._localizer(loni)
        t1w = self._mri(loni, "T1w", scanner.t1w, geometry.SAGITTAL, 0.0)
        flair = self._mri(
            loni, "FLAIR", scanner.flair, geometry.AXIAL, 10 + 3 * self._stream("tilt").normal()
        )
        self._field_map(loni)
        from_t1w = np.linalg.inv(t1w[1])
        scans: dict[str, Any] = {"FLAIR": {"rigid_T1w_to_scan": (flair[1] @ from_t1w).tolist()}}
        scans["T1w"] = {"rigid_T1w_to_scan": np.eye(4).tolist()}
        scans |= self._pets(loni, truth, from_t1w)
        self._truth(truth, *t1w, scans)
        return self.rows

    def _mri_header(self, header: Mapping[str, Any]) -> dict[str, Any]:
        scanner = self.plan.scanner
        return {
            "ManufacturerModelName": scanner.mri_model,
            "MagneticFieldStrength": scanner.field_tesla,
            "ImagedNucleus": "1H",
            "ImagingFrequency": round(42.577 * scanner.field_tesla, 3),
            "NumberOfAverages": 1,
            "EchoTrainLength": 1,
            "BitsStored": 12,
            "HighBit": 11,
            **header,
        }

    def _mri(
        self, loni: Path, modality: str, sequence: Sequence, directions: np.ndarray, tilt_deg: float
    ) -> tuple[geometry.Grid, np.ndarray]:
        """Write one MRI series; return its grid and the pose of the head in it."""
        rng = self._stream(modality)
        pose = geometry.random_rigid(rng, 8, 12, self.centre)
        tilt = np.array([tilt_deg, 0, 0]) if tilt_deg else np.zeros(3)
        if tilt_deg:
            tilt = tilt + rng.uniform(-2, 2, 3)
        # FLAIR slices are spent on the brain, not on the neck.
        above = np.array([0, 0, 14.0]) if modality == "FLAIR" else np.zeros(3)
        middle = geometry.apply(pose, self.centre + above) + rng.uniform(-2, 2, 3)
        grid = geometry.Grid.centred(
            sequence.shape, sequence.voxel_mm, geometry.rotation(tilt) @ directions, middle
        )
        pixels = mri.scan(self.anatomy, sequence, grid, pose, rng)
        start = self.mri_start + timedelta(minutes=5 if modality == "T1w" else 16)
        folder, series = self._series(
            loni, sequence.description, "MR", start, self._mri_header(sequence.header)
        )
        dicom.write_mri(folder, series, grid, pixels)
        return grid, pose

    def _noise_series(
        self, loni: Path, description: str, shape: tuple[int, int, int], minutes: int
    ) -> None:
        """A short series of no use to the study, as every visit has."""
        rng = self._stream(description)
        grid = geometry.Grid.centred(shape, (4.0, 4.0, 8.0), geometry.AXIAL, np.zeros(3))
        header = {
            "ScanningSequence": "GR",
            "SequenceVariant": "SP",
            "MRAcquisitionType": "2D",
            "RepetitionTime": 20,
            "EchoTime": 5,
            "FlipAngle": 40,
        }
        folder, series = self._series(
            loni, description, "MR", self.mri_start + timedelta(minutes=minutes),
            self._mri_header(header),
        )  # fmt: skip
        pixels = rng.integers(0, 200, shape).astype(np.uint16)
        dicom.write_mri(folder, series, grid, pixels)

    def _localizer(self, loni: Path) -> None:
        self._noise_series(loni, "3 Plane Localizer", (64, 64, 3), 0)

    def _field_map(self, loni: Path) -> None:
        self._noise_series(loni, "Field Mapping", (64, 64, 4), 25)

    def _truth(
        self, truth: Path, grid: geometry.Grid, pose: np.ndarray, scans: dict[str, Any]
    ) -> None:
        base, mark = head.template(), Kind.SIMULATED.mark
        points = geometry.Grid(POINTS_SHAPE, POINTS_AFFINE).points()
        points = geometry.apply(pose, self.anatomy.to_head(points)).astype(np.float32)
        self._save(truth, "from-MNI_to-T1w_points", points, POINTS_AFFINE, note=mark)
        where = self.anatomy.mni_points(grid, pose, stride=2)
        brain = geometry.sample([base.brain], base.tissue_affine, where)[0] > 0.5
        # Voxels in the order of a canonical (right, anterior, superior) image.
        flip = np.array([[0, 0, 1, 0], [-1, 0, 0, grid.shape[0] - 1], [0, -1, 0, grid.shape[1] - 1],
                         [0, 0, 0, 1]])  # fmt: skip
        canonical = grid.affine @ np.linalg.inv(flip)
        brain = np.transpose(brain, (2, 0, 1))[:, ::-1, ::-1]
        self._save(truth, "space-T1w_desc-brain_mask", brain, canonical, note=mark)
        ventricle = geometry.sample([base.ventricle], head.SUVR_AFFINE, where)
        lesion = self.anatomy.lesion > 0.5
        self._save(truth, "space-MNI_desc-lesion_mask", lesion, head.SUVR_AFFINE, note=mark)
        voxel_ml = float(np.prod(grid.voxel_mm)) / 1000
        fileio.write_json(
            truth / "truth.json",
            {
                "note": dicom.NOTE,
                **self._facts(),
                "ventricle_ml": float(ventricle.sum()) * voxel_ml,
                "brain_ml": float(brain.sum()) * voxel_ml,
                "age": self.disease.age,
                "sex": self.disease.sex,
                "group": self.group,
                "scans": scans,
            },
        )


def write_subject(plan: Plan, ptid: str, out: Path) -> list[dict[str, Any]]:
    """Write one subject's scans and truth below ``out``; return its rows of the collection CSV."""
    return Study(plan, ptid).write(out)
