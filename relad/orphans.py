"""Processes that end when the one that they work for does.

A process that is killed outright ends none of those it started: they would go on writing, unseen,
beside the ones of the next run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

#: Of ``prctl(2)``: the signal that the kernel sends when the parent ends.
_PR_SET_PDEATHSIG = 1
#: Set by the workflow: the process that started a job's shell, whose place the step takes.
STARTED_BY = "RELAD_STARTED_BY"


def end_with(parent: int, by: signal.Signals = signal.SIGTERM) -> None:
    """Be sent a signal when the parent ends; at once where it is gone already. Linux alone.

    Parameters
    ----------
    parent
        Process that started this one, as it knew itself: one that is gone has left its children to
        another.
    by
        A training stores a checkpoint on SIGTERM.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
    if os.getppid() != parent and not is_running(parent):
        os.kill(os.getpid(), by)


def pool(jobs: int, **given: Any) -> ProcessPoolExecutor:
    """Processes that are killed when this one ends; ``given`` goes to the executor."""
    mine = (os.getpid(), signal.SIGKILL)
    return ProcessPoolExecutor(jobs, initializer=end_with, initargs=mine, **given)


def end_with_the_run() -> None:
    """As a job of the workflow, end with the Snakemake that runs it."""
    if started_by := os.environ.pop(STARTED_BY, None):
        end_with(int(started_by))


def is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
