"""What a process started ends when it is killed outright, and at once where it is gone already."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from relad import cli
from relad.orphans import STARTED_BY
from relad.study.paths import REPOSITORY

#: A job as the workflow starts it, whose step does not end; it says its number.
JOB = """
import os, subprocess, sys
from relad.orphans import STARTED_BY
step = (
    "import os, time; from relad.orphans import end_with_the_run; end_with_the_run();"
    "print(os.getpid(), flush=True); time.sleep(100)"
)
env = {**os.environ, STARTED_BY: str(os.getpid())}
subprocess.run([sys.executable, "-c", step], env=env)
"""
#: The workers of a simulation, which say their numbers.
SIMULATION = """
import os, time
from relad.steps import phantom

def hang(one):
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(100)

list(phantom._subjects(hang, [1, 2], "tiny", 2))
"""
#: A pool of a step whose workers are at work and say their numbers.
POOL = """
import os, sys, time
from pathlib import Path
from relad.cohort import workers
from relad.cohort.scans import Task

def hang(task, root):
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(100)

workers.ingest_subject = hang
list(workers.run_tasks([Task(str(n), (), None) for n in range(2)], Path(), 2))
"""


def ended(process: int, within: float = 5) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("program", "children"),
    [(JOB, 1), (POOL, 2), (SIMULATION, 2)],
    ids=["job", "pool", "simulation"],
)
def test_what_a_killed_process_started_ends(program: str, children: int) -> None:
    words = [sys.executable, "-c", program]
    with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            started = [int(process.stdout.readline()) for _ in range(children)]
            assert not any(ended(child, 0.1) for child in started)
        finally:
            process.kill()
    try:
        assert all(ended(child) for child in started)
    finally:
        for child in started:
            if not ended(child, 0.05):
                os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(("running", "status"), [(False, -signal.SIGTERM), (True, 0)])
def test_a_job_whose_run_was_killed_before_it_began(running: bool, status: int) -> None:
    """Where a program stands between them, the run is alive and is no parent."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    program = "from relad.orphans import end_with_the_run; end_with_the_run()"
    env = {**os.environ, STARTED_BY: "1" if running else str(gone.pid)}
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env=env, check=False)
    assert done.returncode == status


def test_a_simulation_whose_worker_is_killed_says_so(tmp_path, monkeypatch, capsys) -> None:
    settings = REPOSITORY / "config" / "test.yaml"
    monkeypatch.setattr(ProcessPoolExecutor, "map", _broken)
    words = ["phantom", str(tmp_path / "raw"), "--cohort", "tiny-train", "--jobs", "2"]
    assert cli.main([*words, "--settings", str(settings)]) == 2
    assert "a process that simulated a subject was ended" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def _broken(*_: object) -> None:
    raise BrokenProcessPool
