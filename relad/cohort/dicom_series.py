"""One DICOM series: do its files belong together, is every slice and every frame there.

For classic series (a file per slice) and enhanced ones (many planes per file), from headers alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom

from relad.cohort.adni import PTID
from relad.cohort.dicom import MediaDirectoryError, item, number, read_header, readable
from relad.cohort.dicom_kind import agent_of
from relad.cohort.dicom_planes import (
    Plane,
    complete,
    integer,
    magnitude,
    past_midnight,
    planes_of,
    stamped,
    undated,
    without_copies,
)
from relad.errors import DataError

#: A gap between slices this many times the usual one means that a slice is missing.
GAP = 1.5
#: Gaps may differ from the usual one by this share of it; headers round positions.
UNEVEN = 0.1
#: Share of a pixel by which a slice, or the whole stack from its first to its last slice, may lie
#: beside the line along the slices' normal, and by which pixels may move where directions or
#: spacings of planes differ; headers round.
OFF_LINE = 0.2
#: What all files of one series must agree in.
SHARED_KEYS = (
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "BitsAllocated",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Units",
)
#: What all files of a PET must agree in that state it: all its times refer to these.
PET_KEYS = ("SeriesDate", "SeriesTime", "DecayCorrection")
_DRUG = "RadiopharmaceuticalInformationSequence"
_DRUG_KEYS = (
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
    "RadionuclideHalfLife",
)


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


@dataclass(frozen=True)
class Series:
    """What the headers of one complete series say.

    Attributes
    ----------
    header
        Of its first file.
    files
        Those whose planes are used.
    count
        Planes that are no copies, of other parts of a complex image too.
    numbers
        InstanceNumber of every file that states one, copies and all.
    notes
        What a person should look at.
    """

    header: pydicom.Dataset
    frames: tuple[Frame, ...]
    files: tuple[Path, ...]
    count: int
    numbers: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def _check_geometry(planes: Sequence[Plane], where: str) -> np.ndarray:
    """All planes must be parallel rectangles of one pixel size; returns their normal (3,)."""
    if any(p.position is None or p.orientation is None for p in planes):
        raise DataError("slices state no position", file=where)
    if any(p.spacing is None for p in planes):
        raise DataError("slices state no pixel spacing", file=where)
    first = planes[0]
    spacing = np.asarray([p.spacing for p in planes])
    if spacing.min() <= 0:
        raise DataError(f"its pixels are {spacing[0].tolist()} mm apart", file=where)
    # So far may numbers differ that are multiplied by pixels: the last one moves by OFF_LINE.
    most = OFF_LINE / max(first.pixels.rows, first.pixels.columns)
    if (np.abs(spacing - spacing[0]) > most * spacing[0]).any():
        other = next(p for p in planes if p.spacing != first.spacing)
        raise DataError(
            f"its PixelSpacing is {list(other.spacing)}, its neighbours' {list(first.spacing)}",
            file=other.pixels.file.name,
        )
    directions = np.asarray([p.orientation for p in planes]).reshape(-1, 2, 3)
    if np.abs(directions @ directions.transpose(0, 2, 1) - np.eye(2)).max() > 1e-2:
        raise DataError("its ImageOrientationPatient is no orientation", file=where)
    if np.abs(directions - directions[0]).max() > most:
        raise DataError("slices lie in different orientations", file=where)
    return np.cross(*directions[0])


def _frames(planes: Sequence[Plane], where: str) -> tuple[Frame, ...]:
    """Sort planes into volumes: the k-th plane in time at each position belongs to volume k.

    This holds for a PET of several beds too, whose planes differ in AcquisitionTime within one
    volume; the volume then starts with its first bed.
    """
    normal = _check_geometry(planes, where)
    corners = np.asarray([p.position for p in planes])
    height = corners @ normal  # (planes,) mm
    near = OFF_LINE * min(planes[0].spacing) / 10
    stacks: dict[float, list[Plane]] = {}
    level = None
    for index in np.argsort(height, kind="stable"):
        if level is None or height[index] - level > near:
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
    _check_line(corners, height, normal, planes[0].spacing, where)

    def moment(plane: Plane) -> tuple:
        return (
            plane.acquired or datetime.min,
            plane.reference_s or 0.0,
            plane.temporal or 0,
            plane.order,
        )

    ordered = [sorted(stacks[level], key=moment) for level in sorted(stacks)]
    frames = tuple(
        Frame(
            start=min((p.acquired for p in volume if p.acquired), default=None),
            duration_s=_most_common(p.duration_s for p in volume),
            reference_s=_most_common(p.reference_s for p in volume),
            planes=tuple(volume),
        )
        for volume in zip(*ordered, strict=True)
    )
    if len(frames) > 1:
        _check_order(frames, where)
    return frames


def _most_common(found: Iterator[float | None]) -> float | None:
    counts = Counter(value for value in found if value is not None)
    return counts.most_common(1)[0][0] if counts else None


def _check_line(
    corners: np.ndarray,
    height: np.ndarray,
    normal: np.ndarray,
    spacing: tuple[float, ...],
    where: str,
) -> None:
    """The corners (planes, 3) of a stack lie on one line, and that runs along the normal."""
    along = np.stack([np.ones_like(height), height], axis=1)
    line = along @ np.linalg.lstsq(along, corners, rcond=None)[0]
    pixel = min(spacing)
    beside = np.abs(corners - line).max()
    if beside > OFF_LINE * pixel:
        raise DataError(f"a slice lies {beside:.1f} mm beside the others", file=where)
    first, last = line[height.argmin()], line[height.argmax()]
    shift = (last - first) - ((last - first) @ normal) * normal
    if np.linalg.norm(shift) > OFF_LINE * pixel:
        degrees = np.degrees(np.arctan2(np.linalg.norm(shift), np.ptp(height)))
        raise DataError(
            f"its stack shears: from its first to its last slice it shifts by "
            f"{np.linalg.norm(shift):.1f} mm within their plane ({degrees:.1f} degrees)",
            file=where,
            hint="a voxel grid has right angles (gantry tilt?); resample it to one",
        )


def _check_order(frames: Sequence[Frame], where: str) -> None:
    """No plane of a frame may be acquired after a plane of the next: frames would be mixed."""
    planes = [p for f in frames for p in f.planes]
    for key, what in (("acquired", "acquisition time"), ("temporal", "temporal position")):
        stated = [getattr(p, key) is not None for p in planes]
        if any(stated) and not all(stated):
            raise DataError(
                f"{stated.count(False)} of {len(stated)} planes state no {what}", file=where
            )
    for k, (this, following) in enumerate(pairwise(frames), start=1):
        before, after = ({p.acquired for p in f.planes if p.acquired} for f in (this, following))
        # Processed series state one time for all.
        if before and after and before != after and max(before) >= min(after):
            raise DataError(
                f"planes of frames {k} and {k + 1} overlap in time "
                f"({max(before).time()} and {min(after).time()})",
                file=where,
            )
    counted = [{p.temporal for p in f.planes} for f in frames]
    if len(set.union(*counted)) == len(frames) and max(map(len, counted)) > 1:
        number_ = [len(c) > 1 for c in counted].index(True) + 1
        raise DataError(
            f"frame {number_} by time holds planes of several temporal positions", file=where
        )


def read_series(files: Sequence[Path], where: str) -> Series:
    """Read and check every file of a series.

    Parameters
    ----------
    files
        DICOM files of one image, in any order; a medium's directory among them is passed over.
    where
        Name of the series for messages that concern no single file.

    Raises
    ------
    DataError
        The first damaged file, or slices that are missing.
    """
    first: pydicom.Dataset | None = None
    planes: list[Plane] = []
    numbers: list[int] = []
    for file in sorted(files):
        try:
            header, pixels = read_header(file)
        except MediaDirectoryError:
            continue
        with readable(file.name):
            complete(header)
            if first is None:
                first = header
            else:
                _check_shared(header, first, file)
            planes.extend(planes_of(header, pixels))
            instance = integer(header.get("InstanceNumber"))
        numbers += [] if instance is None else [instance]
    if first is None:
        raise DataError("has no files", file=where)
    notes: list[str] = []
    with readable(where):
        if first.get("Modality") == "PT":
            undated(planes, notes, where)
            planes = past_midnight(stamped(planes, notes), notes)
        distinct = without_copies(planes, notes)
        planes = magnitude(distinct, notes)
        frames = _frames(planes, where)
        _check_scales(planes, where)
        notes += _frame_notes(frames)
    used = tuple(dict.fromkeys(p.pixels.file for p in planes))
    return Series(first, frames, used, len(distinct), tuple(numbers), tuple(notes))


def _check_scales(planes: Sequence[Plane], where: str) -> None:
    """Every plane has a scale that could be right, or none has one."""
    slopes = [p.slope for p in planes]
    if None in slopes and any(slope is not None for slope in slopes):
        raise DataError(
            f"{slopes.count(None)} of {len(slopes)} planes state no RescaleSlope", file=where
        )
    wrong = next((p for p in planes if p.slope is not None and not p.slope > 0), None)
    if wrong:
        raise DataError(f"its RescaleSlope is {wrong.slope:g}", file=wrong.pixels.file.name)
    intercepts = {p.intercept or 0.0 for p in planes}
    if len(intercepts) > 1:
        low, high = min(intercepts), max(intercepts)
        raise DataError(
            f"its planes' RescaleIntercepts are {low:g} to {high:g}",
            file=where,
            hint="planes of one image have one zero; export it again from its scanner or archive",
        )


def _frame_notes(frames: Sequence[Frame]) -> list[str]:
    """What headers say of frames that contradicts itself and changes no voxel."""
    notes = []
    for k, frame in enumerate(frames, start=1):
        stated = sorted({p.duration_s or 0 for p in frame.planes})
        if len(stated) > 1:
            listed = " and ".join(f"{s:g} s" if s else "none" for s in stated)
            notes.append(f"planes of frame {k} state durations of {listed}")
    counted = [frame.planes[0].temporal for frame in frames]
    if None not in counted and len(set(counted)) > 1 and counted != sorted(counted):
        notes.append("its temporal positions do not count up with time, which was believed")
    return notes


def check_counts(series: Series, where: str) -> list[str]:
    """Compare how many images there are with how many the headers state.

    Returns
    -------
    What a person should look at.

    Raises
    ------
    DataError
        Where there are fewer.
    """
    header, frames = series.header, series.frames
    slices = len(frames[0].planes)
    private = {
        "GEMS_RELA_01": (0x0021, 0x4F),  # locations in the acquisition
        "Philips Imaging DD 001": (0x2001, 0x18),  # number of slices
    }
    in_stack = []
    for creator, (group, element) in private.items():
        try:
            told = header.private_block(group, creator)[element].value
        except KeyError:
            continue
        in_stack.append(told if isinstance(told, int | float | str) else None)
    for have, stated, what in (
        (slices, header.get("NumberOfSlices"), "slices"),
        *((slices, told, "slices") for told in in_stack),
        (len(frames), header.get("NumberOfTimeSlices"), "frames"),
        (series.count, header.get("ImagesInAcquisition"), "images"),
        (len(series.files), header.get("InConcatenationTotalNumber"), "files"),
        (len(series.numbers), header.get("NumberOfSeriesRelatedInstances"), "files"),
    ):
        if have < (integer(stated) or 0):
            raise DataError(f"{have} {what} where the header states {stated}", file=where)
    notes = []
    numbers = sorted(set(series.numbers))
    told_apart = len(numbers) == len(series.numbers) > 1
    holes = told_apart and numbers[-1] - numbers[0] + 1 > len(numbers)
    gap = _gap(frames[0])
    stated = number(header.get("SpacingBetweenSlices"))
    if gap and stated and abs(gap - abs(stated)) > UNEVEN * gap:
        said = f"lie {gap:.2f} mm apart where the header states {abs(stated):.2f} mm"
        ratio = gap / abs(stated)
        # Of 2D scans some mean what lies between two slices, without the slice itself.
        lost = holes or header.get("MRAcquisitionType") == "3D"
        if lost and round(ratio) > 1 and abs(ratio - round(ratio)) < UNEVEN:
            raise DataError(f"slices are missing (they {said})", file=where)
        notes.append(f"its slices {said}")
    if holes:
        notes.append(
            f"{len(numbers)} images are numbered from {numbers[0]} to {numbers[-1]}: some may be "
            "missing"
        )
    elif told_apart and numbers[0] > 1:
        notes.append(f"its images are numbered from {numbers[0]}: the first may be missing")
    return notes


def _gap(frame: Frame) -> float | None:
    """Distance (mm) of neighbouring slices; None of a single one."""
    if len(frame.planes) < 2:
        return None
    first, last = (np.asarray(frame.planes[k].position) for k in (0, -1))
    return float(np.linalg.norm(last - first)) / (len(frame.planes) - 1)


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
    if first.get("Modality") != "PT":
        if not agent_of(first) and (agent := agent_of(header)):  # of a part of the slices
            first.ContrastBolusAgent = agent
        return
    drugs = [item(h, _DRUG) for h in (header, first)]
    if not drugs[1] and drugs[0]:
        first[_DRUG] = header[_DRUG]
    for key, (ours, theirs) in (
        *((key, (header.get(key), first.get(key))) for key in PET_KEYS),
        *((key, tuple(drug.get(key) for drug in drugs)) for key in _DRUG_KEYS),
    ):
        if None not in (ours, theirs) and "" not in (ours, theirs) and ours != theirs:
            raise DataError(f"its {key} is {ours}, its neighbours' {theirs}", file=file.name)
