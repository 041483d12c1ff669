"""What DICOM headers of PET say: tracer, units, injection, frame times, decay correction."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

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
from relad.cohort.frame_times import SAME_TIME_S

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


def drug_of(header: pydicom.Dataset) -> pydicom.Dataset:
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
    stated, first = series_time(series), first_acquired(series)
    if stated is None or not made_after(stated, first):
        return stated if stated is None or first is None else on_day_of(first, stated)
    frame = series.frames[0]
    before = (frame.reference_s or 0.0) - _mean_after(frame, half_life_of(series.header))
    return first - timedelta(seconds=before if before > allowed_s(series) else 0.0)


def series_time(series: Series) -> datetime | None:
    """SeriesTime on its own date, else on that of the scan."""
    header = series.header
    return moment_of(header.get("SeriesDate") or day_of(header), header.get("SeriesTime"))


def first_acquired(series: Series) -> datetime | None:
    return min((frame.start for frame in series.frames if frame.start), default=None)


def made_after(stated: datetime | None, first: datetime | None) -> bool:
    """Whether a SeriesTime is later than a plane's acquisition."""
    if stated is None or first is None:
        return False
    # By its date, or on the scan's day where its date was shifted to an earlier one.
    return any(
        (m - first).total_seconds() > SAME_TIME_S for m in (stated, on_day_of(first, stated))
    )


def allowed_s(series: Series) -> float:
    """Difference (s) of two statements of when frames began; headers round."""
    return max(SAME_TIME_S, 0.05 * max(frame.duration_s or 0.0 for frame in series.frames))


def half_life_of(header: pydicom.Dataset) -> float:
    """Half-life in s, of the nuclide where the header's is another one's; 0 where neither is told.

    Some headers state it in minutes.
    """
    drug = drug_of(header)
    stated = number(drug.get("RadionuclideHalfLife")) or 0.0
    known = HALF_LIFE_S.get(nuclide_of(header), 0.0)
    if not known:  # minutes, which no nuclide of PET has as seconds
        known = next((s for s in HALF_LIFE_S.values() if _near(60 * stated, s)), stated)
    return stated if _near(stated, known) else known


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= DECAY_TOLERANCE * other


def nuclide_of(header: pydicom.Dataset) -> str:
    """Radionuclide as BIDS writes it (``F18``); empty where the header does not tell."""
    return nuclide(str(item(drug_of(header), "RadionuclideCodeSequence").get("CodeMeaning") or ""))


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
    return by_reference(series)


def by_reference(series: Series) -> list[datetime] | None:
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
