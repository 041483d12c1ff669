"""Tiny LONI downloads for tests: DICOM series made by pydicom, and their collection CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from relad.fileio import read_table
from relad.study.paths import REPOSITORY
from tests.helpers.settings import ingest_settings, tracer

HEADER = (
    "Image Data ID", "Subject", "Group", "Sex", "Age", "Visit", "Modality", "Description", "Type",
    "Acq Date", "Format", "Downloaded",
)  # fmt: skip
COLUMNS, ROWS, SLICES = 10, 12, 6
SPACING = (2.0, 2.5, 3.0)  # columns, rows, slices in mm
MINUTE = 60

#: Real headers and generated cases that are no part of the project; tests skip where it is absent.
SHARED = Path(os.environ.get("RELAD_SHARED", REPOSITORY.parent / "shared"))

Change = Callable[[Dataset, int, int], None]


def clock(seconds: float) -> str:
    return f"{int(seconds) // 3600 % 24:02d}{int(seconds) // 60 % 60:02d}{seconds % 60:09.6f}"


def voxels(image: int, frame: int = 0) -> np.ndarray:
    """Stored values (SLICES, ROWS, COLUMNS) uint16 of a test image."""
    rng = np.random.default_rng([image, frame])
    return rng.integers(1, 3000, (SLICES, ROWS, COLUMNS), dtype=np.uint16)


def expected(image: int, frame: int = 0) -> np.ndarray:
    """The same in RAS order of axes (x, y, z): DICOM's rows run to posterior, columns to left."""
    return voxels(image, frame).transpose(2, 1, 0)[::-1, ::-1].astype(np.float32)


def _base(image: int, ptid: str, number: int) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SeriesInstanceUID = f"1.2.3.{image}"
    data.StudyInstanceUID = "1.2.3"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{image}.{number}"
    data.PatientID, data.PatientName, data.PatientPosition = ptid, "Nobody", "HFS"
    data.Manufacturer, data.ManufacturerModelName = "SIEMENS", "Test"
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = "20200203"
    data.StudyTime = "080000"
    data.SeriesNumber, data.InstanceNumber, data.AcquisitionNumber = 2, number, 1
    data.Rows, data.Columns = ROWS, COLUMNS
    data.PixelSpacing = [SPACING[1], SPACING[0]]
    data.SliceThickness = SPACING[2]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 0, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    return data


def _save(data: Dataset, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(file, data, enforce_file_format=True)


def folder(root: Path, ptid: str, description: str, leaf: str) -> Path:
    safe = "".join(c if c.isalnum() or c in "-." else "_" for c in description)
    return root / ptid / safe / "2020-02-03_08_00_00.0" / leaf


def write_mri(
    root: Path,
    ptid: str,
    image: int,
    description: str,
    *,
    leaf: str = "",
    change: Change | None = None,
) -> list[Path]:
    """A classic MRI series, one file per slice; ``change(header, slice, 0)`` edits each."""
    files = []
    for k in range(SLICES):
        data = _base(image, ptid, k + 1)
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.Modality, data.SeriesDescription = "MR", description
        data.SeriesTime = data.AcquisitionTime = "080500"
        data.ScanningSequence, data.SequenceVariant, data.MRAcquisitionType = "GR", "MP", "3D"
        data.EchoTime, data.RepetitionTime, data.InversionTime = 2.98, 2300.0, 900.0
        data.ImagePositionPatient = [0, 0, SPACING[2] * k]
        data.PixelData = voxels(image)[k].tobytes()
        if change:
            change(data, k, 0)
        name = f"ADNI_{ptid}_MR_{k + 1}_S9_I{image}.dcm"
        files.append(folder(root, ptid, description, leaf or f"I{image}") / name)
        _save(data, files[-1])
    return files


def write_enhanced_mri(root: Path, ptid: str, image: int, description: str) -> Path:
    """The same MRI as one enhanced (multi-frame) file."""
    data = _base(image, ptid, 1)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    data.Modality, data.SeriesDescription = "MR", description
    data.SeriesTime = data.AcquisitionTime = "080500"
    data.NumberOfFrames = SLICES
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = data.PixelSpacing, data.SliceThickness
    orientation.ImageOrientationPatient = data.ImageOrientationPatient
    del data.PixelSpacing, data.SliceThickness, data.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for k in range(SLICES):
        group, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, SPACING[2] * k]
        content.StackID, content.InStackPositionNumber = "1", k + 1
        content.DimensionIndexValues = [1, k + 1]
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    data.PixelData = voxels(image).tobytes()
    file = folder(root, ptid, description, f"S{image}") / f"ADNI_{ptid}_MR_1_S{image}_I{image}.dcm"
    _save(data, file)
    return file


