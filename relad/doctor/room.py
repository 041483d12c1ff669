"""Whether there is room: results, temporary files, memory, CPUs and their threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from relad.doctor.finding import Finding, Level
from relad.doctor.machine import Machine
from relad.study.paths import RESULTS

#: As measured on the embedded study: 1.7 GB of results, and 1.7 GB of memory in the largest job.
DISK_MB, MEMORY_MB, TEMPORARY_MB = 2500, 2000, 500
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def results(machine: Machine) -> Iterator[Finding]:
    """Whether Snakemake can write where it would be started, and into its cache."""
    for name in (RESULTS, Path(".snakemake")):
        folder = machine.folder / name
        if reason := machine.unwritable(folder):
            yield Finding(
                "results",
                Level.LACK,
                f"{folder} cannot be written ({reason})",
                "start in a folder of your own: snakemake --directory FOLDER all",
            )
            return
    if reason := machine.unwritable(machine.cache):
        yield Finding(
            "cache",
            Level.LACK,
            f"{machine.cache}, which Snakemake needs, cannot be written ({reason})",
            "export XDG_CACHE_HOME=FOLDER",
        )
    yield from _room(machine, "results", machine.folder / RESULTS, DISK_MB, "--directory FOLDER")


def temporary(machine: Machine) -> Iterator[Finding]:
    folder, wanted = machine.temporary, machine.environ.get("TMPDIR")
    if reason := machine.unwritable(folder):
        yield Finding(
            "TMPDIR", Level.LACK, f"{folder} cannot be written ({reason})", "export TMPDIR=FOLDER"
        )
        return
    if wanted and Path(wanted).absolute() != folder.absolute():
        yield Finding(
            "TMPDIR",
            Level.NOTE,
            f"is {wanted}, which cannot be written; {folder} is taken in its place",
            "export TMPDIR=FOLDER",
        )
    yield from _room(machine, "TMPDIR", folder, TEMPORARY_MB, "export TMPDIR=FOLDER")


def _room(
    machine: Machine, about: str, folder: Path, needs: int, elsewhere: str
) -> Iterator[Finding]:
    free = machine.free_mb(folder)
    what = f"{free / 1000:.1f} GB free in {folder}"
    if free < needs:
        needed_gb = f"{needs / 1000:.1f} GB"
        yield Finding(
            about, Level.LACK, f"{what}, {needed_gb} needed", f"make room, or {elsewhere}"
        )
    else:
        yield Finding(about, Level.OK, what)


def memory(machine: Machine) -> Iterator[Finding]:
    free = machine.memory_mb
    if free is None:
        yield Finding("memory", Level.NOTE, "this system does not say how much there is")
        return
    what = f"{free / 1000:.1f} GB available"
    jobs = int(free // MEMORY_MB)
    if not jobs:
        needs = f"the largest job takes {MEMORY_MB / 1000:.0f} GB"
        yield Finding("memory", Level.LACK, f"{what}; {needs}", "close other programs")
    elif jobs < machine.cpus:
        yield Finding(
            "memory",
            Level.NOTE,
            f"{what}, enough for {jobs} jobs at once, not for one on each of {machine.cpus} CPUs",
            f"make demo CORES={jobs}",
        )
    else:
        yield Finding("memory", Level.OK, what)


def threads(machine: Machine) -> Iterator[Finding]:
    cpus, quota = machine.cpus, machine.cpu_quota
    if quota is not None and quota < cpus:
        cores = max(1, int(quota))
        yield Finding(
            "CPUs",
            Level.NOTE,
            f"{cpus} are seen, but this container grants {quota:g}",
            f"make demo CORES={cores}",
        )
    else:
        yield Finding("CPUs", Level.OK, str(cpus))
    for name in THREADS:
        value = machine.environ.get(name)
        if value is None:
            continue
        if not value.isdecimal() or int(value) < 1:
            yield Finding("threads", Level.NOTE, f"{name} is {value!r}, no number", f"unset {name}")
        elif int(value) > cpus:
            yield Finding(
                "threads",
                Level.NOTE,
                f"{name} is {value}, more than the {cpus} CPUs: steps that you start by hand are "
                "slow (the workflow sets its own)",
                f"export {name}=1",
            )
