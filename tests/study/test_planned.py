"""What a run decided once, for jobs that start later."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.study import planned, site
from relad.study.paths import REPOSITORY
from relad.study.planned import CODE, VARIABLE, Code, Planned, require_planned_code

MODULES = ("relad.steps.tune",)


def write(folder: Path, code: Code) -> Path:
    plan = Planned({"seed": 1}, {"toy": ["A"]}, site.load(None), None, "0", (code,))
    plan.write(folder / "plan.json")
    return folder / "plan.json"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path, Code.of(MODULES))


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A plan of other code than there is."""
    return write(tmp_path, replace(Code.of(MODULES), own="edited"))


def test_what_was_written_is_read(file: Path) -> None:
    held = Planned.read(file)
    assert (held.study, held.subjects) == ({"seed": 1}, {"toy": ["A"]})
    assert held.site == site.load(None)
    assert held.code == (Code.of(MODULES),)
    assert held.of_modules(MODULES) == Code.of(MODULES).fingerprint


def test_the_same_code_may_run(file: Path) -> None:
    require_planned_code({VARIABLE: str(file), CODE: Code.of(MODULES).fingerprint})
    require_planned_code({})  # no workflow started this


LINE = "the code of 'tune' changed since this job was planned -- run the same snakemake"


def test_other_code_may_not(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "fingerprint", lambda *modules: "edited")
    with pytest.raises(ReladError, match=LINE):
        Planned.read(file).require_code(MODULES)


def test_a_step_refuses_other_code(edited: Path) -> None:
    with pytest.raises(ReladError, match=LINE):
        require_planned_code({VARIABLE: str(edited), CODE: Code.of(MODULES).fingerprint})


def test_a_file_that_is_gone_is_other_code(tmp_path: Path) -> None:
    code = replace(Code.of(MODULES), files=("relad/gone.py",))
    with pytest.raises(ReladError, match=LINE):
        require_planned_code({VARIABLE: str(write(tmp_path, code)), CODE: code.fingerprint})


def test_code_that_was_not_planned_is_refused(file: Path) -> None:
    with pytest.raises(ReladError, match=r"plan\.json: has no code of this job -- run the same"):
        require_planned_code({VARIABLE: str(file), CODE: "another"})


def test_a_job_asks_before_it_does_anything(edited: Path) -> None:
    """The launcher of the rules, whatever the step."""
    job = {VARIABLE: str(edited), CODE: Code.of(MODULES).fingerprint}
    done = subprocess.run(
        [sys.executable, REPOSITORY / "workflow" / "relad.py", "status"],
        env={**os.environ, **job}, cwd=edited.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"relad status: error: {LINE}")


def test_another_workflow_is_told(file: Path) -> None:
    with pytest.raises(ReladError, match="workflow/ or relad/study/ changed"):
        Planned.read(file).require_workflow()


def test_a_run_that_has_ended_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReladError, match="the run that planned this job has ended"):
        Planned.read(tmp_path / "plan.json")
