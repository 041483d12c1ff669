"""What of an ingest is kept when it is killed: each finished subject's images and outcome."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from relad import __version__
from relad.cohort.scans import Outcome, Task
from relad.fileio import read_json, write_json

_FOLDER = ".outcomes"


def key_of(source: Path, tasks: Sequence[Task], settings: Mapping[str, Any]) -> str:
    """What two runs must agree in for one to go on with the other's work.

    The source's files by name, size and time of change, what the source says of them, and the
    settings.
    """
    digest = hashlib.sha256()
    for part in (__version__, str(source.resolve()), settings):
        digest.update(json.dumps(part, sort_keys=True, default=str).encode())
    for task in tasks:
        for candidate in task.candidates:
            told = (candidate.entry, candidate.session, candidate.problem, candidate.put_right)
            digest.update(repr(told).encode())
            digest.update(json.dumps(candidate.sidecar, sort_keys=True, default=str).encode())
            for file in candidate.files:
                try:
                    stat = file.stat()
                    digest.update(f"{file}:{stat.st_size}:{stat.st_mtime_ns}".encode())
                except OSError:
                    digest.update(f"{file}: none".encode())
    return digest.hexdigest()


class Outcomes:
    """Outcomes of finished subjects below a dataset that is being written."""

    def __init__(self, root: Path):
        self.root = root
        self.folder = root / _FOLDER

    def take_up(self, tasks: Sequence[Task]) -> dict[str, Outcome]:
        """Outcomes an earlier run left whole; what it left of other subjects is removed."""
        found: dict[str, Outcome] = {}
        for task in tasks:
            file = self.folder / f"{task.label}.json"
            told = read_json(file) if file.is_file() else None
            if told and all((self.root / o).is_file() for r in told["rows"] if (o := r["output"])):
                found[task.label] = Outcome(told["rows"], tuple(told["sessions"]))
            else:
                file.unlink(missing_ok=True)
                shutil.rmtree(self.root / f"sub-{task.label}", ignore_errors=True)
        return found

    def keep(self, task: Task, outcome: Outcome) -> None:
        """Remember that a subject is done."""
        write_json(self.folder / f"{task.label}.json", asdict(outcome))

    def forget(self) -> None:
        """Remove the bookkeeping from the finished dataset."""
        shutil.rmtree(self.folder, ignore_errors=True)
