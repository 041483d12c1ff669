"""A model small enough to be trained in a test, and a person whose preprocessing took no time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from relad import cli
from relad.fileio import read_json, write_json, write_table
from relad.imaging.nifti import save_nifti
from relad.qc.limits import judge
from relad.registration.inputs import Session
from relad.status import SubjectStatus
from relad.steps.normalize import write_normalized
from relad.study.settings import PreprocessSettings, plain, typed
from tests.helpers import registered
from tests.helpers.packing import TRACERS, WINDOWS, write_packed
from tests.helpers.settings import study, tracer
from tests.helpers.trainings import settings as training
from tests.helpers.trainings import train

#: Options of a prediction of :mod:`tests.helpers.registered` that takes no time.
QUICK = ["--steps", "2", "--samples", "3", "--threads", "1", "--subject", registered.SUBJECT]
#: As small as the head of :mod:`tests.helpers.registered` can be brought to.
GRID = {"voxel_mm": 8.0, "shape": [24, 28, 24], "deform": False}
#: Nobody is turned away but by what a test says.
LIMITS = {"min_registration_correlation": -1, "min_brain_overlap_dice": 0, "min_head_margin": -1}
LIMITS |= {"min_flair_margin": -1, "min_flair_correlation_ratio": 0, "min_coverage": 0}


def preprocessing(**registration: Any) -> dict[str, Any]:
    """Settings of the preprocessing as plain data, as a packed cohort keeps them."""
    known = {name: tracer("X", suvr_window=list(WINDOWS[name])) for name in TRACERS}
    how = {"to_mni": "affine", "brain_extraction": "template"} | registration
    whole = study(tracers=known, registration=how, grid=GRID, qc=LIMITS)
    return plain(typed(PreprocessSettings, whole))


def write_cohort(folder: Path, *, only: tuple[str, ...] = TRACERS) -> Path:
    """A packed cohort on :data:`GRID` that knows scanners, volumes and preprocessing."""
    write_packed(folder, shape=tuple(GRID["shape"]), cohort="toy")
    info = read_json(folder / "dataset.json")
    write_json(folder / "dataset.json", info | {"preprocessing": preprocessing(), "kind": "real"})
    table = folder / "subjects.tsv"
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    people = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    for number, row in enumerate(people):
        row |= {"age": 60 + number, "scanner": "Siemens Prisma 3 T", "tracers": ",".join(only)}
        row["brain_volume_ml"] = 1300 + 50 * number
    write_table(table, people, rows[0])
    return folder


def write_model(folder: Path, cohort: Path, method: str = "rela", **entry: Any) -> Path:
    """Train a method of :mod:`tests.helpers.trainings` on fold 0 of a cohort."""
    part = training()
    part["methods"][method] |= entry
    assert train(cohort, folder, method, part) == 0
    return folder


def write_scans(folder: Path) -> tuple[Path, Path]:
    """Write the T1w and FLAIR of :mod:`tests.helpers.registered` as a person's raw scans."""
    made = []
    poses = {"T1w": registered.MNI_TO_T1W,
             "FLAIR": registered.T1W_TO_FLAIR @ registered.MNI_TO_T1W}  # fmt: skip
    for kind, pose in poses.items():
        data, affine = registered.scan(kind, pose)
        file = folder / f"{kind}.nii.gz"
        save_nifti(file, np.rint(data).astype(np.int16), affine)
        write_json(folder / f"{kind}.json", {"Manufacturer": "GE", "MagneticFieldStrength": 3})
        made.append(file)
    return made[0], made[1]


def preprocess(
    session: Session, out: Path, subject: str, settings: PreprocessSettings, **_: Any
) -> SubjectStatus:
    """In place of `relad preprocess`: the person of :mod:`tests.helpers.registered`, registered."""
    assert subject == registered.SUBJECT and session.t1w.is_file()
    out.mkdir()
    folder = registered.write_registered(out / "registered")
    status = SubjectStatus.read(folder)
    for scan in status.mri.values():
        scan.simulated = False
    status.pet = {}
    status.write(folder)
    status = judge(write_normalized(folder, out, subject, settings, {}), settings.qc)
    status.write(out)
    return status


def predict(model: Path, out: Path, *words: str | Path) -> int:
    return cli.main(["predict", str(model), *map(str, words), str(out)])


def of_person(root: Path, tracer: str = "tau") -> list[str | Path]:
    scans = root / "scans"
    return ["--t1", scans / "T1w.nii.gz", "--flair", scans / "FLAIR.nii.gz", "--tracer", tracer]


def series(
    tmp: Path, name: str, patient: str, modality: str = "MR", count: int = 3, description: str = ""
) -> Path:
    """A small DICOM series."""
    folder = tmp / name
    folder.mkdir()
    uid = pydicom.uid.generate_uid()
    for number in range(count):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        data = pydicom.Dataset()
        data.file_meta = meta
        data.Modality, data.PatientID, data.SeriesInstanceUID = modality, patient, uid
        data.SeriesDescription = description
        data.Rows = data.Columns = 8
        data.BitsAllocated = data.BitsStored = 16
        data.SamplesPerPixel, data.PixelRepresentation = 1, 0
        data.PhotometricInterpretation, data.PixelSpacing = "MONOCHROME2", [1, 1]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [0, 0, float(number)]
        data.InstanceNumber = number + 1
        data.PixelData = np.arange(64, dtype=np.uint16).tobytes()
        data.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def write_bids(root: Path, folder: Path, *labels: str) -> Path:
    write_json(folder / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.10.0"})
    for label in labels:
        for kind in ("T1w", "FLAIR"):
            for ending in (".nii.gz", ".json"):
                file = folder / f"sub-{label}" / "anat" / f"sub-{label}_{kind}{ending}"
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / "scans" / f"{kind}{ending}", file)
    (folder / "participants.tsv").write_text(f"participant_id\tage\nsub-{labels[0]}\t45\n")
    return folder
