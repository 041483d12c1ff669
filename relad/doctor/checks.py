"""Whether the embedded study can run on a machine: one function per question.

Each yields findings; a lack stops the study, a note does not.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from relad.doctor.machine import Machine
from relad.study.paths import REPOSITORY, RESULTS


class Level(StrEnum):
    """How a finding matters."""

    OK = "ok"
    NOTE = "note"
    LACK = "LACK"


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes
    ----------
    about
        The question, in a word or two.
    level
        Whether it matters.
    what
        In plain words.
    remedy
        What to do; empty where nothing need be.
    """

    about: str
    level: Level
    what: str
    remedy: str = ""


#: As measured on the embedded study: 1.7 GB of results, and 1.7 GB of memory in the largest job.
DISK_MB, MEMORY_MB, TEMPORARY_MB = 2500, 2000, 500
#: Python that the lock was tested with.
OLDEST, NEWEST = (3, 11), (3, 13)
PROJECT, LOCK = REPOSITORY / "pyproject.toml", REPOSITORY / "requirements.lock.txt"
#: Extras of pyproject.toml whose packages the study's steps use.
EXTRAS = ("imaging", "torch", "analysis", "workflow")
#: Packages that it runs without, and what is then not to be had.
OPTIONAL = {
    "deepbet": "brains are extracted by the template, which misses a tenth of an aged one",
    "optuna": "no search of parameters (`snakemake tune`)",
    "snakemake-executor-plugin-slurm": "no submission to SLURM",
}
#: What Snakemake itself needs to plan the study, each step in an environment of its own.
PLANNING = ("snakemake", "PyYAML", "jsonschema")
#: Packages whose module is named otherwise.
MODULES = {
    "antspyx": "ants",
    "deepbet": "deepbet.bet",  # what is used of it; its other modules need a window system
    "pyyaml": "yaml",
    "scikit-image": "skimage",
}
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def examine(machine: Machine) -> Iterator[Finding]:
    """Ask everything, one question after the other."""
    for check in CHECKS:
        yield from check(machine)


# --- Python and packages ------------------------------------------------------------------------


def python(machine: Machine) -> Iterator[Finding]:
    version = ".".join(map(str, machine.python))
    supported = OLDEST <= machine.python[:2] <= NEWEST
    what = f"Python {version}"
    if supported:
        yield Finding("Python", Level.OK, what)
    else:
        oldest, newest = (".".join(map(str, end)) for end in (OLDEST, NEWEST))
        yield Finding(
            "Python",
            Level.LACK,
            f"{what}; relad needs {oldest} to {newest}",
            f"make demo PYTHON=python{newest}",
        )
    if not machine.system.startswith("Linux"):
        yield Finding("system", Level.NOTE, f"{machine.system}; relad is tested on Linux alone")


def repository(machine: Machine) -> Iterator[Finding]:
    lacking = [
        p for p in ("workflow/Snakefile", "config/config.yaml") if not (REPOSITORY / p).exists()
    ]
    if lacking:
        yield Finding(
            "study",
            Level.LACK,
            f"{' and '.join(lacking)} are not beside the package in {REPOSITORY}: the workflow is "
            "no part of an installed package",
            "work in a clone of the repository, installed with pip install --editable .",
        )
    else:
        yield Finding("study", Level.OK, f"workflow and configuration in {REPOSITORY}")


@cache
def needed() -> dict[str, str]:
    """Packages that the study's steps use -> their requirement, by pyproject.toml."""
    if not PROJECT.exists():  # an installed package, of which `repository` tells
        return {}
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    return {re.split(r"[<>=!~;\[ ]", line)[0]: line for line in sorted(lines)}


