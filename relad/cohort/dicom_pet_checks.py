"""Whether what DICOM headers of PET say of their times and of decay fits together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pydicom

from relad.cohort.dicom import number, offset_of
from relad.cohort.dicom_pet import (
    DECAY_TOLERANCE,
    MINUTES_BEFORE,
    allowed_s,
    by_reference,
    drug_of,
    first_acquired,
    frame_starts,
    half_life_of,
    injections,
    made_after,
    scan_start,
    series_start,
    series_time,
)
from relad.cohort.dicom_planes import in_counts, zone_of
from relad.cohort.dicom_series import Series
from relad.cohort.frame_times import SAME_TIME_S, gaps
from relad.cohort.windows import frames_inside
from relad.errors import DataError


def check_times(
    series: Series, window_min: Sequence[float], where: str, *, processed: bool = False
) -> list[str]:
    """Compare what a header states twice of its times: the injection, and when frames began.

    Parameters
    ----------
    window_min
        The tracer's first and last minute after the injection.
    processed
        Whether the series was computed from another; one frame's times may then stand in all.

    Returns
    -------
    What a person should look at: contradictions that choose the same frames.

    Raises
    ------
    DataError
        Where a contradiction chooses other frames, or planes of one frame have times that none of
        their neighbours has.
    """
    notes = []
    for k, frame in enumerate(series.frames, start=1):
        counts = Counter(p.acquired for p in frame.planes).most_common()
        # A scan with a moving bed has a time for each plane; one of two beds many planes of each.
        if len(counts) > 1 and counts[-1][1] == 1 and 2 * counts[0][1] >= len(frame.planes):
            raise DataError(
                f"a plane of frame {k} states the acquisition time {_clock(counts[-1][0])}, its "
                f"neighbours {_clock(counts[0][0])}",
                file=where,
            )
    if in_counts(series.header):
        notes.append("its counts were taken to Bq/mL by Philips' private factor (7053,1009)")
    if all(p.slope is None for frame in series.frames for p in frame.planes):
        notes.append("states no RescaleSlope: stored values were taken as Bq/mL")
    starts = frame_starts(series)
    durations = [frame.duration_s for frame in series.frames]
    stated = half_life_of(series.header)
    told = number(drug_of(series.header).get("RadionuclideHalfLife"))
    if told and told != stated:
        notes.append(f"its half-life of {told:g} s was taken as {stated:g} s")
    if starts is None:
        return notes
    seconds = [(start - starts[0]).total_seconds() for start in starts]
    notes += gaps(seconds, durations, lambda second: _clock(starts[0] + timedelta(seconds=second)))
    notes += _late_series(series, starts)
    found = injections(series.header, scan_start(series))
    other = _by_acquisition(series, starts, processed)
    begins = (
        f"its first frame began at {_clock(other)} by AcquisitionTime, at {_clock(starts[0])} by "
        "SeriesTime and FrameReferenceTime"
    )
    if not found:
        return notes + [begins] * (other is not None)
    (name, first), *others = found.items()
    after = [(start - first).total_seconds() for start in starts]

    def contradiction(said: str, other: Sequence[float], remedy: str) -> None:
        timed = None not in durations
        if timed and _inside(after, durations, window_min) != _inside(other, durations, window_min):
            raise DataError(
                f"{said}, which choose other frames for {window_min[0]:g} to {window_min[1]:g} min "
                "after injection",
                file=where,
                hint=f"which one is right only its site can tell: {remedy}",
            )
        notes.append(said)

    stamp = drug_of(series.header).get("RadiopharmaceuticalStartDateTime")
    alone = name == "RadiopharmaceuticalStartDateTime" and zone_of(series.header) is None
    if alone and offset_of(stamp) is not None:
        notes.append(
            f"its injection ({stamp}) has an offset from UTC, its scan none: taken as one clock"
        )
    for second_name, moment in others:
        apart = (first - moment).total_seconds()
        if abs(apart) <= SAME_TIME_S:
            continue
        said = (
            f"states two injection times, {_clock(first)} ({name}) and {_clock(moment)} "
            f"({second_name})"
        )
        # Local time beside a time in UTC: both are one moment, and the scan is on local time.
        if _in_another_zone(series.header, apart):
            notes.append(f"{said}; they are one in two time zones")
        else:
            contradiction(said, [second + apart for second in after], "say it by ingest.overrides")
    if other is not None:
        late = (other - starts[0]).total_seconds()
        contradiction(begins, [second + late for second in after], "put its headers right")
    moved = _moved_by_reference(series, starts)
    if moved is not None:
        contradiction(
            "states two times of its frames, by acquisition times and by frame reference times",
            [second + shift for second, shift in zip(after, moved, strict=True)],
            "put its headers right",
        )
    if None not in durations and not _inside(after, durations, window_min):
        notes.append(
            f"no frame lies within {window_min[0]:g} to {window_min[1]:g} min after its injection"
        )
    ends = after[-1] + (durations[-1] or 0.0)
    if ends <= 0:
        notes.append(f"its scan ends {-ends / 60:.1f} min before its injection ({_clock(first)})")
    elif after[0] < -MINUTES_BEFORE * 60:
        notes.append(
            f"its scan begins {-after[0] / 60:.1f} min before its injection ({_clock(first)})"
        )
    return notes


def _late_series(series: Series, starts: Sequence[datetime]) -> list[str]:
    """A note on a SeriesTime after the first frame began, where times are counted from it."""
    stated, first = series_time(series), first_acquired(series)
    correction = str(series.header.get("DecayCorrection", "")).strip().upper()
    counted = [frame.start for frame in series.frames] != list(starts)
    if made_after(stated, first) and (correction == "START" or counted):
        said = _clock(stated) if stated.date() == first.date() else f"{stated:%Y-%m-%d %H:%M:%S}"
        return [
            f"its SeriesTime, {said}, is after its first frame was acquired, {_clock(first)}, and "
            f"was not used: its scan began at {_clock(series_start(series))}"
        ]
    late = (stated - min(starts)).total_seconds() if stated and first is None else 0.0
    if correction == "START" and late > SAME_TIME_S:
        return [
            f"it is corrected for decay to its start, {_clock(stated)} (SeriesTime), which is "
            f"after its first frame began, {_clock(min(starts))}"
        ]
    return []


def _by_acquisition(series: Series, starts: Sequence[datetime], processed: bool) -> datetime | None:
    """Another start of the first frame, by its AcquisitionTime; None where that tells the same.

    It is compared where frames are told apart by FrameReferenceTime alone.
    """
    first = first_acquired(series)
    if first is None or [frame.start for frame in series.frames] == list(starts):
        return None
    apart = [abs((first - start).total_seconds()) for start in starts]
    return None if min(apart if processed else apart[:1]) <= allowed_s(series) else first


def _moved_by_reference(series: Series, starts: Sequence[datetime]) -> list[float] | None:
    """How much later (s) than its start each frame begins by its FrameReferenceTime.

    None where that tells the same or nothing. The series' own start may be another clock's, so what
    counts is how frames follow each other; some write the frame's start where its mean is due.
    """
    means, raw = by_reference(series), [frame.reference_s for frame in series.frames]
    if means is None:
        return None
    allowed = allowed_s(series)
    own = [(start - starts[0]).total_seconds() for start in starts]
    moved = []
    for seconds in ([(m - means[0]).total_seconds() for m in means], [r - raw[0] for r in raw]):
        moved.append([second - mine for second, mine in zip(seconds, own, strict=True)])
        if max(moved[-1]) - min(moved[-1]) <= allowed:
            return None
    return moved[0]


def _inside(
    starts: Sequence[float], durations: Sequence[float | None], window_min: Sequence[float]
) -> list[int]:
    return frames_inside(starts, [d or 0.0 for d in durations], window_min)[0]


def _in_another_zone(header: pydicom.Dataset, apart: float) -> bool:
    """Whether two times may be one: one has an offset from UTC, and the scan's is unknown."""
    offset = offset_of(drug_of(header).get("RadiopharmaceuticalStartDateTime"))
    hours = abs(apart) / 3600
    on_clock = abs(hours * 4 - round(hours * 4)) * 900 <= SAME_TIME_S
    return offset is not None and zone_of(header) is None and on_clock and hours <= 14


def _clock(moment: datetime | None) -> str:
    return moment.strftime("%H:%M:%S") if moment else "none"


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
    half_life = half_life_of(series.header)
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
