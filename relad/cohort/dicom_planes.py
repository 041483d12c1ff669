"""The planes that DICOM files hold, one by one: where, when and what.

Of a series' planes the copies, the other parts of a complex image and dates that stay at midnight
are dealt with here; how planes make volumes is in :mod:`relad.cohort.dicom_series`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pydicom

from relad.cohort.dicom import (
    Pixels,
    bytes_of,
    item,
    moment_of,
    number,
    offset_of,
    parse_moment,
    seconds,
    values,
)
from relad.cohort.dicom_kind import IMAGINARY, PHASE, REAL, part_of
from relad.cohort.frame_times import SAME_TIME_S
from relad.errors import DataError

#: No PET takes longer.
LONGEST = timedelta(hours=12)
#: Stands for the day of times whose date was removed.
NO_DAY = "19000101"


@dataclass(frozen=True)
class Plane:
    """One image plane: where it lies (mm, DICOM's LPS), when it was acquired, what it holds.

    Attributes
    ----------
    spacing
        Of its rows and of its columns in mm, in DICOM's order: down, then across.
    stamped
        AcquisitionDateTime of a classic file.
    temporal
        Number of its volume in time where the header counts them.
    part
        Of a complex image, as :func:`relad.cohort.dicom_kind.part_of` has it.
    slope, intercept
        Stored values to those of the header's units; None where it gives none.
    pixels, index
        The file's pixels, and which plane of them it is.
    """

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    acquired: datetime | None
    duration_s: float | None
    reference_s: float | None
    temporal: int | None
    order: int
    part: str
    decay_factor: float | None
    slope: float | None
    intercept: float | None
    uid: str
    pixels: Pixels
    index: int
    stamped: datetime | None = None


def zone_of(header: pydicom.Dataset) -> timedelta | None:
    """Offset from UTC of the clock that a header's times are on; None where it does not tell."""
    groups = header.get("PerFrameFunctionalGroupsSequence")
    first = item(groups[0], "FrameContentSequence") if groups else pydicom.Dataset()
    told = (
        header.get("TimezoneOffsetFromUTC"),
        first.get("FrameAcquisitionDateTime"),
        header.get("AcquisitionDateTime"),
    )
    return next((zone for text in told if (zone := offset_of(text)) is not None), None)


def day_of(header: pydicom.Dataset) -> str:
    """Date of a scan, the most direct first; :data:`NO_DAY` where all were removed."""
    days = (header.get(key) for key in ("AcquisitionDate", "SeriesDate", "StudyDate"))
    stamped = str(header.get("AcquisitionDateTime") or "")[:8]
    return str(next(filter(None, (*days, stamped)), NO_DAY))


def _converted(group: Any) -> dict[str, Any]:
    """What stood in the classic headers that an enhanced file was made of (legacy converted)."""
    kinds = ("PerFrame", "Shared")
    found = (item(group, f"Unassigned{kind}ConvertedAttributesSequence") for kind in kinds)
    return {element.keyword: element.value for each in found for element in each}


def complete(header: pydicom.Dataset) -> None:
    """Add what stood in all classic headers that an enhanced file was made of, where it lacks."""
    shared = item(header, "SharedFunctionalGroupsSequence")
    for element in item(shared, "UnassignedSharedConvertedAttributesSequence"):
        if element.tag not in header:
            header.add(element)


def planes_of(header: pydicom.Dataset, pixels: Pixels) -> Iterator[Plane]:
    """Planes of one file: one if classic, one per frame if enhanced."""
    zone = zone_of(header)
    uid = str(header.get("SOPInstanceUID") or "")
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        if pixels.planes > 1:
            raise DataError(
                f"holds {pixels.planes} planes and does not tell where each lies",
                file=pixels.file.name,
            )
        slope, intercept = _scale(header, (header,), header, pixels.file.name)
        stamped = parse_moment(header.get("AcquisitionDateTime"), zone)
        yield Plane(
            position=values(header.get("ImagePositionPatient")),
            orientation=values(header.get("ImageOrientationPatient"), 6),
            spacing=values(header.get("PixelSpacing"), 2),
            acquired=moment_of(day_of(header), header.get("AcquisitionTime")) or stamped,
            duration_s=seconds(header.get("ActualFrameDuration")) or None,
            reference_s=seconds(header.get("FrameReferenceTime")),
            temporal=integer(header.get("TemporalPositionIdentifier")),
            order=integer(header.get("ImageIndex") or header.get("InstanceNumber")) or 0,
            part=part_of(header),
            decay_factor=number(header.get("DecayFactor")),
            slope=slope,
            intercept=intercept,
            uid=uid,
            pixels=pixels,
            index=0,
            stamped=stamped,
        )
        return
    if len(groups) != pixels.planes:
        raise DataError(
            f"holds {pixels.planes} planes and describes {len(groups)}", file=pixels.file.name
        )
    shared = item(header, "SharedFunctionalGroupsSequence")
    for order, group in enumerate(groups):

        def told(sequence: str, group: Any = group) -> Any:
            return item(group, sequence) or item(shared, sequence)

        content = told("FrameContentSequence")
        slope, intercept = _scale(
            told("PixelValueTransformationSequence"), (group, shared), header, pixels.file.name
        )
        classic = {**_converted(shared), **_converted(group)}
        day = classic.get("AcquisitionDate") or day_of(header)
        length = content.get("FrameAcquisitionDuration") or classic.get("ActualFrameDuration")
        duration = seconds(length) or None
        factor = told("PETFrameCorrectionFactorsSequence").get("DecayFactor")
        middle = parse_moment(content.get("FrameReferenceDateTime"), zone)
        if middle and duration:  # the moment that stands for the whole frame
            middle -= timedelta(seconds=duration / 2)
        yield Plane(
            position=values(told("PlanePositionSequence").get("ImagePositionPatient")),
            orientation=values(told("PlaneOrientationSequence").get("ImageOrientationPatient"), 6),
            spacing=values(told("PixelMeasuresSequence").get("PixelSpacing"), 2),
            acquired=parse_moment(content.get("FrameAcquisitionDateTime"), zone)
            or middle
            or moment_of(day, classic.get("AcquisitionTime")),
            duration_s=duration,
            reference_s=seconds(classic.get("FrameReferenceTime")),
            temporal=integer(content.get("TemporalPositionIndex")),
            order=order,
            part=part_of(told("MRImageFrameTypeSequence") or header),
            decay_factor=number(factor or classic.get("DecayFactor")),
            slope=slope,
            intercept=intercept,
            uid=f"{uid}/{order}" if uid else "",
            pixels=pixels,
            index=order,
        )


def _scale(
    rescale: Any, groups: Sequence[Any], header: Any, where: str
) -> tuple[float | None, float | None]:
    """Slope and intercept of a plane; of PET whose units only its map to Bq/mL tells, the map's.

    Raises
    ------
    DataError
        Where the map takes stored values to others than the plane's rescaling, or nothing tells
        what counts are in Bq/mL.
    """
    slope, intercept = (number(rescale.get(f"Rescale{key}")) for key in ("Slope", "Intercept"))
    mapping = activity_map(groups) if header.get("Modality") == "PT" else None
    if mapping is None and in_counts(header):
        factor = activity_per_count(header)
        if factor is None:
            raise DataError(
                "its units are CNTS, not Bq/mL, and it states no factor that takes them there",
                file=where,
                hint="export it in Bq/mL, or with Philips' private elements (7053,1009)",
            )
        return (1.0 if slope is None else slope) * factor, (intercept or 0.0) * factor
    if mapping is None:
        return slope, intercept
    mapped = number(mapping.get("RealWorldValueSlope"))
    if slope is None or not header.get("Units"):
        return mapped, number(mapping.get("RealWorldValueIntercept"))
    if mapped is not None and not math.isclose(mapped, slope, rel_tol=1e-3):
        raise DataError(
            f"its RescaleSlope is {slope:g}, but its map to Bq/mL has the slope {mapped:g}",
            file=where,
            hint="which one is right only its scanner can tell",
        )
    return slope, intercept


def activity_map(groups: Sequence[Any]) -> Any:
    """The map of stored values to Bq/mL in a header or its functional groups; None without.

    A header may hold others beside it, such as one to SUV.
    """
    for group in groups:
        for mapping in group.get("RealWorldValueMappingSequence") or ():
            code = item(mapping, "MeasurementUnitsCodeSequence").get("CodeValue")
            if str(code or "").upper().replace("/", "") == "BQML":
                return mapping
    return None


def in_counts(header: Any) -> bool:
    return header.get("Modality") == "PT" and str(header.get("Units")).strip().upper() == "CNTS"


def activity_per_count(header: Any) -> float | None:
    """Bq/mL of one rescaled count of Philips' scanners; None where the header does not tell.

    Source: QIBA's vendor-neutral pseudo-code for SUV.
    """
    try:
        factor = number(header.private_block(0x7053, "Philips PET Private Group")[0x09].value)
    except KeyError:
        return None
    return factor if factor is not None and factor > 0 else None


def integer(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def undated(planes: Sequence[Plane], notes: list[str], where: str) -> None:
    """Note that dates were removed from times of day, which tell how far they lie apart.

    Raises
    ------
    DataError
        Where dates were removed from a part of the planes.
    """
    days = [p.acquired.strftime("%Y%m%d") for p in planes if p.acquired]
    count = days.count(NO_DAY)
    if 0 < count < len(days):
        raise DataError(f"{count} of {len(planes)} planes state no date", file=where)
    if count:
        notes.append("its dates were removed; its times of day were taken as of one day")


def stamped(planes: list[Plane], notes: list[str]) -> list[Plane]:
    """Take AcquisitionDateTime where one AcquisitionTime stands for all, and is the earliest."""
    times, stamps = {p.acquired for p in planes}, {p.stamped for p in planes}
    if len(times) > 1 or len(stamps) < 2 or None in times | stamps:
        return planes
    if abs((min(stamps) - times.pop()).total_seconds()) > SAME_TIME_S:
        return planes
    notes.append("its AcquisitionTime is one for all: its AcquisitionDateTime times the frames")
    return [replace(p, acquired=p.stamped) for p in planes]


def past_midnight(planes: list[Plane], notes: list[str]) -> list[Plane]:
    """Put planes after midnight on the next day where all state the day the scan began on."""
    times = [p.acquired for p in planes if p.acquired]
    if not times or len({t.date() for t in times}) > 1 or max(times) - min(times) < LONGEST:
        return planes
    notes.append("its date does not change at midnight; times before noon were put on the next day")
    noon = max(times).replace(hour=12, minute=0, second=0, microsecond=0)
    return [
        replace(p, acquired=p.acquired + timedelta(days=1))
        if p.acquired and p.acquired < noon
        else p
        for p in planes
    ]


def magnitude(planes: list[Plane], notes: list[str]) -> list[Plane]:
    """Of a series that holds several parts of a complex image, the magnitude alone."""
    others = {p.part for p in planes} & {PHASE, REAL, IMAGINARY}
    kept = [p for p in planes if p.part not in others]
    if not others or not kept:
        return planes
    notes.append(
        f"its {len(planes) - len(kept)} {' and '.join(sorted(others))} planes are left out"
    )
    return kept


def without_copies(planes: list[Plane], notes: list[str]) -> list[Plane]:
    """Leave out planes that are there twice, by their SOPInstanceUID or by all they hold.

    Raises
    ------
    DataError
        Where two that claim to be one differ.
    """
    by_uid: dict[str, Plane] = {}
    by_place: dict[tuple, Plane] = {}
    kept: list[Plane] = []
    shared = 0
    for plane in planes:
        place = (plane.position, plane.acquired, plane.reference_s, plane.temporal)
        twin = by_uid.get(plane.uid) if plane.uid else None
        same_place = by_place.get(place) if plane.position and plane.acquired else None
        if twin is not None and (twin.position, twin.acquired) != (plane.position, plane.acquired):
            shared += 1  # whoever wrote the ids made them up; positions tell the planes apart
            twin = None
        other = twin or same_place
        if other is not None:
            if _same(plane, other):
                continue
            if twin is not None:
                raise DataError(
                    f"has the SOPInstanceUID of {twin.pixels.file.name}, but holds another image",
                    file=plane.pixels.file.name,
                )
        by_uid.setdefault(plane.uid, plane)
        by_place.setdefault(place, plane)
        kept.append(plane)
    if len(kept) < len(planes):
        notes.append(f"{len(planes) - len(kept)} copies of its planes are left out")
    if shared:
        notes.append(f"{shared} planes have another one's SOPInstanceUID")
    return kept


def _same(plane: Plane, other: Plane) -> bool:
    """Whether two planes hold the same values at the same place."""
    keys = ("position", "orientation", "spacing", "slope", "intercept")
    if any(getattr(plane, key) != getattr(other, key) for key in keys):
        return False
    return bytes_of(plane.pixels, plane.index) == bytes_of(other.pixels, other.index)
