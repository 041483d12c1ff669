"""What DICOM headers of PET say: tracer, units, injection, frame times, decay correction."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pydicom

from relad.cohort.dicom import item, moment_of, number, offset_of, parse_moment
from relad.cohort.dicom_planes import (
    activity_map,
    activity_per_count,
    day_of,
    in_counts,
    zone_of,
)
from relad.cohort.dicom_series import Frame, Series
from relad.cohort.frame_times import SAME_TIME_S, gaps
from relad.cohort.windows import frames_inside
from relad.errors import DataError

#: Decay factors may differ from those of one reference time, and half-lives of one nuclide from
#: each other, by this share (headers round).
DECAY_TOLERANCE = 0.02
#: So long before the injection a scan may begin (min); earlier, one of the two is wrong.
MINUTES_BEFORE = 10
_DRUGS = "RadiopharmaceuticalInformationSequence"
#: Half-life (s) of the nuclides that label tracers, by DICOM's code meaning without its marks.
HALF_LIFE_S = {"F18": 6586.2, "C11": 1223.4}


#: By symbol or name (fluorine's is often misspelt), and no other that begins alike, such as Cu.
_ELEMENT = "(c(?:arbon)?|n(?:itrogen)?|o(?:xygen)?|f(?:l[uo][a-z]*)?)"


def _drug(header: pydicom.Dataset) -> pydicom.Dataset:
    return item(header, _DRUGS)


def injections(header: pydicom.Dataset, scan_start: datetime | None) -> dict[str, datetime]:
    """Moments of the injection that a header states, by the element that states them.

    Only their time of day is certain: some headers hold no date, and de-identification may shift
    one date and not the other. They are therefore put on the day that brings them closest to the
    scan. A time with an offset from UTC is brought to the clock of the scan; where the scan's is
    not told, a time of day without one goes before it.

    Returns
    -------
    The first is the one to use; empty where the header or the scan's start is missing.
    """
    found: dict[str, datetime] = {}
    zone = zone_of(header)
    for place, drug in enumerate(header.get(_DRUGS) or (), start=1):
        if scan_start is None:
            break
        of = f" of item {place}" if place > 1 else ""
        told = drug.get("RadiopharmaceuticalStartDateTime")
        moments = {
            "RadiopharmaceuticalStartDateTime": parse_moment(told, zone),
            "RadiopharmaceuticalStartTime": moment_of(
                scan_start.strftime("%Y%m%d"), drug.get("RadiopharmaceuticalStartTime")
            ),
        }
        if offset_of(told) is not None and zone is None:
            moments = dict(reversed(moments.items()))
        for name, moment in moments.items():
            if moment is not None:
                found[name + of] = on_day_of(scan_start, moment)
    return found


def on_day_of(scan: datetime, moment: datetime) -> datetime:
    """A moment on the day that brings it closest to the scan."""
    return moment + timedelta(days=round((scan - moment) / timedelta(days=1)))


def injection(header: pydicom.Dataset, scan_start: datetime | None) -> datetime | None:
    """Moment of the injection, the first of :func:`injections`; None where none is stated."""
    return next(iter(injections(header, scan_start).values()), None)


def scan_start(series: Series) -> datetime | None:
    """Start of the first frame, else of the series."""
    starts = frame_starts(series)
    return starts[0] if starts else series_start(series)


def radiopharmaceutical(header: pydicom.Dataset) -> str:
    """Name of the tracer, or of all of them, as the header gives it; empty where it gives none."""
    names = [
        drug.get("Radiopharmaceutical")
        or item(drug, "RadiopharmaceuticalCodeSequence").get("CodeMeaning")
        for drug in header.get(_DRUGS) or ()
    ]
    return ", ".join(dict.fromkeys(str(name).strip() for name in names if name))


def units(header: pydicom.Dataset) -> str:
    """Units of the voxels as DICOM has them (``BQML``); empty where the header gives none."""
    groups = (
        header,
        item(header, "SharedFunctionalGroupsSequence"),
        item(header, "PerFrameFunctionalGroupsSequence"),
    )
    if not header.get("Units") and activity_map(groups) is not None:
        return "BQML"
    if in_counts(header) and activity_per_count(header) is not None:
        return "BQML"
    mappings = (item(group, "RealWorldValueMappingSequence") for group in groups)
    codes = (item(mapping, "MeasurementUnitsCodeSequence").get("CodeValue") for mapping in mappings)
    code = next(filter(None, codes), "")
    return str(header.get("Units") or code).strip().upper().replace("/", "")


def series_start(series: Series) -> datetime | None:
    """Start of the acquisition, which decay correction to START and FrameReferenceTime refer to.

    That is SeriesTime, on the day closest to the scan: of two dates one may have been shifted. A
    SeriesTime after the first plane was acquired is that of post-processing; the acquisition then
    began as long before the first frame as its FrameReferenceTime says, else with it.

    Sources: DICOM PS3.3, C.8.9.1.1.5 (Decay Correction); QIBA's vendor-neutral pseudo-code for SUV
    (https://qibawiki.rsna.org/index.php/Standardized_Uptake_Value_(SUV)).
    """
    stated, first = _series_time(series), _first_acquired(series)
    if stated is None or not _made_after(stated, first):
        return stated if stated is None or first is None else on_day_of(first, stated)
    frame = series.frames[0]
    before = (frame.reference_s or 0.0) - _mean_after(frame, half_life_of(series.header))
    return first - timedelta(seconds=before if before > _allowed(series) else 0.0)


def _series_time(series: Series) -> datetime | None:
    """SeriesTime on its own date, else on that of the scan."""
    header = series.header
    return moment_of(header.get("SeriesDate") or day_of(header), header.get("SeriesTime"))


def _first_acquired(series: Series) -> datetime | None:
    return min((frame.start for frame in series.frames if frame.start), default=None)


def _made_after(stated: datetime | None, first: datetime | None) -> bool:
    """Whether a SeriesTime is later than a plane's acquisition."""
    if stated is None or first is None:
        return False
    # By its date, or on the scan's day where its date was shifted to an earlier one.
    return any(
        (m - first).total_seconds() > SAME_TIME_S for m in (stated, on_day_of(first, stated))
    )


def _allowed(series: Series) -> float:
    """Difference (s) of two statements of when frames began; headers round."""
    return max(SAME_TIME_S, 0.05 * max(frame.duration_s or 0.0 for frame in series.frames))


def half_life_of(header: pydicom.Dataset) -> float:
    """Half-life in s, of the nuclide where the header's is another one's; 0 where neither is told.

    Some headers state it in minutes.
    """
    drug = _drug(header)
    stated = number(drug.get("RadionuclideHalfLife")) or 0.0
    known = HALF_LIFE_S.get(nuclide_of(header), 0.0)
    if not known:  # minutes, which no nuclide of PET has as seconds
        known = next((s for s in HALF_LIFE_S.values() if _near(60 * stated, s)), stated)
    return stated if _near(stated, known) else known


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= DECAY_TOLERANCE * other


def nuclide_of(header: pydicom.Dataset) -> str:
    """Radionuclide as BIDS writes it (``F18``); empty where the header does not tell."""
    return nuclide(str(item(_drug(header), "RadionuclideCodeSequence").get("CodeMeaning") or ""))


def nuclide(text: str) -> str:
    """``F18`` where DICOM's code means ``^18^Fluorine``, and others write 18F or F-18."""
    match = re.fullmatch(rf"(?i)\W*(\d+)\W*{_ELEMENT}\W*", text)
    if match:
        return match[2][0].upper() + match[1]
    match = re.fullmatch(rf"(?i)\W*{_ELEMENT}\W*(\d+)\W*", text)
    return match[1][0].upper() + match[2] if match else ""


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
    return _by_reference(series)


def _by_reference(series: Series) -> list[datetime] | None:
    """Start of every frame, from FrameReferenceTime; None where it does not tell."""
    reference = series_start(series)
    half_life = half_life_of(series.header)
    if reference is None:
        return None
    out = []
    for frame in series.frames:
        if frame.reference_s is None or frame.duration_s is None:
            return None
        shift = _mean_after(frame, half_life)
        out.append(reference + timedelta(seconds=frame.reference_s - shift))
    return out if len(set(out)) == len(out) else None


def _mean_after(frame: Frame, half_life: float) -> float:
    """Time (s) of a frame's mean count rate after its start."""
    length = frame.duration_s or 0.0
    if not half_life > 0 or not length > 0:
        return length / 2
    rate = math.log(2) / half_life
    x = rate * length
    return math.log(x / -math.expm1(-x)) / rate


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
    told = number(_drug(series.header).get("RadionuclideHalfLife"))
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

    stamp = _drug(series.header).get("RadiopharmaceuticalStartDateTime")
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
    stated, first = _series_time(series), _first_acquired(series)
    correction = str(series.header.get("DecayCorrection", "")).strip().upper()
    by_reference = [frame.start for frame in series.frames] != list(starts)
    if _made_after(stated, first) and (correction == "START" or by_reference):
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
    first = _first_acquired(series)
    if first is None or [frame.start for frame in series.frames] == list(starts):
        return None
    apart = [abs((first - start).total_seconds()) for start in starts]
    return None if min(apart if processed else apart[:1]) <= _allowed(series) else first


def _moved_by_reference(series: Series, starts: Sequence[datetime]) -> list[float] | None:
    """How much later (s) than its start each frame begins by its FrameReferenceTime.

    None where that tells the same or nothing. The series' own start may be another clock's, so what
    counts is how frames follow each other; some write the frame's start where its mean is due.
    """
    means, raw = _by_reference(series), [frame.reference_s for frame in series.frames]
    if means is None:
        return None
    allowed = _allowed(series)
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
    drug = _drug(header)
    offset = offset_of(drug.get("RadiopharmaceuticalStartDateTime"))
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