def write_enhanced_pet(
    root: Path,
    ptid: str,
    image: int,
    description: str,
    *,
    frames: int = 2,
    slope: Callable[[int, int], float] = lambda k, frame: 0.5 + 0.25 * frame,
    manufacturer: str = "SIEMENS",
    start: float = (14 * 60 + 30) * MINUTE,
    injected: float = (13 * 60 + 10) * MINUTE,
    order: Callable[[list[tuple[int, int]]], list[tuple[int, int]]] = lambda planes: planes,
    change: Change | None = None,
) -> Path:
    """A dynamic PET in one enhanced file, 5-minute frames; ``slope(slice, frame)`` of each plane.

    ``order`` of its planes (frame, slice) in the file is by frame, then slice, unless another is
    given; ``change(group, slice, frame)`` edits each plane's functional group.
    """
    data = _base(image, ptid, 1)
    data.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.130")
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.Manufacturer, data.Modality, data.SeriesDescription = manufacturer, "PT", description
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    data.SeriesTime, data.Units = clock(start), "BQML"
    data.NumberOfFrames = frames * SLICES
    drug = Dataset()
    drug.Radiopharmaceutical = "Flortaucipir"
    drug.RadiopharmaceuticalStartTime, drug.RadionuclideHalfLife = clock(injected), 6586.2
    data.RadiopharmaceuticalInformationSequence = [drug]
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = data.PixelSpacing, data.SliceThickness
    orientation.ImageOrientationPatient = data.ImageOrientationPatient
    del data.PixelSpacing, data.SliceThickness, data.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    data.SharedFunctionalGroupsSequence = [shared]
    planes = order([(frame, k) for frame in range(frames) for k in range(SLICES)])
    groups = []
    for frame, k in planes:
        group, position, content, scale = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, SPACING[2] * k]
        content.StackID, content.InStackPositionNumber = "1", k + 1
        content.TemporalPositionIndex = frame + 1
        content.DimensionIndexValues = [1, k + 1, frame + 1]
        began = start + 5 * MINUTE * frame
        content.FrameAcquisitionDateTime = "20200203" + clock(began)
        content.FrameAcquisitionDuration = 5 * MINUTE * 1000.0
        scale.RescaleIntercept, scale.RescaleType = 0, "BQML"
        scale.RescaleSlope = f"{slope(k, frame):.10g}"
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        group.PixelValueTransformationSequence = [scale]
        if change:
            change(group, k, frame)
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    data.PixelData = b"".join(voxels(image, frame)[k].tobytes() for frame, k in planes)
    file = folder(root, ptid, description, f"I{image}") / f"ADNI_{ptid}_PT_1_S8_I{image}.dcm"
    _save(data, file)
    return file


