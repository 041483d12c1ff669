"""What made a file: written beside every output, so that a result never outlives its origin."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from relad import __version__
from relad.study.config import fingerprint
from relad.study.paths import REPOSITORY


def describe(step: str, settings: Mapping[str, Any], *packages: str) -> dict[str, Any]:
    """Provenance of one step's output: settings, code and versions; no time and no host name.

    Times and hosts are left out so that a rerun writes the same bytes.
    """
    versions = {"relad": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "step": step,
        "settings": dict(settings),
        "code": fingerprint(REPOSITORY / "relad", REPOSITORY / "baselines"),
        "versions": versions,
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def is_simulated(settings: Mapping[str, Any]) -> bool:
    """Whether any cohort of these settings is a phantom; tables and figures must then say so."""
    return any(cohort["source"] == "phantom" for cohort in settings["cohorts"].values())


def simulated_note(settings: Mapping[str, Any]) -> str:
    return "SIMULATED DATA (digital phantoms, no patients)" if is_simulated(settings) else ""


def code_of(*relative: str) -> str:
    """Fingerprint of parts of the repository, by paths relative to its root."""
    return fingerprint(*(Path(REPOSITORY) / part for part in relative))
