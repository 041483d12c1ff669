"""The packages below ``examples/``, installed as a user would install them, without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from relad.study.paths import REPOSITORY

EXAMPLES = sorted(file.parent for file in (REPOSITORY / "examples").glob("*/pyproject.toml"))


def install(*packages: Path, into: Path) -> Path:
    """Install packages from their folders, which stay as they are, into a folder for sys.path."""
    with tempfile.TemporaryDirectory() as copies:
        sources = [
            str(shutil.copytree(package, Path(copies) / package.name)) for package in packages
        ]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(into)),
                *("--no-index", "--no-deps", "--no-build-isolation", *sources),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return into