def write_pet(
    root: Path,
    ptid: str,
    image: int,
    description: str,
    *,
    drug: str = "Flortaucipir",
    frames: int = 3,
    start: float = (14 * 60 + 30) * MINUTE,
    injected: float | None = (13 * 60 + 10) * MINUTE,
    change: Change | None = None,
) -> list[Path]:
    """A dynamic PET, 5-minute frames; ``start`` and ``injected`` in s of the day."""
    files, length = [], 5 * MINUTE
    for frame in range(frames):
        for k in range(SLICES):
            number = frame * SLICES + k + 1
            data = _base(image, ptid, number)
            data.SOPClassUID = PositronEmissionTomographyImageStorage
            data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
            data.Modality, data.SeriesDescription = "PT", description
            data.SeriesTime, data.AcquisitionTime = clock(start), clock(start + frame * length)
            data.SeriesType = ["DYNAMIC", "IMAGE"]
            data.Units, data.DecayCorrection, data.CountsSource = "BQML", "START", "EMISSION"
            data.NumberOfSlices, data.NumberOfTimeSlices = SLICES, frames
            data.ImageIndex = number
            data.ActualFrameDuration = length * 1000
            data.FrameReferenceTime = round((frame + 0.5) * length * 1000)
            data.ImagePositionPatient = [0, 0, SPACING[2] * k]
            data.RescaleSlope, data.RescaleIntercept = 0.5 + 0.25 * frame, 0
            item = Dataset()
            item.Radiopharmaceutical = drug
            if injected is not None:
                item.RadiopharmaceuticalStartTime = clock(injected)
            item.RadionuclideTotalDose, item.RadionuclideHalfLife = 3.7e8, 6586.2
            data.RadiopharmaceuticalInformationSequence = [item]
            data.PixelData = voxels(image, frame)[k].tobytes()
            if change:
                change(data, k, frame)
            name = f"ADNI_{ptid}_PT_{number}_S8_I{image}.dcm"
            files.append(folder(root, ptid, description, f"I{image}") / name)
            _save(data, files[-1])
    return files


def csv_row(image: int | str, ptid: str, description: str, modality: str = "MRI", **cells) -> dict:
    row = {
        "Image Data ID": f"I{image}" if isinstance(image, int) else image,
        "Subject": ptid, "Group": "CN", "Sex": "F", "Age": "74", "Visit": "ADNI3 Year-1",
        "Modality": modality, "Description": description, "Type": "Original",
        "Acq Date": "2/3/2020", "Format": "DCM", "Downloaded": "",
    }  # fmt: skip
    return {**row, **cells}


def write_csv(path: Path, rows: Sequence[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEADER, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return path


# --- a study of it, as the tests of ingest use it

TRACERS = {
    "tau": tracer("AV1451", aliases=["Flortaucipir"]),
    "amyloid": tracer("AV45", aliases=["Florbetapir"]),
}
SETTINGS = ingest_settings(TRACERS)
A, B, C = "941_S_0001", "941_S_0002", "941_S_0003"


def values(path: Path) -> np.ndarray:
    """Voxels in RAS order of axes."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)


def table(out: Path) -> dict[str, dict]:
    """Rows of ingest.tsv that stand for files, by image id."""
    return {r["image_id"]: r for r in read_table(out / "ingest.tsv") if r["n_files"] != "0"}


def good_subject(loni: Path, ptid: str, first: int) -> list[dict]:
    """T1w, FLAIR and tau PET of one subject; returns their rows of the collection."""
    write_mri(loni, ptid, first, "MPRAGE")
    write_mri(loni, ptid, first + 1, "Axial T2-FLAIR")
    write_pet(loni, ptid, first + 2, "AV-1451 Dynamic")
    return [
        csv_row(first, ptid, "MPRAGE"),
        csv_row(str(first + 1), ptid, "Axial T2-FLAIR"),
        csv_row(first + 2, ptid, "AV-1451 Dynamic", "PET", **{"Acq Date": "2/17/2020"}),
    ]


def write_media_directory(file: Path) -> Path:
    """The DICOMDIR of a CD, which lists one patient."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data, patient = pydicom.Dataset(), pydicom.Dataset()
    data.file_meta, data.FileSetID = meta, "CD"
    patient.DirectoryRecordType, patient.PatientID = "PATIENT", "Ann"
    data.DirectoryRecordSequence = [patient]
    data.save_as(file, enforce_file_format=True)
    return file


def put(header: Dataset, **elements: Any) -> None:
    """Set elements of a header, or of an item of it; None removes one."""
    for key, value in elements.items():
        if value is None:
            delattr(header, key)
        else:
            setattr(header, key, value)
