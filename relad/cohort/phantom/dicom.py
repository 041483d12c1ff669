"""DICOM series of simulated scans, with the headers that a converter to NIfTI reads.

Identifiers and dates follow from their arguments alone, so the same scan has the same bytes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from relad.cohort.phantom.geometry import Grid
from relad.cohort.phantom.pet import Frame

NOTE = "SIMULATED DATA: digital phantom, no patient"
MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
PET_STORAGE = "1.2.840.10008.5.1.4.1.1.128"
_PIXEL_DATA = 0x7FE00010
_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Series:
    """What every image of one series says.

    Attributes
    ----------
    study
        Cohort and seed: with ``ptid`` they make the unique identifiers.
    image_id
        LONI's number of the series, without the "I".
    start
        Begin of the acquisition.
    header
        Further attributes by DICOM keyword.
    note
        What the comments of every image say.
    """

    study: str
    ptid: str
    image_id: int
    number: int
    description: str
    modality: str
    start: datetime
    header: Mapping[str, Any]
    note: str = NOTE


def _dicom_time(moment: datetime) -> str:
    return moment.strftime("%H%M%S.%f")


def _decimal(value: float) -> str:
    """A DICOM decimal string, 16 bytes at most."""
    return f"{value:.10g}"[:16]


def _uid(series: Series, *names: str) -> str:
    return generate_uid(entropy_srcs=["relad", series.study, series.ptid, *names])


def _series_uid(series: Series) -> str:
    return _uid(series, "series", str(series.image_id))


def _shared(series: Series, grid: Grid) -> Dataset:
    """The attributes that all images of a series share."""
    storage = PET_STORAGE if series.modality == "PT" else MR_STORAGE
    day = series.start.strftime("%Y%m%d")
    directions = _TO_LPS @ (grid.affine[:3, :3] / grid.voxel_mm)
    dataset = Dataset()
    attributes: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "SOPClassUID": storage,
        "StudyDate": day,
        "SeriesDate": day,
        "AcquisitionDate": day,
        "ContentDate": day,
        "StudyTime": _dicom_time(series.start),
        "SeriesTime": _dicom_time(series.start),
        "AcquisitionTime": _dicom_time(series.start),
        "ContentTime": _dicom_time(series.start),
        "AccessionNumber": "",
        "Modality": series.modality,
        "InstitutionName": "SIMULATED",
        "StudyDescription": "SIMULATED",
        "SeriesDescription": series.description,
        "PatientName": series.ptid,
        "PatientID": series.ptid,
        "PatientBirthDate": "",
        "PatientComments": series.note,
        "ImageComments": series.note,
        "ProtocolName": series.description,
        "PatientPosition": "HFS",
        "StudyInstanceUID": _uid(series, "study", day),
        "SeriesInstanceUID": _series_uid(series),
        "StudyID": "1",
        "SeriesNumber": series.number,
        "AcquisitionNumber": 1,
        "FrameOfReferenceUID": _uid(series, "frame", day),
        "PositionReferenceIndicator": "",
        "ImageOrientationPatient": [_decimal(v) for v in directions[:, :2].T.ravel()],
        "PixelSpacing": [_decimal(v) for v in grid.voxel_mm[[1, 0]]],
        "SliceThickness": _decimal(grid.voxel_mm[2]),
        "SpacingBetweenSlices": _decimal(grid.voxel_mm[2]),
        "Columns": grid.shape[0],
        "Rows": grid.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(series.modality == "PT"),
        **series.header,
    }
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def _encode(dataset: Dataset) -> dict[int, bytes]:
    """Each element of a dataset as explicit-VR little-endian bytes, by tag."""
    encoded = {}
    for element in dataset:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element, "iso8859")
        encoded[int(element.tag)] = buffer.getvalue()
    return encoded


def _file_meta(storage: str, uid: str) -> bytes:
    """Preamble and file meta information (PS3.10, 7.1)."""
    empty = Dataset()
    empty.file_meta = FileMetaDataset()
    empty.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    empty.file_meta.MediaStorageSOPClassUID = storage
    empty.file_meta.MediaStorageSOPInstanceUID = uid
    buffer = io.BytesIO()
    dcmwrite(buffer, empty, enforce_file_format=True)
    return buffer.getvalue()


def _write_slices(
    folder: Path,
    series: Series,
    grid: Grid,
    shared: dict[int, bytes],
    pixels: np.ndarray,
    *,
    first: int = 1,
    descending: bool = False,
) -> None:
    """Write the slices (columns, rows, slices) of one volume, numbered from ``first``.

    ``shared`` is encoded once: a study is thousands of files, and encoding every element of each
    would take longer than simulating them.
    """
    normal = grid.affine[:3, 2] / grid.voxel_mm[2]
    stem = series.description.replace(" ", "_")
    storage = PET_STORAGE if series.modality == "PT" else MR_STORAGE
    # Numbers of one width keep every file's meta information as long as the first one's.
    stem_uid = _series_uid(series)[:56]
    uids = [f"{stem_uid}.{10000 + first + n}" for n in range(grid.shape[2])]
    file_meta = _file_meta(storage, uids[0])
    slices = range(grid.shape[2])
    for number, k in enumerate(reversed(slices) if descending else slices, start=first):
        corner = grid.affine[:3, :3] @ [0, 0, k] + grid.affine[:3, 3]
        one = Dataset()
        one.SOPInstanceUID = uids[number - first]
        one.InstanceNumber = number
        one.ImagePositionPatient = [_decimal(v) for v in _TO_LPS @ corner]
        one.SliceLocation = _decimal(corner @ normal)
        if series.modality == "PT":
            one.ImageIndex = number
        elements = shared | _encode(one)
        data = np.ascontiguousarray(pixels[:, :, k].T).astype("<u2").tobytes()
        elements[_PIXEL_DATA] = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, len(data)) + data
        name = (
            f"{series.ptid}_{series.modality}_{stem}_br_raw_{series.start:%Y%m%d%H%M%S}000_"
            f"{number}_S{series.image_id}_I{series.image_id}.dcm"
        )
        body = b"".join(elements[tag] for tag in sorted(elements))
        meta = file_meta.replace(uids[0].encode(), one.SOPInstanceUID.encode())
        (folder / name).write_bytes(meta + body)


def write_mri(folder: Path, series: Series, grid: Grid, pixels: np.ndarray) -> None:
    """Write an MRI series: ``pixels`` (columns, rows, slices) uint16."""
    folder.mkdir(parents=True)
    _write_slices(folder, series, grid, _encode(_shared(series, grid)), pixels)


def radiopharmaceutical(
    ligand: str, nuclide: str, injection: datetime, half_life_s: float, dose_bq: float
) -> Items:
    """The Radiopharmaceutical Information Sequence (0054,0016)."""
    code = Dataset()
    code.CodeValue = {"F18": "C-111A1", "C11": "C-105A1"}[nuclide]
    code.CodingSchemeDesignator = "SRT"
    code.CodeMeaning = {"F18": "^18^Fluorine", "C11": "^11^Carbon"}[nuclide]
    item = Dataset()
    item.Radiopharmaceutical = ligand
    item.RadiopharmaceuticalStartTime = _dicom_time(injection)
    item.RadiopharmaceuticalStartDateTime = injection.strftime("%Y%m%d%H%M%S.%f")
    item.RadionuclideTotalDose = _decimal(dose_bq)
    item.RadionuclideHalfLife = _decimal(half_life_s)
    item.RadionuclidePositronFraction = {"F18": "0.967", "C11": "0.998"}[nuclide]
    item.RadionuclideCodeSequence = Items([code])
    return Items([item])


def write_pet(
    folder: Path,
    series: Series,
    grid: Grid,
    volumes: list[np.ndarray],
    schedule: list[Frame],
    decay_factors: list[float],
    descending: bool,
) -> None:
    """Write a dynamic PET series.

    Parameters
    ----------
    volumes
        Per frame, (columns, rows, slices) activity in Bq/ml.
    schedule
        Times of the frames after injection; the series starts with the first.
    decay_factors
        Per frame, the factor by which its activity was multiplied.
    descending
        Whether image 1 is the topmost slice.
    """
    folder.mkdir(parents=True)
    slices = grid.shape[2]
    dataset = _shared(series, grid)
    dataset.SeriesType = ["DYNAMIC", "IMAGE"]
    dataset.NumberOfSlices = slices
    dataset.NumberOfTimeSlices = len(schedule)
    dataset.RescaleIntercept = "0"
    for index, (frame, volume, factor) in enumerate(
        zip(schedule, volumes, decay_factors, strict=True)
    ):
        since_start = frame.start_s - schedule[0].start_s
        moment = series.start + timedelta(seconds=since_start)
        slope = float(_decimal(max(float(volume.max()), 1.0) / 32000))
        dataset.AcquisitionDate = moment.strftime("%Y%m%d")
        dataset.AcquisitionTime = _dicom_time(moment)
        dataset.ContentTime = _dicom_time(moment)
        dataset.FrameReferenceTime = _decimal(1000 * (since_start + frame.duration_s / 2))
        dataset.ActualFrameDuration = round(1000 * frame.duration_s)
        dataset.TemporalPositionIdentifier = index + 1
        dataset.DecayFactor = _decimal(factor)
        dataset.RescaleSlope = _decimal(slope)
        pixels = np.round(volume / slope).astype(np.int16)
        _write_slices(
            folder, series, grid, _encode(dataset), pixels,
            first=1 + index * slices, descending=descending,
        )  # fmt: skip
