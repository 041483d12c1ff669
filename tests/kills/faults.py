"""Five faults of the machine and of its users, each in a study that has one method left to do."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relad.fileio import whole_file
from tests.helpers.limits import read_only, small_disk
from tests.helpers.small_study import Study
from tests.kills.runs import Run, begin, finish

#: What each fault's run is to make: it trains, synthesises, evaluates and makes a table.
TARGET = ("results/tables/main.csv", "--cores", "2")
_METHOD = "unet"
_COHORT = "tiny-train"
#: Bytes that a full disk has left.
_LEFT = 200 * 1024


@dataclass(frozen=True)
class Fault:
    """What was done to a study, what it said each time, and whether it had to be unlocked."""

    name: str
    said: tuple[str, ...]
    unlocked: bool


def unfinished(done: Study, folder: Path) -> Study:
    """A copy of a finished study without one method's model, PET and metrics."""
    study = done.copy(folder)
    model = study.results / "models" / _METHOD
    for part in (
        model,
        *(study.results / p / _COHORT / _METHOD for p in ("synthesized", "metrics")),
    ):
        shutil.rmtree(part)
    for file in (study.results / "tables").glob("main.*"):
        file.unlink()
    return study


def refused(study: Study) -> str:
    """Run a study that cannot be run; the line it says."""
    run = Run(study, *TARGET)
    if run.wait() == 0 or "Traceback (most recent call last)" in run.said:
        raise RuntimeError(f"{study.folder}: not refused in a line:\n{run.said[-4000:]}")
    return run.line()


@contextmanager
def on_a_disk(done: Study, folder: Path) -> Iterator[tuple[Study, Path]]:
    """An unfinished study on a disk of its own, a little larger than it."""
    megabytes = sum(f.lstat().st_size for f in done.folder.rglob("*")) // 2**20 + 100
    with small_disk(folder, f"{megabytes}m") as disk:
        yield unfinished(done, disk / "on"), disk


def full_disk(done: Study, folder: Path) -> Fault:
    """The disk fills up before a training; then room is made."""
    with on_a_disk(done, folder) as (study, disk):
        filler = disk / "filler"
        with filler.open("wb") as file:
            for _ in range(shutil.disk_usage(disk).free - _LEFT >> 12):
                file.write(bytes(1 << 12))
        said = refused(study)
        filler.unlink()
        unlocked = finish(study, *TARGET)
        same(study, done)
    return Fault("the disk is full", (said,), unlocked)


def write_protected(done: Study, folder: Path) -> Fault:
    """The results are mounted read-only; then for writing."""
    study = unfinished(done, folder)
    with read_only(study.results):
        said = refused(study)
    unlocked = finish(study, *TARGET)
    same(study, done)
    return Fault("the results are read-only", (said,), unlocked)


def vanished(done: Study, folder: Path) -> Fault:
    """The results lie elsewhere, which is taken away while a training runs, and comes back."""
    study = unfinished(done, folder)
    mount, away = folder / "mount", folder / "away"
    study.results.rename(mount)
    study.results.symlink_to(mount)
    run, _ = begin(study, *TARGET)
    mount.rename(away)
    if run.wait() == 0:
        raise RuntimeError("a run without its results succeeds")
    said = run.line(), refused(study)
    away.rename(mount)
    unlocked = finish(study, *TARGET)
    same(study, done)
    return Fault("a mounted disk vanishes during a training", said, unlocked)


def two_at_once(done: Study, folder: Path) -> Fault:
    """The same command twice at the same time."""
    study = unfinished(done, folder)
    first, unlocked = begin(study, *TARGET)
    said = refused(study)
    if first.wait():
        raise RuntimeError(f"the first of two runs fails: {first.line()}")
    same(study, done)
    return Fault("two runs at once", (said,), unlocked)


def half_written(done: Study, folder: Path) -> Fault:
    """Files and folders that killed runs left half written, and one that is being written."""
    study = unfinished(done, folder)
    model = study.results / "models" / _METHOD / "fold-0_seed-0"
    pet = study.results / "synthesized" / _COHORT / _METHOD / model.name
    table = study.results / "tables" / "main.csv"
    for output in (model / "model.safetensors", model / "checkpoint.pt", table):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_name(f".part-4194305-{output.name}").write_text("half")
        output.with_name(f".part-lock-{output.name}").write_text("4194305 on another machine")
    for left in (f".part-4194305-{pet.name}", f".part-4194305-{pet.name}.old"):
        (pet.parent / left).mkdir(parents=True)
        (pet.parent / left / "half.nii.gz").write_text("half")
    written = threading.Event()
    living = threading.Thread(target=_write, args=(table, written))
    living.start()
    run, unlocked = begin(study, *TARGET)
    while not run.over and "waits for process" not in _log(study):
        written.wait(0.1)
    kept = bool(list(table.parent.glob(f".part-*-{table.name}")))
    written.set()
    living.join()
    if run.wait() or not kept:
        raise RuntimeError(f"half-written files: {run.line()}, kept: {kept}")
    same(study, done)
    waited = next(line for line in _log(study).splitlines() if "waits for process" in line)
    return Fault("half-written files, one of a living process", (waited,), unlocked)


def _write(file: Path, until: threading.Event) -> None:
    """Write a file for a while, and never to the end."""
    with whole_file(file) as temporary:
        temporary.write_text("being written")
        until.wait(600)
        temporary.write_text("what the run replaces")


def _log(study: Study) -> str:
    log = study.results / "logs" / "tables" / "main.log"
    return log.read_text(encoding="utf-8") if log.exists() else ""


def same(study: Study, done: Study) -> None:
    """Require the outcome of an undisturbed study, and nothing half written.

    Raises
    ------
    RuntimeError
        Naming what differs.
    """
    found, wanted = study.outcome(), done.outcome()
    if differs := sorted(k for k in found | wanted if found.get(k) != wanted.get(k)):
        raise RuntimeError(f"{study.folder}: differs from the undisturbed study: {differs}")
    if left := sorted(str(p) for p in study.results.rglob(".part-*")):
        raise RuntimeError(f"left half written: {left}")


FAULTS: dict[str, Callable[[Study, Path], Fault]] = {
    "full-disk": full_disk,
    "read-only": write_protected,
    "vanished": vanished,
    "two-at-once": two_at_once,
    "half-written": half_written,
}
