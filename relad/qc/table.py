"""A cohort's quality as a table: one row per subject, one column per number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from relad.status import SubjectStatus
from relad.study.settings import Quality

SUBJECT = (
    "brain_volume_ml",
    "brain_overlap_dice",
    "T1w_registration",
    "T1w_margin",
    "T1w_half_turn",
    "T1w_coverage",
    "FLAIR_registration",
    "FLAIR_margin",
    "FLAIR_coverage",
)
TRACER = (
    "registration",
    "margin",
    "detail",
    "coverage",
    "motion_mm",
    "reference_mean",
    "reference_variation",
    "reference_coverage",
    "reference_fit",
    "reference_in_cerebellum",
    "reference_in_cerebellar_grey",
)

#: Columns of motion.tsv; those of x, y and z are translations (mm) of the head's centre and the
#: rotation vector (degrees), both in RAS.
MOTION_COLUMNS = (
    *("subject", "tracer", "frame", "start_s", "duration_s", "in_window", "corrected"),
    *("displacement_mm", "x_mm", "y_mm", "z_mm", "x_deg", "y_deg", "z_deg"),
)


def motion_rows(subject: str, tracer: str, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of motion.tsv from one PET's motion file, a row per frame."""
    rows = []
    for frame in told["frames"]:
        found = [*(frame["translation_mm"] or [None] * 3), *(frame["rotation_deg"] or [None] * 3)]
        facts = (
            *(subject, tracer, frame["index"], frame["start_s"], frame["duration_s"]),
            *("yes" if yes else "no" for yes in (frame["in_window"], told["corrected"])),
            *(frame["displacement_mm"], *found),
        )
        rows.append(dict(zip(MOTION_COLUMNS, facts, strict=True)))
    return rows


def columns(tracers: Sequence[str]) -> list[str]:
    """Columns of the table, in order."""
    of_tracers = [f"{tracer}_{name}" for tracer in tracers for name in TRACER]
    return ["subject", "status", "session", "used", "reason", "override", *SUBJECT, *of_tracers]


def row_of(status: SubjectStatus, tracers: Sequence[str]) -> dict[str, Any]:
    """Row of one judged subject."""
    scans = {**status.mri, **{t: status.pet[t] for t in tracers if t in status.pet}}
    left_out = {name: scan for name, scan in scans.items() if not scan.ok}
    used = [name for name in scans if name not in left_out]
    row = {
        "subject": status.subject,
        "status": "excluded" if not status.ok else "partial" if left_out else "ok",
        "session": status.session,
        "used": ",".join(used) or None if status.ok else None,
        "reason": status.reason
        if not status.ok
        else "; ".join(f"{k} {scan.state}: {scan.reason}" for k, scan in left_out.items()) or None,
        "override": status.override["note"] if status.override else None,
    }
    row |= {name: status.numbers.get(name) for name in SUBJECT}
    for tracer in tracers:
        numbers = dict(status.pet[tracer].numbers) if tracer in status.pet else {}
        if numbers.get("reference_mean"):
            ratio = numbers["reference_sd"] / numbers["reference_mean"]
            numbers["reference_variation"] = round(ratio, 4)
        row |= {f"{tracer}_{name}": numbers.get(name) for name in TRACER}
    return row


def range_of(column: str, limits: Quality) -> tuple[float | None, float | None]:
    """Least and greatest accepted value of a column; None where there is no limit."""
    if column == "brain_volume_ml":
        low, high = limits.brain_volume_ml
        return low, high
    if column == "T1w_half_turn":
        return None, 0.0
    for suffix, key in (
        ("overlap_dice", "min_brain_overlap_dice"),
        ("reference_coverage", "min_reference_coverage"),
        ("reference_in_cerebellum", "min_reference_in_cerebellum"),
        ("reference_fit", "min_reference_fit"),
        ("coverage", "min_coverage"),
        ("FLAIR_registration", "min_flair_correlation_ratio"),
        ("registration", "min_registration_correlation"),
        ("T1w_margin", "min_head_margin"),
        ("FLAIR_margin", "min_flair_margin"),
        ("margin", "min_pose_margin"),
    ):
        if column.endswith(suffix):
            return getattr(limits, key), None
    for suffix, key in (
        ("detail", "max_pet_detail"),
        ("reference_variation", "max_reference_variation"),
        ("motion_mm", "max_motion_mm"),
    ):
        if column.endswith(suffix):
            return None, getattr(limits, key)
    return None, None
