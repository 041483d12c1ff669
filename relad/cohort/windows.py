"""Which frames of a PET lie inside its tracer's window."""

from __future__ import annotations

from collections.abc import Sequence

#: Least share of a frame that lies inside its tracer's window, and least share of the window that
#: such frames cover: scans rarely start to the minute.
MIN_SHARE = 0.5


def frames_inside(
    starts: Sequence[float], durations: Sequence[float], window_min: Sequence[float]
) -> tuple[list[int], float]:
    """Frames that lie inside a window by half at least, and the share of it that they cover.

    Parameters
    ----------
    starts, durations
        Of every frame in s, starts counted from the injection.
    window_min
        First and last minute after the injection.
    """
    low, high = (60.0 * minute for minute in window_min)
    inside = [
        max(0.0, min(start + length, high) - max(start, low))
        for start, length in zip(starts, durations, strict=True)
    ]
    indices = [i for i, s in enumerate(inside) if s > 0 and s >= MIN_SHARE * durations[i]]
    return indices, sum(inside[i] for i in indices) / (high - low)
