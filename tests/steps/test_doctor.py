"""`relad doctor` on this machine, and on one where nothing is installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from relad import cli
from relad.doctor.finding import Finding, Level
from relad.doctor.packages import PLANNING, needed
from relad.steps import doctor
from relad.study.paths import REPOSITORY


def test_a_bare_python_is_told_what_to_install() -> None:
    """Without any package: `doctor` needs none itself."""
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from relad.cli import main; "
        "sys.exit(main(['doctor', '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": ""},
    )
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["can_run"] is False
    lacks = {f["about"]: f for f in told["findings"] if f["level"] == "LACK"}
    assert {"torch", "antspyx", "dcm2niix", "pandas", *PLANNING} <= lacks.keys() <= needed().keys()
    assert lacks["torch"]["remedy"] == "pip install -r requirements.lock.txt"


@pytest.mark.parametrize(("level", "status"), [(Level.LACK, 1), (Level.NOTE, 0), (Level.OK, 0)])
def test_the_exit_status_tells_whether_the_study_can_run(
    level: Level, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = [Finding("memory", level, "0.5 GB available", "close other programs")]
    monkeypatch.setattr(doctor, "examine", lambda machine: iter(findings))
    assert cli.main(["doctor"]) == status
    said = capsys.readouterr().out
    assert said.startswith(f"{level:<5}memory     0.5 GB available\n")
    assert "-> close other programs" in said
    assert ("cannot run here" in said) == (status == 1)
    assert cli.main(["doctor", "--json"]) == status
    told = json.loads(capsys.readouterr().out)
    assert told["can_run"] == (status == 0)
    assert told["findings"][0]["level"] == level
