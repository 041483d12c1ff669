"""What a run decided once, for jobs that start later."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.study import planned, site
from relad.study.planned import CODE, VARIABLE, Code, Planned, require_planned_code

MODULES = ("relad.steps.tune",)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    code = Code.of(MODULES)
    plan = Planned({"seed": 1}, {"toy": ["A"]}, site.load(tmp_path / "none"), "0", (code,))
    plan.write(tmp_path / "plan.json")
    return tmp_path / "plan.json"


def test_what_was_written_is_read(file: Path) -> None:
    held = Planned.read(file)
    assert (held.study, held.subjects) == ({"seed": 1}, {"toy": ["A"]})
    assert held.site == site.load(file / "none")
    assert held.of_modules(MODULES) == Code.of(MODULES).fingerprint


def test_the_same_code_may_run(file: Path) -> None:
    require_planned_code({VARIABLE: str(file), CODE: Code.of(MODULES).fingerprint})
    require_planned_code({})  # no workflow started this


def test_other_code_may_not(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Code.of(MODULES).fingerprint
    monkeypatch.setattr(planned, "fingerprint", lambda *modules: "edited")
    line = "the code of 'tune' changed since this job was planned -- run the same snakemake"
    with pytest.raises(ReladError, match=line):
        require_planned_code({VARIABLE: str(file), CODE: known})
    with pytest.raises(ReladError, match=line):
        Planned.read(file).require_code(MODULES)


def test_another_workflow_is_told(file: Path) -> None:
    with pytest.raises(ReladError, match="workflow/ or relad/study/ changed"):
        Planned.read(file).require_workflow()


def test_a_run_that_has_ended_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReladError, match="the run that planned this job has ended"):
        Planned.read(tmp_path / "plan.json")
