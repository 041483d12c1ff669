"""The package's list names every benchmark that is a command."""

from __future__ import annotations

import re

import benchmarks
from relad.study.paths import REPOSITORY


def test_every_command_is_listed() -> None:
    files = sorted((REPOSITORY / "benchmarks").glob("*.py"))
    commands = [f.stem for f in files if "__main__" in f.read_text(encoding="utf-8")]
    assert re.findall(r"^``benchmarks\.(\w+)``", str(benchmarks.__doc__), re.MULTILINE) == commands
