"""Limits of quality: what a scan must reach to be used, and in which words it is refused.

A scan that misses several limits is refused for one cause, the first in the order in which one
thing leads to another: what a cut field of view or a failed registration does to later numbers is
no cause of its own. All numbers stand in qc.tsv.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from relad.status import Modality, SubjectStatus
from relad.study.settings import Quality

_HEADER = "(look at its picture; if it is a head, correct the orientation codes of its header)"


def judge(status: SubjectStatus, limits: Quality) -> SubjectStatus:
    """Exclude what misses a limit: the subject with its T1w, else the FLAIR or the PET alone.

    Parameters
    ----------
    status
        Of `relad normalize`; it is changed in place.
    limits
        Section ``qc`` of the configuration.

    Returns
    -------
    The status.
    """
    if not status.ok:
        return status
    if reason := judge_head(status.numbers, limits):
        status.exclude(reason)
    flair = status.mri[Modality.FLAIR]
    if flair.ok and (reason := judge_flair(status.numbers, limits)):
        flair.exclude([reason])
    for tracer, scan in status.pet.items():
        if scan.ok and (reason := judge_pet(tracer, scan.numbers, limits)):
            scan.exclude([reason])
    return status


def judge_head(numbers: Mapping[str, Any], limits: Quality) -> str | None:
    """Say why a T1w cannot be used; None where it can.

    Parameters
    ----------
    numbers
        ``brain_volume_ml``, ``brain_overlap_dice`` and those of
        :meth:`relad.qc.measures.Lattice.head`.
    limits
        Section ``qc`` of the configuration.
    """
    return next(_head(numbers, limits), None)


def judge_flair(numbers: Mapping[str, Any], limits: Quality) -> str | None:
    """Say why a FLAIR cannot be used, from :meth:`relad.qc.measures.Lattice.mri`."""
    return next(_flair(numbers, limits), None)


def judge_pet(tracer: str, numbers: Mapping[str, Any], limits: Quality) -> str | None:
    """Say why a PET cannot be used.

    ``numbers`` are those of :meth:`relad.qc.measures.Lattice.pet` and
    :meth:`relad.imaging.suvr.Reference.qc`, and ``motion_mm``: the greatest displacement of a
    frame inside the window, None where one shows too little to tell (only without correction).
    """
    return next(_pet(tracer, numbers, limits), None)


def _head(numbers: Mapping[str, Any], limits: Quality) -> Iterator[str]:
    yield from _coverage("T1w", numbers["T1w_coverage"], limits)
    margin, turned = numbers["T1w_margin"], numbers["T1w_half_turn"]
    found, least = numbers["T1w_registration"], limits.min_registration_correlation
    if margin < limits.min_head_margin:
        yield (
            "T1w to MNI: the brain hardly fits better than displaced by 16 mm or 20 degrees "
            f"(margin {margin:.3f}, less than {limits.min_head_margin:g}); it may be no head, or "
            f"lie the wrong way round {_HEADER}"
        )
    if turned > 0:
        yield f"T1w to MNI: the head fits better when turned by 180 degrees {_HEADER}"
    if found < least:
        yield (
            f"T1w to MNI: correlation after registration is {found:.2f}, less than {least:g} "
            "(look at its picture; it may be an image of another contrast)"
        )
    overlap, least = numbers["brain_overlap_dice"], limits.min_brain_overlap_dice
    if overlap < least:
        yield (
            f"brain mask and template's overlap by Dice {overlap:.2f}, less than {least:g} "
            "(look at its outline; if it is wrong, registration.brain_extraction gives another)"
        )
    low, high = limits.brain_volume_ml
    volume = numbers["brain_volume_ml"]
    if not low <= volume <= high:
        yield (
            f"brain volume {volume:.0f} ml is outside {low:g} to {high:g} ml (look at the mask's "
            "outline and at the voxel size in the header)"
        )


def _flair(numbers: Mapping[str, Any], limits: Quality) -> Iterator[str]:
    yield from _coverage("FLAIR", numbers["FLAIR_coverage"], limits)
    yield from _pose("FLAIR", numbers["FLAIR_margin"], limits.min_flair_margin)
    found, least = numbers["FLAIR_registration"], limits.min_flair_correlation_ratio
    if found < least:
        yield (
            f"FLAIR to T1w: the correlation ratio after registration is {found:.2f}, less than "
            f"{least:g} (look at its picture; it may be another person's)"
        )


def _pet(tracer: str, numbers: Mapping[str, Any], limits: Quality) -> Iterator[str]:
    detail, most = numbers["detail"], limits.max_pet_detail
    if detail > most:
        yield (
            f"{tracer}: {detail:.0%} of its variance in the brain is detail finer than 6 mm, more "
            f"than {most:.0%} (no tomograph resolves that; is it an MRI?)"
        )
    yield from _coverage(tracer, numbers["coverage"], limits)
    moved = numbers["motion_mm"]
    if moved is not None and moved > limits.max_motion_mm:
        yield (
            f"{tracer}: a frame of the window lies {moved:.1f} mm from its middle one, "
            f"more than {limits.max_motion_mm:g} mm (leave it out of the window)"
        )
    yield from _pose(tracer, numbers["margin"], limits.min_pose_margin)
    found, least = numbers["registration"], limits.min_registration_correlation
    if found < least:
        yield (
            f"{tracer} to T1w: correlation with the brain's outline is {found:.2f}, less than "
            f"{least:g} (look at its picture)"
        )
    seen = numbers["reference_coverage"]
    if seen < limits.min_reference_coverage:
        yield (
            f"{tracer}: the scan covers {seen:.0%} of the reference region, "
            f"less than {limits.min_reference_coverage:.0%} (another one may be whole)"
        )
    share, least = numbers.get("reference_in_cerebellum"), limits.min_reference_in_cerebellum
    if share is not None and share < least:
        yield (
            f"{tracer}: only {share:.0%} of the reference region lies inside the person's own "
            f"cerebellum, less than {least:.0%} (reference_region may name that segmentation)"
        )
    fit, least = numbers.get("reference_fit"), limits.min_reference_fit
    if fit is not None and fit < least:
        yield (
            f"{tracer}: around the reference region T1w and MNI152 correlate by {fit:.2f}, less "
            f"than {least:g}: it does not lie where it should (reference_region may name the "
            "person's own segmentation)"
        )
    variation = numbers["reference_sd"] / numbers["reference_mean"]
    if variation > limits.max_reference_variation:
        yield (
            f"{tracer}: uptake in the reference region varies by {variation:.0%} of its mean, "
            f"more than {limits.max_reference_variation:.0%} (look at its picture)"
        )


def _coverage(name: str, coverage: float, limits: Quality) -> Iterator[str]:
    if coverage < limits.min_coverage:
        yield (
            f"{name}: the scan covers {coverage:.0%} of the brain, less than "
            f"{limits.min_coverage:.0%} (its field of view is cut)"
        )


def _pose(name: str, margin: float, least: float) -> Iterator[str]:
    if margin < least:
        yield (
            f"{name} to T1w: it hardly fits better than displaced by 8 mm or 10 degrees (margin "
            f"{margin:.3f}, less than {least:g}; look at its picture)"
        )
