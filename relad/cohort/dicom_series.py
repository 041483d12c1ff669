"""One DICOM series: do its files belong together, is every slice and every frame there.

For classic series (a file per slice) and enhanced ones (a file per series), from headers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom

from relad.cohort.adni import PTID
from relad.cohort.dicom import (
    item,
    moment_of,
    number,
    parse_moment,
    read_header,
    seconds,
    values,
)
from relad.errors import DataError

#: A gap between slices this many times the usual one means that a slice is missing.
GAP = 1.5
#: Gaps may differ from the usual one by this share of it; headers round positions.
UNEVEN = 0.1
#: A slice further than this (mm) from the line through its neighbours was not acquired with them.
OFF_LINE_MM = 1.0
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


def _planes(header: pydicom.Dataset, file: Path) -> Iterator[Plane]:
    """Planes of one file: one if classic, one per frame if enhanced."""
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        yield Plane(
            position=values(header.get("ImagePositionPatient")),
            orientation=values(header.get("ImageOrientationPatient"), 6),
            acquired=moment_of(
                header.get("AcquisitionDate") or header.get("SeriesDate"),
                header.get("AcquisitionTime"),
            )
            or parse_moment(header.get("AcquisitionDateTime")),
            duration_s=seconds(header.get("ActualFrameDuration")),
            reference_s=seconds(header.get("FrameReferenceTime")),
            order=int(header.get("ImageIndex") or header.get("InstanceNumber") or 0),
            decay_factor=number(header.get("DecayFactor")),
            file=file,
        )
        return
    shared = item(header, "SharedFunctionalGroupsSequence")
    for order, group in enumerate(groups):
        orientation = item(group, "PlaneOrientationSequence") or item(
            shared, "PlaneOrientationSequence"
        )
        content = item(group, "FrameContentSequence")
        yield Plane(
            position=values(item(group, "PlanePositionSequence").get("ImagePositionPatient")),
            orientation=values(orientation.get("ImageOrientationPatient"), 6),
            acquired=parse_moment(content.get("FrameAcquisitionDateTime")),
            duration_s=seconds(content.get("FrameAcquisitionDuration")),
            reference_s=None,
            order=order,
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
    for k, (this, following) in enumerate(pairwise(frames), start=1):
        before, after = ({p.acquired for p in f.planes if p.acquired} for f in (this, following))
        if not before or not after or before == after:  # processed series state one time for all
            continue
        if max(before) >= min(after):
            raise DataError(
                f"planes of frames {k} and {k + 1} overlap in time "
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
    if len(people) > 1 and all(PTID.fullmatch(name) for name in people):
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
