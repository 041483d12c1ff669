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

    What several frames cover counts once.

    Parameters
    ----------
    starts, durations
        Of every frame in s, starts counted from the injection.
    window_min
        First and last minute after the injection.
    """
    low, high = (60.0 * minute for minute in window_min)
    parts = [
        (max(start, low), min(start + length, high))
        for start, length in zip(starts, durations, strict=True)
    ]
    inside = [max(0.0, end - begin) for begin, end in parts]
    indices = [i for i, s in enumerate(inside) if s > 0 and s >= MIN_SHARE * durations[i]]
    covered, reached = 0.0, low
    for begin, end in sorted(parts[i] for i in indices):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return indices, covered / (high - low)
