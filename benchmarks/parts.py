"""Parts of a benchmark: each is stored when it is done, and not done again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from relad.errors import ReladError
from relad.fileio import read_json, write_json


class Parts:
    """Results by name in one JSON file.

    Parameters
    ----------
    file
        Read if it is there, written after every part.
    about
        What all parts have in common (machine, settings). A file about something else is refused.
    budget
        Seconds after which no further part starts; None for no limit.
    only
        Beginnings of the names of the parts to measure; all where it is empty.
    """

    def __init__(
        self,
        file: Path,
        about: dict[str, Any],
        *,
        budget: float | None = None,
        only: Sequence[str] = (),
    ):
        self.file, self.budget, self.only = file, budget, tuple(only)
        self.started = time.monotonic()
        self.left: list[str] = []
        self.state: dict[str, Any] = {"about": about, "parts": {}}
        if file.exists():
            self.state = read_json(file)
            if self.state["about"] != about:
                raise ReladError(
                    "holds measurements of another machine or of other settings",
                    file=file,
                    hint="delete it or give another folder",
                )

    def __call__(self, name: str, measure: Callable[[], Any]) -> Any:
        """Result of a part: stored, or measured now; None where it is not wanted or time is up."""
        done = self.state["parts"]
        if name in done:
            return done[name]
        if self.only and not name.startswith(self.only):
            return None
        elapsed = time.monotonic() - self.started
        if self.budget is not None and elapsed > self.budget:
            self.left.append(name)
            return None
        print(f"{elapsed:6.0f} s  {name}", file=sys.stderr)
        done[name] = measure()
        write_json(self.file, self.state)
        return done[name]

    def get(self, name: str) -> Any:
        return self.state["parts"].get(name)
