"""What is said where a run finds its folder locked, read-only or gone."""

from __future__ import annotations

import errno
import fcntl
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.cli import get_argument_parser

from relad.study import running
from relad.study.running import PLANS, Run, governed, is_at_work
from tests.helpers.limits import read_only


class LockedError(Exception):
    pass


class ToldError(Exception):
    pass


class Executor:
    def get_python_executable(self) -> str:
        return sys.executable


class Workflow:
    """As much of Snakemake's as is read; ``does`` stands for the run."""

    def __init__(self, does, *, dry: bool = False):
        self.is_main_process, self.does = True, does
        self.scheduling_settings = SimpleNamespace(max_jobs_per_timespan=None)
        settings = SimpleNamespace(dryrun_exec=dry)
        self.plugin = SimpleNamespace(common_settings=settings, executor=Executor)

    def execute(self, *, executor_plugin) -> bool:
        self.executor = executor_plugin.executor()
        return self.does()

    def run(self) -> bool:
        told = governed(self, refused=LockedError, told=ToldError)
        return told(executor_plugin=self.plugin)


def fails(error: Exception):
    def run():
        raise error

    return run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", [[], ["--max-jobs-per-timespan", "5/1m"]])
def test_only_a_limit_of_ones_own_makes_snakemake_look_for_jobs_every_second(words) -> None:
    given = get_argument_parser().parse_args(words).max_jobs_per_timespan
    workflow = Workflow(lambda: True)
    workflow.scheduling_settings.max_jobs_per_timespan = given
    assert workflow.run()
    assert workflow.scheduling_settings.max_jobs_per_timespan is (given if words else None)


LOOKS = """
from snakemake.exceptions import LockException, WorkflowError
from snakemake.scheduling.job_scheduler import JobScheduler
from relad.study.running import governed

workflow.execute = governed(workflow, refused=LockException, told=WorkflowError)
looks, select = [], JobScheduler.job_selector
JobScheduler.job_selector = lambda self, jobs: looks.append(len(jobs)) or select(self, jobs)

onsuccess:
    with open("looks", "w") as file:
        file.write(str(len(looks)))

rule all:
    input: expand("{n}", n=range(10))

rule each:
    output: "{n}"
    shell: "sleep 0.4; touch {output}"
"""


def test_snakemake_looks_for_jobs_once_for_each(folder: Path) -> None:
    (folder / "Snakefile").write_text(LOOKS)
    (folder / "results").mkdir()
    words = ["snakemake", "--cores", "1", "--quiet"]
    subprocess.run([sys.executable, "-m", *words], check=True, timeout=120)
    assert int((folder / "looks").read_text()) <= 12


def test_an_interpreter_in_a_folder_with_a_space(monkeypatch) -> None:
    """Its jobs' command lines begin with it, see tests/workflow/test_slurm.py."""
    for python in ("/a place/bin/python", "/place/bin/python"):
        monkeypatch.setattr(sys, "executable", python)
        for _ in range(2):  # as often as it is run
            workflow = Workflow(lambda: True)
            assert workflow.run()
            assert shlex.split(workflow.executor.get_python_executable()) == [python]


def test_a_folder_that_a_killed_run_left_locked(monkeypatch) -> None:
    words = ["all", "--configfile", "a study.yaml"]
    monkeypatch.setattr(running.sys, "argv", ["snakemake", *words])
    with pytest.raises(ToldError) as told:
        Workflow(fails(LockedError())).run()
    remedy = str(told.value).partition("unlock them: ")[2].rpartition(" -- ")[0]
    assert shlex.split(remedy)[1:] == ["-m", "snakemake", *words, "--unlock"]
    assert "a run that was killed" in str(told.value)


def test_a_folder_in_which_another_run_is_at_work() -> None:
    second = Workflow(fails(LockedError()))
    with pytest.raises(ToldError, match="another run is at work on the same files -- wait"):
        Workflow(second.run).run()


def test_a_file_system_without_locks_leaves_it_to_the_user(monkeypatch) -> None:
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(ToldError, match="if none is at work -- unlock them: "):
        Workflow(fails(LockedError())).run()


def test_runs_of_other_files_do_not_disturb_each_other() -> None:
    assert Workflow(Workflow(lambda: True).run).run()
    with Run.at_work(Path(".snakemake")) as alone:
        assert "a run that was killed" in alone.refused([])


def test_a_run_that_begins_while_somebody_looks_is_seen(folder: Path) -> None:
    with Run.at_work(folder):
        pass  # leaves the file that is looked at
    looks = threading.Event()

    def look() -> None:
        with (folder / "relad-at-work").open("r+") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX)
            looks.set()
            time.sleep(0.3)

    looker = threading.Thread(target=look)
    looker.start()
    assert looks.wait(5)
    with Run.at_work(folder):
        looker.join()
        assert is_at_work(folder)


def test_plans_of_killed_runs_go_and_those_of_runs_at_work_stay(folder: Path) -> None:
    """A job that waits in a queue must not find the plan of its run that is gone."""
    plans = folder / PLANS
    plans.mkdir()
    (plans / "killed.json").touch()
    with Run.at_work(folder):
        assert not list(plans.iterdir())
        (plans / "first.json").touch()
        with Run.at_work(folder):
            assert [file.name for file in plans.iterdir()] == ["first.json"]


def test_a_plan_marks_nothing_and_needs_no_room(folder: Path) -> None:
    (folder / "results").symlink_to("gone")
    assert Workflow(lambda: True, dry=True).run()
    assert not (folder / ".snakemake").exists()
    with pytest.raises(ToldError, match=r"results: leads to gone, which is not there -- mend"):
        Workflow(fails(AssertionError())).run()


def test_a_folder_for_reading_alone(folder: Path) -> None:
    (folder / "results").mkdir()
    with read_only(folder / "results"), pytest.raises(ToldError, match=r"results: cannot be wri"):
        Workflow(fails(AssertionError())).run()


def test_a_study_for_reading_alone_that_has_no_results_yet(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(running.os, "access", lambda place, _: place != Path())
    with pytest.raises(ToldError, match=rf"{folder}: cannot be written -- mend that"):
        Workflow(fails(AssertionError())).run()


def test_a_disk_that_fails_during_the_run() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", ".snakemake/locks/0")
    with pytest.raises(ToldError, match=r"\.snakemake/locks/0: No space left on device -- mend"):
        Workflow(fails(full)).run()
    with pytest.raises(ZeroDivisionError):
        Workflow(fails(ZeroDivisionError())).run()
