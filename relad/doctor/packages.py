"""Whether Python, the workflow and the packages that a study needs are there and fit."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache

from relad.doctor.finding import Finding, Level
from relad.doctor.machine import Machine
from relad.study.paths import REPOSITORY

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
    "scikit-learn": "sklearn",
}


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
            f"for the same numbers, {install()}",
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


def install() -> str:
    """What to do where a package is missing."""
    return f"pip install -r {LOCK.name}"


def _without(package: str, what: str, conda: bool) -> Finding:
    remedy = install()
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
