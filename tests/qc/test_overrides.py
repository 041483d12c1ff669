"""Decisions by hand: recorded with who and why, and no more than limits are overridden."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relad.errors import ReladError
from relad.qc.overrides import decide, of_subjects
from relad.status import ScanStatus, State, SubjectStatus
from relad.study.settings import Override, QcSettings
from tests.helpers.quality import GOOD, GOOD_PET, SMALL
from tests.helpers.settings import of

LIMITS = of(QcSettings).qc
KEEP = Override("toy", "A1", "keep", "XY", "seen with a neurologist")
DROP = replace(KEEP, decision="drop", why="moved out of the scanner")


def measured(flair: State = State.OK, pet: dict | None = None, **numbers: float) -> SubjectStatus:
    return SubjectStatus(
        "A1",
        mri={
            "T1w": ScanStatus(State.OK),
            "FLAIR": ScanStatus(flair, None if flair is State.OK else "no FLAIR in the session"),
        },
        pet={"tau": ScanStatus(State.OK, numbers={**GOOD_PET, **(pet or {})})},
        numbers={**GOOD, **numbers},
    )


def test_keep_lets_in_what_limits_exclude_and_nothing_else() -> None:
    status = measured(State.MISSING, {"motion_mm": 20.0}, brain_volume_ml=500.0)
    assert not decide(status, LIMITS, None).ok
    kept = decide(status, LIMITS, KEEP)
    assert kept.ok and kept.pet["tau"].ok and kept.mri["T1w"].ok
    assert kept.mri["FLAIR"].state == "missing"
    assert kept.override == {
        "decision": "keep",
        "who": "XY",
        "why": "seen with a neurologist",
        "note": f"kept by XY although {SMALL}; tau: a frame of the window lies 20.0 mm from its "
        "middle one, more than 15 mm (leave it out of the window): seen with a neurologist",
    }
    assert status.override is None and status.ok  # the measured one stays as it was


def test_drop_excludes_the_subject_whatever_the_limits_say() -> None:
    dropped = decide(measured(), LIMITS, DROP)
    assert dropped.state == dropped.mri["T1w"].state == "excluded"
    assert dropped.reason == "dropped by XY: moved out of the scanner"
    also = decide(measured(brain_volume_ml=500.0), LIMITS, DROP)
    assert also.reason == f"dropped by XY: moved out of the scanner (besides: {SMALL})"


def test_keep_without_need_or_in_vain_says_so() -> None:
    fine = decide(measured(), LIMITS, KEEP)
    assert fine.ok
    assert fine.override["note"] == (
        "kept by XY without need, no limit excludes it: seen with a neurologist"
    )
    lost = measured()
    lost.exclude("T1w is truncated")
    kept = decide(lost, LIMITS, KEEP)
    assert not kept.ok and kept.reason == "T1w is truncated"
    assert "in vain" in kept.override["note"] and "T1w is truncated" in kept.override["note"]


def test_an_override_survives_the_file(tmp_path) -> None:
    decide(measured(), LIMITS, DROP).write(tmp_path)
    assert SubjectStatus.read(tmp_path).override["who"] == "XY"


def test_overrides_of_several_cohorts_need_one_to_be_named() -> None:
    other = replace(DROP, cohort="other")
    assert of_subjects([KEEP, other], "other") == {"A1": other}
    assert of_subjects([KEEP], None) == {"A1": KEEP}
    with pytest.raises(ReladError, match="several cohorts \\(other, toy\\)"):
        of_subjects([KEEP, other], None)
