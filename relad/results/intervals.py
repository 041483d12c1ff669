"""Columns of a number and of the ends of its interval: ``psnr``, ``psnr_low``, ``psnr_high``."""

from __future__ import annotations

#: What follows a number's name in the columns of its value, and of its interval's ends.
ENDS = ("", "_low", "_high")


def with_ends(*names: str) -> tuple[str, ...]:
    """Columns of numbers, each followed by the two of its interval."""
    return tuple(f"{name}{end}" for name in names for end in ENDS)


def ends(name: str, interval: tuple[float, float] | None) -> dict[str, float | None]:
    """Column -> end of an interval; None where there is none."""
    return dict(zip(with_ends(name)[1:], interval or (None, None), strict=True))
