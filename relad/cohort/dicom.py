"""DICOM files: is each whole, and what do its header's values mean.

How files make a series is in :mod:`relad.cohort.dicom_series`, what PET's headers say of times and
units in :mod:`relad.cohort.dicom_pet`. The voxels are left to dcm2niix.
"""

from __future__ import annotations

import math
import os
import struct
import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from relad.errors import DataError, refuse_machine_failure

_LONG_LENGTH = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN")


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
        refuse_machine_failure(error, path)
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


def number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def seconds(milliseconds: Any) -> float | None:
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


def values(value: Any, count: int = 3) -> tuple[float, ...] | None:
    return tuple(float(v) for v in value) if value is not None and len(value) == count else None


def item(dataset: Any, sequence: str) -> Any:
    """First item of a sequence, or an empty dataset."""
    items = dataset.get(sequence) if dataset is not None else None
    return items[0] if items else pydicom.Dataset()


def plane_sum(file: Path) -> float | None:
    """Sum of a plane's values in the header's units; None where its pixels cannot be decoded here.

    Only for classic files, which hold one plane each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(file)
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
