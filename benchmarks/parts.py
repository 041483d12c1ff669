"""Parts of a benchmark: each is stored when it is done, and not done again."""

from __future__ import annotations

import sys
import time
import traceback
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
    keep_going
        Whether a part that fails is told and left for another run, and the next ones are measured.

    Attributes
    ----------
    left
        Parts for which there was no time.
    failed
        Part -> its error.
    """

    def __init__(
        self,
        file: Path,
        about: dict[str, Any],
        *,
        budget: float | None = None,
        only: Sequence[str] = (),
        keep_going: bool = False,
    ):
        self.file, self.budget, self.only = file, budget, tuple(only)
        self.keep_going = keep_going
        self.started = time.monotonic()
        self.left: list[str] = []
        self.failed: dict[str, str] = {}
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
        """Result of a part: stored, or measured now.

        None where it is not wanted, time is up, or it failed and the others go on.
        """
        done = self.state["parts"]
        if name in done:
            return done[name]
        if name in self.failed or (self.only and not name.startswith(self.only)):
            return None
        elapsed = time.monotonic() - self.started
        if self.budget is not None and elapsed > self.budget:
            self.left += [name] if name not in self.left else []
            return None
        print(f"{elapsed:6.0f} s  {name}", file=sys.stderr)
        try:
            done[name] = measure()
        except Exception as error:  # of whatever library a part tries out
            if not self.keep_going:
                raise
            traceback.print_exc()
            self.failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            return None
        write_json(self.file, self.state)
        return done[name]

    def get(self, name: str) -> Any:
        return self.state["parts"].get(name)
