"""Frames of a PET on one clock: do their starts and durations fit, and what a sidecar says twice.

DICOM's own statements of time are compared in :mod:`relad.cohort.dicom_pet_checks`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relad.cohort.windows import frames_inside
from relad.errors import DataError

#: Two statements of one time may differ by this (s); headers round.
SAME_TIME_S = 1.0
_LISTS = ("FrameTimesStart", "FrameDuration")


def gaps(
    starts: Sequence[float], durations: Sequence[float | None], clock: Callable[[float], str]
) -> list[str]:
    """Times that no frame covers, in words; at most three.

    Parameters
    ----------
    starts, durations
        Of every frame in s; None where a duration is not told.
    clock
        A start in words.

    Raises
    ------
    DataError
        Where a frame lasts into the next, which cannot be.
    """
    notes = []
    for k, (start, length, following) in enumerate(
        zip(starts, durations, starts[1:], strict=False), start=1
    ):
        if length is None:
            continue
        gap = following - start - length
        if gap < -SAME_TIME_S:
            raise DataError(
                f"frame {k} (from {clock(start)}, {length:g} s long) lasts into frame {k + 1} "
                f"(from {clock(following)})",
                hint="starts and durations of its frames contradict each other",
            )
        if gap > max(SAME_TIME_S, length / 2):
            notes.append(f"no frame covers the {gap:.0f} s between frames {k} and {k + 1}")
    return notes[:3]


def check_sidecar(told: Mapping[str, Any], window_min: Sequence[float]) -> list[str]:
    """Check the times that a PET's BIDS sidecar states.

    Parameters
    ----------
    told
        Sidecar; what it does not state is not checked.
    window_min
        The tracer's first and last minute after the injection.

    Returns
    -------
    What a person should look at.

    Raises
    ------
    DataError
        Where times are no numbers or contradict each other, or ``ImageDecayCorrected`` is no
        boolean.
    """
    decay_corrected(told)
    lists = [_numbers(told, key) for key in _LISTS]
    injection, begin = (_numbers(told, key) for key in ("InjectionStart", "ScanStart"))
    starts, durations = lists
    if durations is not None and min(durations) <= 0:
        raise DataError("its FrameDuration holds a frame of no duration")
    if starts is None or durations is None or len(starts) != len(durations):
        return []
    notes = gaps(starts, durations, lambda second: f"{second:g} s")
    if injection is None:
        return notes
    after = [start - injection[0] for start in starts]
    inside = frames_inside(after, durations, window_min)[0]
    if begin is not None and starts[0] < begin[0] - SAME_TIME_S:
        # Some count frames from the scan's start, where BIDS counts both from TimeZero.
        said = (
            f"its first frame begins at {starts[0]:g} s (FrameTimesStart), before its scan at "
            f"{begin[0]:g} s (ScanStart)"
        )
        later = begin[0] - starts[0]
        if frames_inside([a + later for a in after], durations, window_min)[0] != inside:
            raise DataError(
                f"{said}; counted from the scan's start other frames would be used",
                hint="FrameTimesStart counts from TimeZero, as ScanStart does",
            )
        notes.append(said)
    if not inside:
        first, last = after[0] / 60, (after[-1] + durations[-1]) / 60
        notes.append(
            f"no frame lies within {window_min[0]:g} to {window_min[1]:g} min after its injection "
            f"(they last from {first:g} to {last:g} min, where its times are in s)"
        )
    return notes


def decay_corrected(told: Mapping[str, Any]) -> bool | None:
    """Whether a sidecar says that its frames are corrected for decay; None where it does not say.

    BIDS has a boolean; the words true and false are read as such.

    Raises
    ------
    DataError
        Where it is something else, of which nobody knows how it was meant.
    """
    key = "ImageDecayCorrected"
    value = told.get(key)
    word = value.strip().lower() if isinstance(value, str) else value
    if isinstance(value, bool) or word in ("true", "false"):
        return value is True or word == "true"
    if word in (None, "", "n/a", "unknown", []):
        return None
    raise DataError(f"its {key} is neither true nor false ({value!r})", hint="write one of them")


def decay_remarks(times: Mapping[str, Any], frames: int) -> list[str]:
    """What a person should know of the decay correction of frames that are to be averaged."""
    corrected = decay_corrected(times)
    if frames < 2 or corrected:
        return []
    if corrected is None:
        return ["whether its frames are corrected for decay is unknown"]
    return ["its frames are not corrected for decay, so they cannot be averaged"]


def _numbers(told: Mapping[str, Any], key: str) -> list[float] | None:
    """Numbers that a key states, also a single one; None where it states none.

    What is no number at all is left to words such as "unknown".
    """
    value = told.get(key)
    values = value if isinstance(value, list) else [value]
    if value is None or isinstance(value, str) or not values:
        return None
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int | float) or not math.isfinite(one):
            what = "a list of numbers" if key in _LISTS else "a number"
            raise DataError(f"its {key} is not {what} ({value!r})")
    return values
