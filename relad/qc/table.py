"""A cohort's quality as a table: one row per subject, one column per number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from relad.qc.limits import with_defaults

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
    "coverage",
    "motion_mm",
    "reference_mean",
    "reference_variation",
    "reference_coverage",
)


def columns(tracers: Sequence[str]) -> list[str]:
    """Columns of the table, in order."""
    of_tracers = [f"{tracer}_{name}" for tracer in tracers for name in TRACER]
    return ["subject", "status", "session", "used", "reason", *SUBJECT, *of_tracers]


def row_of(status: Mapping[str, Any], tracers: Sequence[str]) -> dict[str, Any]:
    """Row of one subject, from its ``status.json``."""
    images = {**status.get("mri", {}), **{t: status["tracers"].get(t, {}) for t in tracers}}
    left_out = {k: e for k, e in images.items() if e.get("status") != "ok"}
    excluded = status["status"] != "ok"
    reasons = (
        [str(status["reason"])]
        if excluded
        else [f"{k} {e.get('status', 'missing')}: {e.get('reason')}" for k, e in left_out.items()]
    )
    row = {
        "subject": status["subject"],
        "status": "excluded" if excluded else "partial" if left_out else "ok",
        "session": status.get("session"),
        "used": None if excluded else ",".join(k for k in images if k not in left_out) or None,
        "reason": "; ".join(reasons) or None,
    }
    row |= {name: status["qc"].get(name) for name in SUBJECT}
    for tracer in tracers:
        entry = dict(status["tracers"].get(tracer, {}))
        if entry.get("reference_mean"):
            entry["reference_variation"] = round(entry["reference_sd"] / entry["reference_mean"], 4)
        row |= {f"{tracer}_{name}": entry.get(name) for name in TRACER}
    return row


def range_of(column: str, limits: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Least and greatest accepted value of a column; None where there is no limit."""
    limits = with_defaults(limits)
    if column == "brain_volume_ml":
        low, high = limits["brain_volume_ml"]
        return low, high
    if column == "T1w_half_turn":
        return None, 0.0
    if column == "T1w_margin":
        return limits["min_head_margin"], None
    for suffix, key in (
        ("overlap_dice", "min_brain_overlap_dice"),
        ("reference_coverage", "min_reference_coverage"),
        ("coverage", "min_coverage"),
        ("registration", "min_registration_correlation"),
        ("margin", "min_pose_margin"),
    ):
        if column.endswith(suffix):
            return limits[key], None
    if column.endswith("reference_variation"):
        return None, limits["max_reference_variation"]
    return None, None
