"""What DICOM headers of PET say: tracer, units, injection, frame times, decay correction."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import pydicom

from relad.cohort.dicom import item, moment_of, parse_moment
from relad.cohort.dicom_series import Series
from relad.errors import DataError

#: Decay factors may differ from those of one reference time by this share (headers round).
DECAY_TOLERANCE = 0.02


def _drug(header: pydicom.Dataset) -> pydicom.Dataset:
    return item(header, "RadiopharmaceuticalInformationSequence")


def injection(header: pydicom.Dataset, scan_start: datetime | None) -> datetime | None:
    """Moment of the injection; None where the header or the scan's start is missing.

    Only its time of day is certain: some headers hold no date, and de-identification may shift one
    date and not the other. It is therefore put on the day that brings it closest to the scan.
    """
    drug = _drug(header)
    if scan_start is None:
        return None
    moment = parse_moment(drug.get("RadiopharmaceuticalStartDateTime")) or moment_of(
        scan_start.strftime("%Y%m%d"), drug.get("RadiopharmaceuticalStartTime")
    )
    if moment is None:
        return None
    return moment + timedelta(days=round((scan_start - moment) / timedelta(days=1)))


def radiopharmaceutical(header: pydicom.Dataset) -> str:
    """Name of the tracer as the header gives it; empty where it gives none."""
    drug = _drug(header)
    code = item(drug, "RadiopharmaceuticalCodeSequence")
    return str(drug.get("Radiopharmaceutical") or code.get("CodeMeaning") or "").strip()


def units(header: pydicom.Dataset) -> str:
    """Units of the voxels as DICOM has them (``BQML``); empty where the header gives none."""
    mapping = item(header, "RealWorldValueMappingSequence") or item(
        item(header, "SharedFunctionalGroupsSequence"), "RealWorldValueMappingSequence"
    )
    code = item(mapping, "MeasurementUnitsCodeSequence").get("CodeValue", "")
    return str(header.get("Units") or code).strip().upper().replace("/", "")


def series_start(header: pydicom.Dataset) -> datetime | None:
    """Reference of decay correction to START and of FrameReferenceTime: the series' own time."""
    return moment_of(header.get("SeriesDate"), header.get("SeriesTime"))


def frame_starts(series: Series) -> list[datetime] | None:
    """Start of every frame.

    Taken from the acquisition times; where those do not tell the frames apart (processed series),
    from FrameReferenceTime, the time of the frame's mean count rate after the series' start:
    start = reference - ln(x / (1 - exp(-x))) / lambda with x = lambda * duration.

    Source: DICOM PS3.3, C.8.9.4 (PET Image Module), Frame Reference Time.
    """
    starts = [frame.start for frame in series.frames]
    if None not in starts and len(set(starts)) == len(starts):
        return starts
    reference = series_start(series.header)
    drug = _drug(series.header)
    half_life = float(drug.get("RadionuclideHalfLife") or 0)
    if reference is None:
        return None
    out = []
    for frame in series.frames:
        if frame.reference_s is None or frame.duration_s is None:
            return None
        shift = frame.duration_s / 2
        if half_life > 0 and frame.duration_s > 0:
            rate = math.log(2) / half_life
            x = rate * frame.duration_s
            shift = math.log(x / -math.expm1(-x)) / rate
        out.append(reference + timedelta(seconds=frame.reference_s - shift))
    return out if len(set(out)) == len(out) else None


def check_decay(series: Series, where: str) -> None:
    """Check that all planes are corrected for decay to one time.

    A scan of several beds has one AcquisitionTime and one DecayFactor per bed. Corrected to one
    time, factor(a) is proportional to exp(lambda a) over the acquisition times a of all planes,
    with the decay within a frame, x / (1 - exp(-x)) with x = lambda * duration, or without it.

    Raises
    ------
    DataError
        Where beds are not corrected, or the factors do not belong to one reference time.
    """
    starts = frame_starts(series)
    half_life = float(_drug(series.header).get("RadionuclideHalfLife") or 0)
    several_beds = any(len({p.acquired for p in f.planes}) > 1 for f in series.frames)
    if str(series.header.get("DecayCorrection", "")).strip().upper() == "NONE":
        if several_beds:
            raise DataError("its beds are not corrected for decay to one time", file=where)
        return
    if starts is None or not half_life > 0:
        return
    rate = math.log(2) / half_life
    rows = [
        (
            plane.decay_factor,
            (start - starts[0]).total_seconds()
            + ((plane.acquired - frame.start).total_seconds() if plane.acquired else 0.0),
            rate * (frame.duration_s or 0.0),
        )
        for frame, start in zip(series.frames, starts, strict=True)
        for plane in frame.planes
        if plane.decay_factor is not None and plane.decay_factor > 0
    ]
    if len({row[1] for row in rows}) < 2:
        return
    factor, after, x = np.asarray(rows, float).T
    within = np.where(x > 0, x / -np.expm1(-np.maximum(x, 1e-12)), 1.0)
    start_only = np.exp(rate * after)
    spread = min(
        float(np.ptp(ratio) / np.median(ratio))
        for ratio in (factor / start_only, factor / (start_only * within))
    )
    if spread > DECAY_TOLERANCE:
        raise DataError(
            f"its decay factors refer to different times ({spread:.0%} apart)",
            file=where,
            hint="beds or frames corrected to their own start cannot be compared; reconstruct with "
            "decay correction to the start of the series",
        )
