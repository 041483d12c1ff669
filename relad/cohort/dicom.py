"""DICOM headers: is every file whole, do the files belong together, is every slice there.

One pass over the headers (pixels are not read) answers all three, for classic series (a file per
slice) and for enhanced ones (a file per series). The voxels are left to dcm2niix; what PET's
headers say of times and units is in :mod:`relad.cohort.dicom_pet`.
"""

from __future__ import annotations

import math
import os
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from relad.errors import DataError

#: A gap between slices this many times the usual one means that a slice is missing.
GAP = 1.5
#: Gaps may differ from the usual one by this share of it; headers round positions.
UNEVEN = 0.1
#: A slice further than this (mm) from the line through its neighbours was not acquired with them.
OFF_LINE_MM = 1.0
#: ADNI's identifiers of subjects.
STUDY_ID = re.compile(r"\d{3}_S_\d{4,}")
#: What all files of one series must agree in.
SHARED_KEYS = (
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Units",
)
_LONG_LENGTH = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN")


@dataclass(frozen=True)
class Plane:
    """One image plane: where it lies (mm, DICOM's LPS) and when it was acquired."""

    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    acquired: datetime | None
    duration_s: float | None
    reference_s: float | None
    order: int
    decay_factor: float | None
    file: Path


@dataclass(frozen=True)
class Frame:
    """One volume of a series.

    Attributes
    ----------
    start
        Start of its acquisition.
    duration_s, reference_s
        Duration; time of the mean count rate after the series' start; None where not told.
    planes
        All of its planes, from bottom to top along the slices' normal.
    """

    start: datetime | None
    duration_s: float | None
    reference_s: float | None
    planes: tuple[Plane, ...]

    @property
    def sample(self) -> Plane:
        """Its middle plane."""
        return self.planes[len(self.planes) // 2]


@dataclass(frozen=True)
class Series:
    """What the headers of one complete series say."""

    header: pydicom.Dataset
    frames: tuple[Frame, ...]


def read_header(path: Path) -> pydicom.Dataset:
    """Read one file's header and check by its length that all of its pixels are there.

    Raises
    ------
    DataError
        Where the file cannot be read, is not DICOM, holds no image, or ends too early.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values out of DICOM's norm are frequent and harmless
            header = pydicom.dcmread(file, stop_before_pixels=True)
            start = file.tell()
            element = file.read(12)
            size = os.fstat(file.fileno()).st_size
            if header.get("Rows") is None or header.get("Columns") is None or len(element) < 8:
                raise DataError(
                    "ends before its pixels or holds no image (truncated?)", file=path.name
                )
            syntax = header.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
            if syntax.is_deflated:
                return header  # its length tells nothing; the conversion has to find out
            order = "<" if syntax.is_little_endian else ">"
            if not syntax.is_implicit_VR and element[4:6] in _LONG_LENGTH:
                (length,) = struct.unpack(order + "I", element[8:12])
                start += 12
            else:
                (length,) = struct.unpack(order + "I", element[4:8])
                start += 8
            if length == 0xFFFFFFFF:
                # Compressed pixels end with a sequence delimiter; trailing padding may follow it.
                file.seek(max(start, size - 64))
                if b"\xfe\xff\xdd\xe0" not in file.read():
                    raise DataError("truncated (the compressed pixels have no end)", file=path.name)
                return header
    except DataError:
        raise
    except pydicom.errors.InvalidDicomError:
        raise DataError("not a DICOM file", file=path.name) from None
    except Exception as error:  # damaged headers raise nearly every built-in exception in pydicom
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot be read ({said})", file=path.name) from None
    needed = math.ceil(
        int(header.Rows)
        * int(header.Columns)
        * int(header.get("SamplesPerPixel", 1))
        * int(header.get("NumberOfFrames", 1) or 1)
        * int(header.get("BitsAllocated", 16))
        / 8
    )
    present = min(length, size - start)
    if present < max(needed, length):
        raise DataError(
            f"truncated (holds {present} of {max(needed, length)} bytes of pixels)", file=path.name
        )
    if length > needed + 1:  # one byte of padding to an even length
        raise DataError(
            f"holds {length} bytes of pixels where its header tells of {needed}", file=path.name
        )
    return header


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _seconds(milliseconds: Any) -> float | None:
    return None if milliseconds in (None, "") else float(milliseconds) / 1000.0


def moment_of(date: Any, time: Any) -> datetime | None:
    """Date (``YYYYMMDD``) and time (``HHMMSS.f``) of two elements as one moment."""
    date, time = str(date or "").strip(), str(time or "").strip()
    if len(date) < 8 or len(time) < 4:
        return None
    return parse_moment(date[:8] + time.replace(":", ""))


def parse_moment(text: Any) -> datetime | None:
    """DICOM DT ``YYYYMMDDHHMMSS.FFFFFF``; a UTC offset is ignored, since all share one clock."""
    text = str(text or "").strip().partition("+")[0].partition("-")[0]
    whole, _, fraction = text.partition(".")
    if len(whole) < 12 or not whole.isdigit():
        return None
    try:
        moment = datetime.strptime(whole[:14].ljust(14, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    digits = fraction[:6]
    return moment + timedelta(microseconds=int(digits.ljust(6, "0")) if digits.isdigit() else 0)


def _triple(value: Any, count: int = 3) -> tuple[float, ...] | None:
    return tuple(float(v) for v in value) if value is not None and len(value) == count else None


def item(dataset: Any, sequence: str) -> Any:
    """First item of a sequence, or an empty dataset."""
    items = dataset.get(sequence) if dataset is not None else None
    return items[0] if items else pydicom.Dataset()


def _planes(header: pydicom.Dataset, file: Path) -> Iterator[Plane]:
    """Planes of one file: one if classic, one per frame if enhanced."""
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        yield Plane(
            position=_triple(header.get("ImagePositionPatient")),
            orientation=_triple(header.get("ImageOrientationPatient"), 6),
            acquired=moment_of(
                header.get("AcquisitionDate") or header.get("SeriesDate"),
                header.get("AcquisitionTime"),
            )
            or parse_moment(header.get("AcquisitionDateTime")),
            duration_s=_seconds(header.get("ActualFrameDuration")),
            reference_s=_seconds(header.get("FrameReferenceTime")),
            order=int(header.get("ImageIndex") or header.get("InstanceNumber") or 0),
            decay_factor=_number(header.get("DecayFactor")),
            file=file,
        )
        return
    shared = item(header, "SharedFunctionalGroupsSequence")
    for number, group in enumerate(groups):
        orientation = item(group, "PlaneOrientationSequence") or item(
            shared, "PlaneOrientationSequence"
        )
        content = item(group, "FrameContentSequence")
        yield Plane(
            position=_triple(item(group, "PlanePositionSequence").get("ImagePositionPatient")),
            orientation=_triple(orientation.get("ImageOrientationPatient"), 6),
            acquired=parse_moment(content.get("FrameAcquisitionDateTime")),
            duration_s=_seconds(content.get("FrameAcquisitionDuration")),
            reference_s=None,
            order=number,
            decay_factor=None,
            file=file,
        )


def _frames(planes: Sequence[Plane], where: str) -> tuple[Frame, ...]:
    """Sort planes into volumes: the k-th plane in time at each position belongs to volume k.

    This holds for a PET of several beds too, whose planes differ in AcquisitionTime within one
    volume; the volume then starts with its first bed.
    """
    if any(p.position is None or p.orientation is None for p in planes):
        if len(planes) == 1:
            only = planes[0]
            return (Frame(only.acquired, only.duration_s, only.reference_s, (only,)),)
        raise DataError("slices state no position", file=where)
    orientations = np.asarray([p.orientation for p in planes])
    if np.abs(orientations - orientations[0]).max() > 1e-2:
        raise DataError("slices lie in different orientations", file=where)
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    height = np.asarray([p.position for p in planes]) @ normal  # (planes,) mm
    stacks: dict[float, list[Plane]] = {}
    level = None
    for index in np.argsort(height, kind="stable"):
        if level is None or height[index] - level > 0.01:
            level = float(height[index])
        stacks.setdefault(level, []).append(planes[index])
    counts = {len(stack) for stack in stacks.values()}
    if len(counts) > 1:
        raise DataError(
            f"slices are missing or repeated ({len(planes)} at {len(stacks)} positions)", file=where
        )
    levels = np.asarray(sorted(stacks))
    gaps = np.diff(levels)
    if gaps.size and gaps.max() > GAP * np.median(gaps):
        raise DataError(
            f"slices are missing (a gap of {gaps.max():.1f} mm where "
            f"{np.median(gaps):.1f} mm is usual)",
            file=where,
        )

    if gaps.size and np.abs(gaps - np.median(gaps)).max() > UNEVEN * np.median(gaps):
        raise DataError(
            f"slices are unevenly spaced ({gaps.min():.2f} to {gaps.max():.2f} mm)", file=where
        )
    # Corners of a stack lie on one line, also of a sheared one (gantry tilt).
    corners = np.asarray([stacks[level][0].position for level in levels])
    along = np.stack([np.ones_like(levels), levels], axis=1)
    line = along @ np.linalg.lstsq(along, corners, rcond=None)[0]
    if np.abs(corners - line).max() > OFF_LINE_MM:
        raise DataError(
            f"a slice lies {np.abs(corners - line).max():.1f} mm beside the others", file=where
        )

    def moment(plane: Plane) -> tuple:
        return (plane.acquired or datetime.min, plane.reference_s or 0.0, plane.order)

    ordered = [sorted(stacks[level], key=moment) for level in sorted(stacks)]
    frames = tuple(
        Frame(
            start=min((p.acquired for p in volume if p.acquired), default=None),
            duration_s=volume[0].duration_s,
            reference_s=volume[0].reference_s,
            planes=tuple(volume),
        )
        for volume in zip(*ordered, strict=True)
    )
    _check_order(frames, where)
    return frames


def _check_order(frames: Sequence[Frame], where: str) -> None:
    """No plane of a frame may be acquired after a plane of the next: frames would be mixed."""
    for number, (this, following) in enumerate(pairwise(frames), start=1):
        before, after = ({p.acquired for p in f.planes if p.acquired} for f in (this, following))
        if not before or not after or before == after:  # processed series state one time for all
            continue
        if max(before) >= min(after):
            raise DataError(
                f"planes of frames {number} and {number + 1} overlap in time "
                f"({max(before).time()} and {min(after).time()})",
                file=where,
            )


def read_series(files: Sequence[Path], where: str) -> Series:
    """Read and check every file of a series.

    Parameters
    ----------
    files
        DICOM files of one image, in any order.
    where
        Name of the series for messages that concern no single file.

    Raises
    ------
    DataError
        The first damaged file, or slices that are missing.
    """
    first: pydicom.Dataset | None = None
    planes: list[Plane] = []
    for file in sorted(files):
        header = read_header(file)
        if first is None:
            first = header
        else:
            _check_shared(header, first, file)
        try:
            planes.extend(_planes(header, file))
        except (TypeError, ValueError) as error:
            said = " ".join(str(error).split())
            raise DataError(
                f"a value in its header cannot be read ({said})", file=file.name
            ) from None
    frames = _frames(planes, where)
    slices = len(planes) // len(frames)
    for found, key, what in (
        (slices, "NumberOfSlices", "slices"),
        (len(frames), "NumberOfTimeSlices", "frames"),
    ):
        stated = int(first.get(key) or 0)
        if found < stated:
            raise DataError(f"{found} {what} where the header states {stated}", file=where)
    return Series(first, frames)


def _check_shared(header: pydicom.Dataset, first: pydicom.Dataset, file: Path) -> None:
    # Edited ids may be written unevenly; two study ids are two people.
    people = {str(h.get("PatientID") or "") for h in (header, first)}
    if len(people) > 1 and all(STUDY_ID.fullmatch(name) for name in people):
        raise DataError(
            f"its PatientID is {header.PatientID}, its neighbours' {first.PatientID}",
            file=file.name,
        )
    for key in SHARED_KEYS:
        ours, theirs = header.get(key), first.get(key)
        if ours == theirs:
            continue
        if key == "SeriesInstanceUID":
            raise DataError("belongs to another series than its neighbours", file=file.name)
        raise DataError(f"its {key} is {ours}, its neighbours' {theirs}", file=file.name)


def plane_sum(plane: Plane) -> float | None:
    """Sum of a plane's values in the header's units; None where its pixels cannot be decoded here.

    Only for classic files, which hold one plane each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(plane.file)
        if header.get("NumberOfFrames", 1) not in (None, 1):
            return None
        try:
            stored = header.pixel_array
        # Compressed and no decoder is installed, or a header that pydicom cannot make pixels of;
        # dcm2niix has to tell then.
        except Exception:
            return None
    slope, intercept = header.get("RescaleSlope", 1), header.get("RescaleIntercept", 0)
    return float(stored.sum(dtype=np.float64) * float(slope) + float(intercept) * stored.size)


def beyond_stored_bits(files: Sequence[Path]) -> int:
    """Count the values that need more bits than the headers say are stored: damage, or padding.

    Only for uncompressed classic files of 16 bits.
    """
    count = 0
    for file in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(file)
        syntax = header.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
        bits = int(header.get("BitsStored") or 16)
        if syntax.is_compressed or header.get("BitsAllocated") != 16 or bits >= 16:
            continue
        order = "<" if syntax.is_little_endian else ">"
        if header.get("PixelRepresentation"):
            low, high, kind = -(1 << (bits - 1)), (1 << (bits - 1)) - 1, "i2"
        else:
            low, high, kind = 0, (1 << bits) - 1, "u2"
        size = len(header.PixelData) // 2 * 2
        stored = np.frombuffer(header.PixelData[:size], order + kind)
        count += int(((stored < low) | (stored > high)).sum())
    return count


def is_simulated(header: pydicom.Dataset) -> bool:
    """Whether the header says that no patient was scanned (digital phantoms)."""
    keys = ("Manufacturer", "ManufacturerModelName", "PatientComments", "SeriesDescription")
    return any("SIMULATED" in str(header.get(key, "")).upper() for key in keys)
