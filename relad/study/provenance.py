"""What made a file: written beside every output, so that a result never outlives its origin."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from relad import __version__
from relad.study.fingerprints import whole_code


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
        "code": whole_code(),
        "versions": versions,
        "platform": f"{sys.platform}-{platform.machine()}",
    }
