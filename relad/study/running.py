"""Whether runs of the workflow are at work in a folder, and what to do where one cannot begin.

Snakemake locks what a run will write and cannot tell a run at work from one that was killed; the
system can, which releases a killed process's lock on a file. Standard library only, since the
Snakefile imports it.
"""

from __future__ import annotations

import copy
import errno
import fcntl
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from relad.errors import machine_failure
from relad.study.paths import RESULTS

#: Folder in Snakemake's own with the plans of runs that are at work, see relad/study/planned.py.
PLANS = "relad"
_MARK = "relad-at-work"
_AGAIN = "and run the same again"
#: Snakemake's ``--max-jobs-per-timespan``, jobs and seconds, where nobody gives one.
_DEFAULT_LIMIT = 100, 1


class Run:
    """A run of the workflow that others in the same folder can see while it is at work."""

    def __init__(self, mark: int):
        self._mark = mark

    @classmethod
    @contextmanager
    def at_work(cls, folder: Path) -> Iterator[Run]:
        """Be seen in a folder (Snakemake's own, ``.snakemake``).

        Where nobody else is, the plans there are of runs that were killed. They are removed, so
        that no job that still waits in a queue begins beside this run, whose own is yet to come.
        """
        folder.mkdir(exist_ok=True)
        mark = os.open(folder / _MARK, os.O_RDWR | os.O_CREAT, 0o666)
        run = cls(mark)
        try:
            if run._lock(fcntl.LOCK_EX):
                for plan in (folder / PLANS).glob("*.json"):
                    plan.unlink(missing_ok=True)
            run._lock(fcntl.LOCK_SH)
            yield run
        finally:
            os.close(mark)

    def _lock(self, kind: int) -> bool | None:
        """Take the mark; False where another run keeps it, None where nobody can tell.

        The shared mark is waited for: whoever looks whether a run is at work, or is refused, has it
        for a moment.
        """
        try:
            fcntl.flock(self._mark, kind if kind == fcntl.LOCK_SH else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return None
        return True

    def refused(self, words: Sequence[str]) -> str:
        """What to do about a folder that Snakemake finds locked.

        Parameters
        ----------
        words
            The command line that was refused, without the program.
        """
        alone = self._lock(fcntl.LOCK_EX)
        if alone is False:
            return f"another run is at work on the same files -- wait until it is done {_AGAIN}"
        unlock = shlex.join([sys.executable, "-m", "snakemake", *words, "--unlock"])
        if alone:
            said = "a run that was killed left its files locked"
        else:
            said = "locked by another run, or by one that was killed: if none is at work"
        return f"{said} -- unlock them: {unlock} -- {_AGAIN}"


def is_at_work(folder: Path) -> bool | None:
    """Whether a run is seen at work in a folder (``.snakemake``); None where nobody can tell."""
    try:
        mark = os.open(folder / _MARK, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        alone = Run(mark)._lock(fcntl.LOCK_EX)
        return None if alone is None else not alone
    finally:
        os.close(mark)


def _require_writable(results: Path) -> None:
    """Refuse a folder of results that leads nowhere, or that takes no files."""
    if results.is_symlink() and not results.exists():
        raise OSError(errno.ENOENT, f"leads to {results.readlink()}, which is not there", results)
    place = results if results.exists() else Path()
    if not os.access(place, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, "cannot be written", place)


def _quoting(plugin: Any) -> Any:
    """An executor's plugin whose jobs find an interpreter in a folder with a space.

    Snakemake quotes every word of a submitted job's command line but this one.
    """

    class Executor(plugin.executor):
        def get_python_executable(self) -> str:
            return shlex.quote(super().get_python_executable())

    quoting = copy.copy(plugin)
    quoting.executor = Executor
    return quoting


def _unhurried(scheduling: Any) -> None:
    """Lift Snakemake's own limit to jobs begun, 100 a second, which no run of a study reaches.

    For its sake the scheduler looks for jobs again a second after every job that ended, and from
    then on every second: after 150 jobs, while others wait, that fills a core (snakemake#3744).
    A limit of the user's own stays.
    """
    limit = scheduling.max_jobs_per_timespan
    if limit is not None and (limit.max_jobs, limit.timespan) == _DEFAULT_LIMIT:
        scheduling.max_jobs_per_timespan = None


def governed(
    workflow: Any, *, refused: type[Exception], told: type[Exception]
) -> Callable[..., bool]:
    """Snakemake's own ``workflow.execute`` that says what to do where it cannot begin or go on.

    That in one line; and it looks for jobs no more often than there can be any.

    Parameters
    ----------
    workflow
        Snakemake's workflow.
    refused
        What it raises of a folder that is locked.
    told
        What it prints without a traceback.
    """
    execute = workflow.execute

    def run(*, executor_plugin: Any, **options: Any) -> bool:
        plans = executor_plugin.common_settings.dryrun_exec
        main = workflow.is_main_process and not plans  # and not one job of it on another machine
        try:
            if main:
                _require_writable(RESULTS)
            _unhurried(workflow.scheduling_settings)
            with Run.at_work(Path(".snakemake")) if main else nullcontext() as mine:
                try:
                    return execute(executor_plugin=_quoting(executor_plugin), **options)
                except refused:
                    raise told(mine.refused(sys.argv[1:])) from None
        except OSError as error:
            what = machine_failure(error) or error.strerror or str(error)
            file = Path(error.filename or "").absolute()
            raise told(f"{file}: {what} -- mend that {_AGAIN}") from None

    return run
