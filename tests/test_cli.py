"""The command line: every step has its help; errors are one line."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from relad import __version__
from relad.cli import STEPS, main
from relad.errors import ReladError
from relad.study.paths import REPOSITORY
from relad.study.settings import OF_STEP


@pytest.mark.parametrize("step", STEPS)
def test_help_of_every_step_teaches(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([step, "--help"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    module = importlib.import_module(f"relad.steps.{step.replace('-', '_')}")
    assert f"usage: relad {step}" in shown
    assert (module.__doc__ or "").strip() in shown
    assert ("--settings" in shown) == (step in OF_STEP)


def test_help_lists_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for step, summary in STEPS.items():
        assert f"\n    {step}" in shown and summary in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"relad {__version__}\n"


def test_unknown_step_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["nope"])
    assert done.value.code == 2
    assert "invalid choice: 'nope'" in capsys.readouterr().err


def test_bad_input_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none")
    assert main(["synthesize", missing, missing, str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("relad synthesize: error: ")
    assert missing in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_error_names_file_and_hint() -> None:
    error = ReladError("is broken", file="a.nii", hint="mend it")
    assert str(error) == "a.nii: is broken -- mend it"


@pytest.mark.parametrize(
    "command",
    [["-m", "relad"], [str(REPOSITORY / "workflow" / "relad.py")]],
    ids=["-m", "launcher"],
)
def test_runs_as_a_program(command: list[str], tmp_path: Path) -> None:
    """The workflow's launcher works from any folder, ``python -m relad`` from the repository."""
    folder = REPOSITORY if command[0] == "-m" else tmp_path
    done = subprocess.run(
        [sys.executable, *command, "--version"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"relad {__version__}\n"), done.stderr
