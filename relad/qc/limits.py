"""Limits of quality: what a scan must reach to be used, and in which words it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relad.status import Modality, SubjectStatus
from relad.study.settings import Quality


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
    if reasons := judge_head(status.numbers, limits):
        status.exclude("; ".join(reasons))
    if status.mri[Modality.FLAIR].ok:
        status.mri[Modality.FLAIR].exclude(judge_flair(status.numbers, limits))
    for tracer, scan in status.pet.items():
        if scan.ok:
            scan.exclude(judge_pet(tracer, scan.numbers, limits))
    return status


def judge_head(numbers: Mapping[str, Any], limits: Quality) -> list[str]:
    """Say why a T1w cannot be used; empty where it can.

    Parameters
    ----------
    numbers
        ``brain_volume_ml``, ``brain_overlap_dice`` and those of
        :meth:`relad.qc.measures.Lattice.head`.
    limits
        Section ``qc`` of the configuration.
    """
    reasons = []
    turned = numbers["T1w_half_turn"]
    if turned > 0:
        reasons.append(
            "T1w to MNI: the head fits better when turned by 180 degrees; "
            "its orientation codes are probably wrong"
        )
    if numbers["T1w_margin"] < limits.min_head_margin:
        reasons.append(
            "T1w to MNI: the head hardly fits better than displaced by 16 mm or 20 degrees "
            f"(margin {numbers['T1w_margin']:.3f}, less than {limits.min_head_margin:g}); it "
            "may be no head, or lie the wrong way round"
        )
    low, high = limits.brain_volume_ml
    volume = numbers["brain_volume_ml"]
    if not low <= volume <= high:
        reasons.append(f"brain volume {volume:.0f} ml is outside {low:g} to {high:g} ml")
    overlap = numbers["brain_overlap_dice"]
    if overlap < limits.min_brain_overlap_dice:
        reasons.append(
            f"brain mask overlaps the template's by Dice {overlap:.2f}, "
            f"less than {limits.min_brain_overlap_dice:g}"
        )
    return reasons + _fit("T1w to MNI", numbers, "T1w_", limits)


def judge_flair(numbers: Mapping[str, Any], limits: Quality) -> list[str]:
    """Say why a FLAIR cannot be used, from :meth:`relad.qc.measures.Lattice.mri`."""
    return _pose("FLAIR to T1w", numbers["FLAIR_margin"], limits) + _fit(
        "FLAIR to T1w", numbers, "FLAIR_", limits
    )


def judge_pet(tracer: str, numbers: Mapping[str, Any], limits: Quality) -> list[str]:
    """Say why a PET cannot be used.

    ``numbers`` are those of :meth:`relad.qc.measures.Lattice.pet` and
    :meth:`relad.imaging.suvr.Reference.qc`, and ``motion_mm``: the greatest displacement of a
    frame inside the window, None where one shows too little to tell (only without correction).
    """
    name = f"{tracer} to T1w"
    reasons = _pose(name, numbers["margin"], limits) + _fit(name, numbers, "", limits)
    seen = numbers["reference_coverage"]
    if seen < limits.min_reference_coverage:
        reasons.append(
            f"{tracer}: the scan covers {seen:.0%} of the reference region, "
            f"less than {limits.min_reference_coverage:.0%}"
        )
    variation = numbers["reference_sd"] / numbers["reference_mean"]
    if variation > limits.max_reference_variation:
        reasons.append(
            f"{tracer}: uptake in the reference region varies by {variation:.0%} of its mean, "
            f"more than {limits.max_reference_variation:.0%}"
        )
    return reasons + _motion(tracer, numbers["motion_mm"], limits)


def _motion(tracer: str, moved: float | None, limits: Quality) -> list[str]:
    if moved is None or moved <= limits.max_motion_mm:
        return []
    return [
        f"{tracer}: a frame of the window lies {moved:.1f} mm from its middle one, "
        f"more than {limits.max_motion_mm:g} mm"
    ]


def _fit(name: str, numbers: Mapping[str, Any], prefix: str, limits: Quality) -> list[str]:
    reasons = []
    coverage = numbers[f"{prefix}coverage"]
    if coverage < limits.min_coverage:
        reasons.append(
            f"{name}: the scan covers {coverage:.0%} of the brain, "
            f"less than {limits.min_coverage:.0%}"
        )
    found, least = numbers[f"{prefix}registration"], limits.min_registration_correlation
    if found < least:
        reasons.append(
            f"{name}: correlation after registration is {found:.2f}, less than {least:g}"
        )
    return reasons


def _pose(name: str, margin: float, limits: Quality) -> list[str]:
    if margin >= limits.min_pose_margin:
        return []
    return [
        f"{name}: it fits better when displaced by 8 mm or 10 degrees (margin {margin:.3f}, "
        f"less than {limits.min_pose_margin:g})"
    ]
