"""DICOM files: is each whole, where do its pixels lie, and what do its header's values mean.

How files make a series is in :mod:`relad.cohort.dicom_series`, what PET's headers say of times and
units in :mod:`relad.cohort.dicom_pet`, the voxels themselves in :mod:`relad.cohort.dicom_voxels`.
"""

from __future__ import annotations

import math
import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom

from relad.errors import DataError, ReladError, refuse_machine_failure

_LONG_LENGTH = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN")
_UNDEFINED = 0xFFFFFFFF
#: Tags of the elements that hold pixels (element number in group 7FE0) -> their kind of number;
#: None: integers as the header tells.
_PIXEL_ELEMENTS = {0x0008: "f4", 0x0009: "f8", 0x0010: None}
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


class MediaDirectoryError(DataError):
    """A file is the directory of a medium (DICOMDIR), as stands beside the images of a CD."""


@dataclass(frozen=True)
class Pixels:
    """Where a file's pixels are and how they are stored.

    Attributes
    ----------
    start
        Offset of the first in bytes.
    dtype
        Of the stored numbers; None where they are compressed or deflated.
    planes, rows, columns
        Shape; a classic file has one plane.
    lowest, highest
        What the stored bits can hold; None for floats.
    padding
        Least and greatest stored value that stand for no image; None where none does.
    """

    file: Path
    start: int
    dtype: np.dtype | None
    planes: int
    rows: int
    columns: int
    lowest: int | None
    highest: int | None
    padding: tuple[int, int] | None = None


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn whatever reading a damaged header raises into a reason.

    Values are parsed when they are asked for, and damaged ones raise nearly every built-in
    exception in pydicom.

    Raises
    ------
    DataError
        Naming ``where``.
    """
    try:
        yield
    except (ReladError, OSError, MemoryError):
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"a value in its header cannot be read ({said})", file=where) from None


def read_header(path: Path) -> tuple[pydicom.Dataset, Pixels]:
    """Read one file's header and check by its length that all of its pixels are there.

    Raises
    ------
    DataError
        Where the file cannot be read, is not DICOM, holds no image, or ends too early; a
        :class:`MediaDirectoryError` where it lists others.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values out of DICOM's norm are frequent and harmless
            header = pydicom.dcmread(file, stop_before_pixels=True)
            if _lists_others(header.file_meta):
                raise MediaDirectoryError(
                    "is the directory of a medium and no image", file=path.name,
                    hint="give the folder of a series",
                )  # fmt: skip
            start, size = file.tell(), os.fstat(file.fileno()).st_size
            element = file.read(12)
            syntax = header.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
            shaped = header.get("Rows") is not None and header.get("Columns") is not None
            if not shaped or (len(element) < 8 and not syntax.is_deflated):
                raise DataError(
                    "ends before its pixels or holds no image (truncated?)", file=path.name
                )
            _check_one_of_each(header, path)
            if syntax.is_deflated:  # read to its end; whether all is there, decoding has to find
                return header, _pixels(header, path, 0, None)
            order = "<" if syntax.is_little_endian else ">"
            group, number = struct.unpack(order + "HH", element[:4])
            if group != 0x7FE0 or number not in _PIXEL_ELEMENTS:
                raise DataError("holds no pixels", file=path.name)
            if not syntax.is_implicit_VR and element[4:6] in _LONG_LENGTH:
                (length,) = struct.unpack(order + "I", element[8:12])
                start += 12
            else:
                (length,) = struct.unpack(order + "I", element[4:8])
                start += 8
            if syntax.is_compressed or length == _UNDEFINED:
                file.seek(start)
                _check_fragments(file, size, path)
                return header, _pixels(header, path, start, None)
            kind = _PIXEL_ELEMENTS[number] or _integer(header, path)
            pixels = _pixels(header, path, start, np.dtype(kind).newbyteorder(order))
    except DataError:
        raise
    except pydicom.errors.InvalidDicomError:
        raise DataError("not a DICOM file", file=path.name) from None
    except Exception as error:  # damaged headers raise nearly every built-in exception in pydicom
        refuse_machine_failure(error, path)
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot be read ({said})", file=path.name) from None
    samples = int(header.get("SamplesPerPixel", 1) or 1)
    needed = math.prod((pixels.planes, pixels.rows, pixels.columns, samples, pixels.dtype.itemsize))
    present = min(length, size - start)
    if present < max(needed, length):
        raise DataError(
            f"truncated (holds {present} of {max(needed, length)} bytes of pixels)", file=path.name
        )
    if length > needed + 1:  # one byte of padding to an even length
        raise DataError(
            f"holds {length} bytes of pixels where its header tells of {needed}", file=path.name
        )
    return header, pixels


def is_media_directory(path: Path) -> bool:
    """Whether a file is the directory of a medium; what cannot be read is none."""
    try:
        return _lists_others(pydicom.filereader.read_file_meta_info(path))
    except Exception as error:  # as of read_header, which tells what is wrong with it
        refuse_machine_failure(error, path)
        return False


def _lists_others(meta: pydicom.Dataset) -> bool:
    return meta.get("MediaStorageSOPClassUID") == pydicom.uid.MediaStorageDirectoryStorage


def _check_one_of_each(header: pydicom.Dataset, path: Path) -> None:
    """Refuse what no image of a head can be, before its values are used."""
    if int(header.get("SamplesPerPixel", 1) or 1) != 1:
        raise DataError("holds colours instead of one value per voxel", file=path.name)
    kind = str(header.get("PhotometricInterpretation", "") or "")
    if kind and not kind.startswith("MONOCHROME"):
        raise DataError(f"holds colours ({kind}) instead of one value per voxel", file=path.name)


