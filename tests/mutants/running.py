"""Tests of a copy of the repository, run in a process that need not import the large packages."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.fileio import read_json
from relad.study.paths import REPOSITORY

#: Packages that tests import and that hold no fault.
LARGE = ["torch", "pandas", "scipy.stats", "skimage.metrics", "nibabel", "matplotlib.pyplot"]
OURS = {"relad", "baselines", "benchmarks", "tests"}
LOG = "pytest.log"


def prepare() -> None:
    """Have processes forked from one that has imported the large packages, on one thread each."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    multiprocessing.get_context("forkserver").set_forkserver_preload([*LARGE, "pytest"])


def run_tests(root: Path, tests: Sequence[str], limit: float | None = None) -> str | None:
    """Run tests in a copy of the repository; return the first that fails, None where all pass.

    What does not end within ``limit`` seconds fails too.

    Raises
    ------
    ReladError
        Where pytest could not run them.
    """
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_pytest, args=(root, tests))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return f"no end within {limit:g} s"
    if process.exitcode == pytest.ExitCode.OK:
        return None
    if process.exitcode == pytest.ExitCode.TESTS_FAILED:
        return next(iter(read_json(root / ".pytest_cache" / "v" / "cache" / "lastfailed")))
    log = (root / LOG).read_text(encoding="utf-8")
    raise ReladError(f"pytest ended with {process.exitcode}: {log[-2000:]}")


def _pytest(root: Path, tests: Sequence[str]) -> None:
    """Be ``python -m pytest`` in a copy of the repository, as far as it matters."""
    threading.Thread(target=_end_with_the_planter, daemon=True).start()
    os.chdir(root)
    # Nothing of the checkout, from which this very function came.
    for name in list(sys.modules):
        if name.partition(".")[0] in OURS:
            del sys.modules[name]
    sys.path[:] = [str(root), *(p for p in sys.path if p and Path(p).resolve() != REPOSITORY)]
    # What tests leave behind goes with the copy.
    temporary = root / ".tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    log = os.open(root / LOG, os.O_CREAT | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.exit(int(pytest.main(["-x", "-q", "--tb=short", *tests])))


def _end_with_the_planter() -> None:
    """Wait for the process that asked for these tests, and end them when it is gone.

    It is no parent as the system sees it: that is the server, which lives on with its children.
    """
    planter = multiprocessing.parent_process()
    assert planter is not None
    planter.join()
    os.kill(os.getpid(), signal.SIGKILL)