@cache
def locked() -> dict[str, str]:
    """Version of each package that the study was tested with, by name in lower case."""
    if not LOCK.exists():
        return {}
    pins = re.findall(r"^([\w.-]+)==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return {name.lower(): version for name, version in pins}


def by_conda(machine: Machine) -> bool:
    """Whether Snakemake can give each step an environment of its own."""
    planning = all(machine.version(package) for package in PLANNING)
    return planning and machine.which("conda") is not None


def packages(machine: Machine) -> Iterator[Finding]:
    versions = {package: machine.version(package) for package in needed()}
    missing = [package for package, version in versions.items() if version is None]
    present = [package for package in versions if package not in missing]
    broken = machine.failed_imports([_module(package) for package in present])
    conda = by_conda(machine)
    for package in missing:
        yield _without(package, "is not installed", conda)
    for package in present:
        if (error := broken.get(_module(package))) is not None:
            yield _without(package, f"cannot be imported ({error})", conda)
    good = [package for package in present if _module(package) not in broken]
    for package in good:
        if unfit := _unfit(needed()[package], versions[package]):
            yield _without(package, unfit, conda)
    others = [
        f"{package} {versions[package]} ({wanted})"
        for package in good
        if (wanted := locked().get(package.lower())) not in (None, _public(versions[package]))
    ]
    if others:
        yield Finding(
            "packages",
            Level.NOTE,
            f"of other versions than those tested: {', '.join(others)}",
            f"for the same numbers, {_install()}",
        )
    yield Finding("packages", Level.OK, f"{len(good)} of {len(versions)} can be imported")


def _unfit(requirement: str, version: str | None) -> str | None:
    """Why a version does not do; None where it does, or where nobody can tell."""
    try:
        from packaging.requirements import Requirement  # Snakemake brings it along
    except ImportError:
        return None
    wanted = Requirement(requirement).specifier
    if wanted.contains(version or "", prereleases=True):
        return None
    return f"is {version}, {wanted} is needed"


def _module(package: str) -> str:
    return MODULES.get(package.lower(), package.replace("-", "_"))


def _public(version: str | None) -> str:
    """A version without its local part, such as ``+cpu``."""
    return (version or "").partition("+")[0]


def _install() -> str:
    return f"pip install -r {LOCK.name}"


def _without(package: str, what: str, conda: bool) -> Finding:
    remedy = _install()
    if package in OPTIONAL:
        return Finding(package, Level.NOTE, f"{what}: {OPTIONAL[package]}", remedy)
    if conda and package not in PLANNING:
        return Finding(
            package,
            Level.NOTE,
            f"{what} in this Python",
            "snakemake --use-conda all brings its own",
        )
    return Finding(package, Level.LACK, what, remedy)


# --- programs -------------------------------------------------------------------------------------


def cuda(machine: Machine) -> Iterator[Finding]:
    driver = _driver(machine)
    if machine.version("torch") is None:
        return  # told with the packages
    torch = machine.torch()
    if torch is None:
        return
    if torch["gpus"] and torch["ran"]:
        what = f"{', '.join(torch['gpus'])}; PyTorch for CUDA {torch['built_for']}"
        yield Finding("GPU", Level.OK, f"{what}; {driver}" if driver else what)
    elif torch["gpus"]:
        yield Finding(
            "GPU",
            Level.LACK,
            f"{', '.join(torch['gpus'])} is there, but computes nothing with PyTorch for CUDA "
            f"{torch['built_for']}",
            "install a PyTorch for this card, or hide it: CUDA_VISIBLE_DEVICES= snakemake all",
        )
    elif driver is None:
        yield Finding(
            "GPU", Level.NOTE, "no NVIDIA driver; networks train on the CPU, which will do here"
        )
    elif torch["built_for"] is None:
        yield Finding(
            "GPU",
            Level.NOTE,
            f"{driver}, but this PyTorch is a build for CPUs",
            "pip install a CUDA build of torch to use the card",
        )
    else:
        hidden = machine.environ.get("CUDA_VISIBLE_DEVICES")
        why = (
            "CUDA_VISIBLE_DEVICES hides it" if hidden in ("", "-1") else "the driver may be too old"
        )
        yield Finding(
            "GPU",
            Level.NOTE,
            f"{driver}, but PyTorch for CUDA {torch['built_for']} finds no card ({why}); networks "
            "train on the CPU",
            "compare the CUDA version that nvidia-smi names",
        )


def _driver(machine: Machine) -> str | None:
    """The NVIDIA driver in words; None where there is none that answers."""
    if machine.which("nvidia-smi") is None:
        return None
    query = ("--query-gpu=name,driver_version", "--format=csv,noheader")
    status, said = machine.run("nvidia-smi", *query)
    card = said.strip().splitlines()[0] if said.strip() else ""
    name, _, version = card.partition(", ")
    return f"{name} with driver {version}" if status == 0 and version else None


def converter(machine: Machine) -> Iterator[Finding]:
    """The converter of DICOM that `relad ingest` takes: of its package, else on PATH."""
    about = "dcm2niix"
    lack = Level.NOTE if by_conda(machine) else Level.LACK
    own = (
        [file for file in machine.files(about) if file.name == about]
        if machine.version(about)
        else []
    )
    program = next((str(file) for file in own if file.exists()), None) or machine.which(about)
    if program is None:
        yield Finding(about, lack, "the converter of DICOM is missing", f"{_install()}")
        return
    status, said = machine.run(program, "--version")
    found = re.search(r"v(\d+\.\d+\.\d+)", said)
    if found is None:
        reason = " ".join(said.split())[:120] or f"exit status {status}"
        yield Finding(about, lack, f"{program} does not run ({reason})", _install())
    elif found[1] != locked().get(about, found[1]):
        yield Finding(
            about,
            Level.NOTE,
            f"{found[1]} in {program}; tested with {locked()[about]}, and others may read headers "
            "otherwise",
            _install(),
        )
    else:
        yield Finding(about, Level.OK, f"{found[1]}, the version tested")


def brain_extractor(machine: Machine) -> Iterator[Finding]:
    if machine.version("deepbet") is None:
        return  # told with the packages
    weights = [file for file in machine.files("deepbet") if file.suffix == ".pt"]
    bad = [file for file in weights if not file.is_file() or not file.stat().st_size]
    if bad or not weights:
        what = f"its weights are missing ({bad[0]})" if bad else "it came without weights"
        level = Level.NOTE if by_conda(machine) else Level.LACK
        remedy = "pip install --force-reinstall --no-deps deepbet"
        yield Finding("deepbet", level, f"brain extraction: {what}", remedy)
    else:
        yield Finding("deepbet", Level.OK, "brain extraction, with its weights")


def workflow(machine: Machine) -> Iterator[Finding]:
    conda = machine.which("conda")
    if conda is None:
        yield Finding(
            "conda", Level.NOTE, "not there; needed for --use-conda alone, not for make demo"
        )
        return
    status, said = machine.run(conda, "--version")
    if status:
        yield Finding("conda", Level.NOTE, f"{conda} does not run", "needed for --use-conda alone")
    else:
        yield Finding("conda", Level.OK, said.strip())


def slurm(machine: Machine) -> Iterator[Finding]:
    commands = ("sbatch", "squeue", "sacct", "scancel")
    missing = [name for name in commands if machine.which(name) is None]
    if len(missing) == len(commands):
        yield Finding("SLURM", Level.NOTE, "no cluster here; all runs on this machine")
        return
    if missing:
        yield Finding(
            "SLURM",
            Level.NOTE,
            f"{', '.join(missing)} missing: the profile workflow/profiles/slurm will not work",
            "submit from a login node of the cluster",
        )
        return
    status, said = machine.run("squeue", "--me")
    if status:
        reason = said.strip().splitlines()[-1] if said.strip() else f"exit status {status}"
        yield Finding(
            "SLURM",
            Level.NOTE,
            f"its commands are there, but no cluster answers ({reason})",
            "submit from a login node of the cluster",
        )
    else:
        yield Finding("SLURM", Level.OK, "sbatch, squeue, sacct and scancel, and a cluster answers")


# --- room -----------------------------------------------------------------------------------------


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


CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    python,
    repository,
    packages,
    converter,
    brain_extractor,
    cuda,
    workflow,
    slurm,
    results,
    temporary,
    memory,
    threads,
)