def _integer(header: pydicom.Dataset, path: Path) -> str:
    bits = int(header.get("BitsAllocated", 16))
    if bits not in (8, 16, 32):
        raise DataError(f"stores pixels of {bits} bits", file=path.name)
    return f"{'i' if header.get('PixelRepresentation') else 'u'}{bits // 8}"


def _pixels(header: pydicom.Dataset, path: Path, start: int, dtype: np.dtype | None) -> Pixels:
    planes = int(header.get("NumberOfFrames", 1) or 1)
    rows, columns = int(header.Rows), int(header.Columns)
    if min(planes, rows, columns) < 1:
        raise DataError(f"states {planes} planes of {rows} x {columns} pixels", file=path.name)
    bits = int(header.get("BitsStored") or header.get("BitsAllocated", 16))
    lowest, highest = 0, (1 << bits) - 1
    if header.get("PixelRepresentation"):
        lowest, highest = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    padding = _padding(header)
    if dtype is not None and dtype.kind == "f":
        lowest = highest = padding = None
    return Pixels(path, start, dtype, planes, rows, columns, lowest, highest, padding)


def _padding(header: pydicom.Dataset) -> tuple[int, int] | None:
    """Stored values of padding; None where there is none, or a 0 alone, which is blank anyway.

    Source: DICOM PS3.3, C.7.5.1.1.2 (Pixel Padding Value and Range Limit).
    """
    value = header.get("PixelPaddingValue")
    if value in (None, ""):
        return None
    limit = header.get("PixelPaddingRangeLimit")
    allocated = 1 << int(header.get("BitsAllocated", 16))
    signed = bool(header.get("PixelRepresentation"))

    def stored(value: int) -> int:
        value %= allocated  # some write the bits of the other sign
        return value - allocated if signed and value >= allocated // 2 else value

    ends = sorted(stored(int(end)) for end in (value, value if limit in (None, "") else limit))
    return None if ends == [0, 0] else (ends[0], ends[1])


def _check_fragments(file: BinaryIO, size: int, path: Path) -> None:
    """Walk the fragments of compressed pixels to their end; any padding may follow it.

    Source: DICOM PS3.5, A.4 (encapsulated transfer syntaxes, always little endian).
    """
    position = file.tell()
    while True:
        file.seek(position)
        mark = file.read(8)
        if len(mark) < 8:
            break
        group, number, length = struct.unpack("<HHI", mark)
        if (group, number) == _END:
            return
        if (group, number) != _ITEM or position + 8 + length > size:
            break
        position += 8 + length
    raise DataError("truncated (the compressed pixels have no end)", file=path.name)


def bytes_of(pixels: Pixels, index: int) -> bytes:
    """Stored bytes of one plane; of compressed ones all that the file holds from there on."""
    with pixels.file.open("rb") as file:
        if pixels.dtype is None:
            file.seek(pixels.start)
            return file.read()
        size = pixels.rows * pixels.columns * pixels.dtype.itemsize
        file.seek(pixels.start + index * size)
        return file.read(size)


def number(value: Any) -> float | None:
    """A finite number of an element; None where it is empty."""
    if value in (None, ""):
        return None
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{value} where a number is due")
    return found


def seconds(milliseconds: Any) -> float | None:
    found = number(milliseconds)
    return None if found is None else found / 1000.0


def moment_of(date: Any, time: Any) -> datetime | None:
    """Date (``YYYYMMDD``) and time (``HHMMSS.f``) of two elements as one moment."""
    date, time = str(date or "").strip(), str(time or "").strip()
    date = date.replace(".", "").replace("-", "")  # 2020.02.03 is DICOM's form before 1993
    if len(date) < 8 or len(time) < 4:
        return None
    return parse_moment(date[:8] + time.replace(":", ""))


def parse_moment(text: Any, zone: timedelta | None = None) -> datetime | None:
    """DICOM DT ``YYYYMMDDHHMMSS.FFFFFF&ZZXX`` on the clock of ``zone``, an offset from UTC.

    Where either offset is unknown, the time is on the one clock of all others.
    """
    text = str(text or "").strip()
    whole, _, fraction = re.split(r"[+-]", text, maxsplit=1)[0].partition(".")
    if len(whole) < 12 or not whole.isdigit():
        return None
    try:
        leap = whole[12:14] == "60"  # a leap second, which DICOM's times may have
        moment = datetime.strptime(
            whole[:12] + ("59" if leap else whole[12:14].ljust(2, "0")), "%Y%m%d%H%M%S"
        )
        if leap:
            moment += timedelta(seconds=1)
        digits = fraction[:6]
        if digits.isdigit():
            moment += timedelta(microseconds=int(digits.ljust(6, "0")))
        own = offset_of(text)
        return moment if own is None or zone is None else moment + (zone - own)
    except (ValueError, OverflowError):  # no such day, or the calendar's first or last
        return None


def offset_of(text: Any) -> timedelta | None:
    """Offset from UTC at the end of a DT, or that a TimezoneOffsetFromUTC is (``+0100``)."""
    match = re.search(r"([+-])(\d\d):?(\d\d)$", str(text or "").strip())
    if not match or int(match[2]) > 14 or int(match[3]) > 59:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset


def values(value: Any, count: int = 3) -> tuple[float, ...] | None:
    """``count`` finite numbers of an element; None where it holds none."""
    if value in (None, "") or not np.size(value):
        return None
    numbers = tuple(float(v) for v in np.atleast_1d(value))
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{value} where {count} numbers are due")
    return numbers


def item(dataset: Any, sequence: str) -> Any:
    """First item of a sequence, or an empty dataset."""
    items = dataset.get(sequence) if dataset is not None else None
    return items[0] if items else pydicom.Dataset()
