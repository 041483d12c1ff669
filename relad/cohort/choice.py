"""Which of several images of one kind in a session is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from relad.cohort.adni import iso_date
from relad.cohort.dicom_series import Series
from relad.cohort.frame_times import decay_corrected
from relad.cohort.images import Candidate
from relad.cohort.series import Product
from relad.cohort.windows import MIN_SHARE, frames_inside

#: A window is covered where so large a share of it is; scans rarely start to the minute.
WHOLE = 0.9
#: Injections are one where their times of day are so close (s).
SAME_INJECTION_S = 60.0
#: A day in s: clocks begin anew.
DAY_S = 86400.0
#: Elements of a header and keys of a BIDS sidecar that tell how a PET was reconstructed.
_RECONSTRUCTION = (
    *("ReconstructionMethod", "ConvolutionKernel", "AttenuationCorrectionMethod"),
    *("ScatterCorrectionMethod", "RandomsCorrectionMethod"),
    *("ReconMethodName", "ReconFilterType", "ReconFilterSize", "AttenuationCorrection"),
)


@dataclass
class Checked:
    """A candidate whose files are whole and whose kind is known.

    Attributes
    ----------
    series
        Its headers; None where the image came as NIfTI.
    times
        Keys of a BIDS-PET sidecar that time the frames of a PET.
    variant
        Sort key of an MRI (:func:`relad.cohort.dicom_kind.variant_rank`).
    notes
        What a person should look at though the image is kept.
    """

    candidate: Candidate
    kind: str
    tracer: str | None
    product: Product | None
    series: Series | None
    times: Mapping[str, Any] = field(default_factory=dict)
    variant: tuple[int, ...] = ()
    simulated: bool = False
    notes: list[str] = field(default_factory=list)


def preference(image: Checked, window_min: Sequence[float]) -> tuple[Any, ...]:
    """Sort key among images of one kind in a session; the smallest is used.

    Of PET: frames that cover the tracer's window (the more of it the better, then the less
    processed), then averages made before, then scans whose frames nothing times, then those that
    miss the window or whose frames, not corrected for decay, cannot be averaged. Of MRI as
    :func:`relad.cohort.dicom_kind.variant_rank` has it.
    """
    rank = image.candidate.rank
    if image.kind != "PET":
        return (image.variant, *rank)
    product = image.product.rank if image.product else 0
    if image.product is not None and image.product.averaged:
        return (1, 0.0, product, *rank)
    covered = coverage([image], window_min)
    if covered is None:
        return (2, 0.0, product, *rank)
    missed = 0.0 if covered >= WHOLE else round(1 - covered, 1)
    frames = len(_timed(image.times)[0])
    usable = covered >= MIN_SHARE and not (frames > 1 and decay_corrected(image.times) is False)
    return (0 if usable else 3, missed, product, *rank)


def coverage(images: Sequence[Checked], window_min: Sequence[float]) -> float | None:
    """Share of a tracer's window that the frames of scans cover together; None if not timed."""
    starts: list[float] = []
    durations: list[float] = []
    for image in images:
        timed = _timed(image.times)
        if timed is None:
            return None
        starts += timed[0]
        durations += timed[1]
    return frames_inside(starts, durations, window_min)[1]


def partners(
    image: Checked, others: Sequence[Checked], window_min: Sequence[float]
) -> list[Checked]:
    """Other runs of a PET's injection without which its window is not covered, in time's order.

    Each must be of the same product and reconstruction, lie before or after the frames there are,
    and cover more of the window with them.
    """
    together = [image]
    if image.kind != "PET" or (image.product is not None and image.product.averaged):
        return []
    timed = [other for other in others if other is not image and _timed(other.times) is not None]
    for other in sorted(timed, key=lambda o: _timed(o.times)[0]):
        covered = coverage(together, window_min)
        if covered is None or covered >= WHOLE:
            break
        more = coverage([*together, other], window_min)
        apart = all(_one_injection(other, one) and _apart(other, one) for one in together)
        alike = other.product == image.product and _reconstruction(other) == _reconstruction(image)
        if alike and apart and more > covered + 1 - WHOLE:
            together.append(other)
    return together[1:]


def _timed(times: Mapping[str, Any]) -> tuple[list[float], list[float]] | None:
    """Starts after the injection and durations (s) of frames; None where they are not told."""
    injection = times.get("InjectionStart")
    starts, durations = (
        [found] if isinstance(found, int | float) else found
        for found in (times.get("FrameTimesStart"), times.get("FrameDuration"))
    )
    if not isinstance(injection, int | float) or isinstance(injection, bool):
        return None
    if not isinstance(starts, list) or not isinstance(durations, list):
        return None
    numbers = all(isinstance(n, int | float) for n in (*starts, *durations))
    if not starts or len(starts) != len(durations) or not numbers:
        return None
    return [start - injection for start in starts], durations


def injection_clock(times: Mapping[str, Any]) -> float | None:
    """Time of day (s) of the injection; None where the times do not tell."""
    parts = str(times.get("TimeZero") or "").split(":")
    injection = times.get("InjectionStart")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
        return (hours * 3600 + minutes * 60 + seconds + float(injection)) % DAY_S
    except (TypeError, ValueError):
        return None


def _one_injection(one: Checked, other: Checked) -> bool:
    clocks = [injection_clock(image.times) for image in (one, other)]
    if None in clocks:
        return False
    days = [iso_date(image.candidate.entry.acq_date) for image in (one, other)]
    if all(days) and abs((date.fromisoformat(days[0]) - date.fromisoformat(days[1])).days) > 1:
        return False
    gap = abs(clocks[0] - clocks[1])
    return min(gap, DAY_S - gap) <= SAME_INJECTION_S


def _reconstruction(image: Checked) -> tuple[str, ...]:
    told = image.times if image.series is None else image.series.header
    return tuple(str(told.get(key) or "") for key in _RECONSTRUCTION)


def _apart(one: Checked, other: Checked) -> bool:
    """Whether no frame of one scan is acquired while the other is."""
    spans = []
    for image in (one, other):
        starts, durations = _timed(image.times)
        spans.append((min(starts), max(s + d for s, d in zip(starts, durations, strict=True))))
    (first, end), (second, last) = spans
    return end <= second + 1.0 or last <= first + 1.0
