"""What a person decided of a subject by hand, and on whose word: section ``qc.overrides``."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from relad.errors import ReladError
from relad.qc.limits import judge
from relad.status import SubjectStatus
from relad.study.settings import Override, Quality


def of_subjects(overrides: Iterable[Override], cohort: str | None) -> dict[str, Override]:
    """Subject -> override, of one cohort.

    Raises
    ------
    ReladError
        Where ``cohort`` is None and overrides are of several.
    """
    some = [entry for entry in overrides if cohort in (None, entry.cohort)]
    cohorts = sorted({entry.cohort for entry in some})
    if len(cohorts) > 1:
        raise ReladError(
            f"qc.overrides name subjects of several cohorts ({', '.join(cohorts)})",
            hint="name the one to be judged by --cohort",
        )
    return {entry.subject: entry for entry in some}


def decide(status: SubjectStatus, limits: Quality, override: Override | None) -> SubjectStatus:
    """Judge a subject by limits, and by the override that there may be of it.

    ``keep`` lets in what limits exclude, the subject and each of its scans; not what is missing or
    could not be measured. ``drop`` excludes the subject.

    Parameters
    ----------
    status
        Of `relad normalize`; it is not changed.
    limits
        Section ``qc`` of the configuration.
    override
        Of this subject.

    Returns
    -------
    The judged status; what was overridden stands in its ``override``.
    """
    judged = judge(copy.deepcopy(status), limits)
    if override is None:
        return judged
    who, why = override.who, override.why
    if override.decision == "drop":
        besides = f" (besides: {judged.reason})" if judged.reason else ""
        note = f"dropped by {who}: {why}{besides}"
        judged.exclude(note)
    else:
        note = f"kept by {who} {_although(status, judged)}: {why}"
        judged = copy.deepcopy(status)
    judged.override = {"decision": override.decision, "who": who, "why": why, "note": note}
    return judged


def _although(measured: SubjectStatus, judged: SubjectStatus) -> str:
    """What a decision to keep has overridden, in words."""
    if not measured.ok:
        return f"in vain, since limits are not what excludes it ({measured.reason})"
    pairs = zip(measured.scans.values(), judged.scans.values(), strict=True)
    reasons = [str(after.reason) for before, after in pairs if before.ok and not after.ok]
    return f"although {'; '.join(reasons)}" if reasons else "without need, no limit excludes it"
