"""Runs of the small study in sessions of their own: watched, killed, and gone on with."""

from __future__ import annotations

import os
import random
import re
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relad.study import progress
from tests.helpers.small_study import Study

CONTROLLER, WORKER, CONVERTER = "controller", "worker", "dcm2niix"
#: Seconds after which a run, or what a killed one left, counts as hung.
LIMIT = 1800
#: How the workflow says what to do about a locked folder.
_REMEDY = re.compile(r"unlock them: (.+ --unlock) --")
#: Step -> the folder of results it writes, where that does not begin with the step's name.
_WRITES = {
    "phantom": "raw",
    "ingest": "bids",
    "train": "models",
    "synthesize": "synthesized",
    "evaluate": "metrics",
    "normalize": "normalized",
}


@dataclass(frozen=True)
class Process:
    """A process that is alive, and its command line."""

    number: int
    words: tuple[str, ...]

    def kind(self, study: Study) -> str | None:
        """Which of the kinds that are killed it is: a worker, or the converter."""
        if Path(self.words[0]).name == "dcm2niix":
            return CONVERTER
        launcher = str(study.repository / "workflow" / "relad.py")
        return WORKER if launcher in self.words else None

    def work(self) -> str:
        """What it is at, in a few words: the step and its first output."""
        if Path(self.words[0]).name == "dcm2niix":
            return "a conversion"
        words = next(
            self.words[n + 1 :] for n, w in enumerate(self.words) if w.endswith("relad.py")
        )
        if "--only" in words:
            return f"{words[0]} {words[words.index('--only') + 1]}"
        results = [w.removeprefix("results/") for w in words[1:] if w.startswith("results/")]
        folder = _WRITES.get(words[0], words[0])
        return f"{words[0]} {next((w for w in results if w.startswith(folder)), '')}".strip()


def of_session(session: int) -> list[Process]:
    """Living processes of a session, also those whose parent is gone."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, _, _, its = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its) != session or state == "Z":
                continue
            words = tuple((folder / "cmdline").read_bytes().decode().split("\0")[:-1])
        except OSError:
            continue  # it ended meanwhile
        if words:
            found.append(Process(int(folder.name), words))
    return found


class Run:
    """Snakemake on a study, in a session of its own."""

    def __init__(self, study: Study, *arguments: str):
        self.study = study
        self.file = study.folder / "run.txt"
        with self.file.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                study.command(*arguments), cwd=study.folder, stdout=output, stderr=output,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    @property
    def said(self) -> str:
        return self.file.read_text(encoding="utf-8", errors="replace")

    def line(self) -> str:
        """The line that tells why it ended: a step's own, or else the workflow's last."""
        if found := progress.ERROR.findall(self.said):
            return str(found[-1])
        lines = [line for line in self.said.splitlines() if line and not line.startswith("  File")]
        return lines[-1] if lines else ""

    def alive(self, kind: str) -> list[Process]:
        """Its living processes of a kind."""
        if kind == CONTROLLER:
            return [] if self.over else [Process(self.process.pid, ("snakemake",))]
        return [p for p in of_session(self.process.pid) if p.kind(self.study) == kind]

    def wait(self) -> int:
        return self.process.wait(LIMIT)

    def left(self) -> float:
        """Seconds until the last of its processes has ended, after the run itself has."""
        since = time.monotonic()
        while of_session(self.process.pid):
            if time.monotonic() - since > LIMIT:
                raise TimeoutError(f"still at work: {of_session(self.process.pid)}")
            time.sleep(0.01)
        return time.monotonic() - since


def begin(study: Study, *arguments: str) -> tuple[Run, bool]:
    """Start a run as a user does, who follows what it says where it is refused.

    Returns
    -------
    The run, at its first job or over, and whether the folder had to be unlocked.
    """
    unlocked = False
    while True:
        run = Run(study, *arguments)
        while not run.over and not run.alive(WORKER):
            time.sleep(0.1)
        remedy = _REMEDY.search(run.said) if run.over else None
        if remedy is None or unlocked:
            return run, unlocked
        subprocess.run(shlex.split(remedy[1]), cwd=study.folder, check=True, capture_output=True)
        unlocked = True


def finish(study: Study, *arguments: str) -> bool:
    """Go on to the end; whether the folder had to be unlocked.

    Raises
    ------
    RuntimeError
        Where the run fails.
    """
    run, unlocked = begin(study, *arguments)
    if run.wait():
        raise RuntimeError(f"{study.folder}: {run.line()}\n{run.said[-4000:]}")
    return unlocked


@dataclass(frozen=True)
class Moment:
    """When to kill a process of a kind.

    Attributes
    ----------
    after
        Jobs that the study has done by then; for the converter, its processes in this run.
    seconds
        How long after that.
    """

    kind: str
    after: int
    seconds: float

    def came(self, study: Study, converted: int) -> bool:
        """Whether the study is so far, of which so many conversions were seen in this run."""
        if self.kind == CONVERTER:
            return converted >= self.after
        return sum(1 for _ in study.results.glob("benchmarks/*/*.tsv")) >= self.after


@dataclass(frozen=True)
class Kill:
    """What was killed, what it was at, and what became of it.

    Attributes
    ----------
    status
        Exit status of the run; None where it goes on, as an ingest whose pool loses a process does.
    line
        What the run said at its end.
    seconds_left
        After the end of the run, until the last of its processes had ended.
    unlocked
        Whether the folder had to be unlocked for this run to begin.
    """

    kind: str
    work: str
    status: int | None
    line: str
    seconds_left: float
    unlocked: bool


class Disturbed:
    """A study that is run by the same command again and again, and killed meanwhile."""

    #: Seconds within which a run notices that one of its steps was killed.
    NOTICES_S = 5.0

    def __init__(self, study: Study, *arguments: str):
        self.study, self.arguments = study, arguments
        self.run: Run | None = None

    def kill(self, moment: Moment, chance: random.Random) -> Kill | None:
        """Start the study or let it go on, and kill one of its processes; None where it is done."""
        run, unlocked, converted, due = self.run, False, set[int](), float("inf")
        while True:
            if run is None or run.over:
                if run is not None and run.wait() == 0:
                    return None
                run, unlocked = begin(self.study, *self.arguments)
                self.run = run
            converted |= {process.number for process in run.alive(CONVERTER)}
            if moment.came(self.study, len(converted)):
                due = min(due, time.monotonic() + moment.seconds)
            kind = moment.kind
            if kind == CONVERTER and any(self.study.results.glob("benchmarks/register/*.tsv")):
                kind, due = WORKER, min(due, time.monotonic())  # all scans are converted
            workers = run.alive(WORKER)
            if workers and time.monotonic() >= due and (victims := run.alive(kind)):
                victim = chance.choice(victims)
                at_work = workers if kind == CONTROLLER else [victim]
                work = ", ".join(dict.fromkeys(p.work() for p in at_work))
                with suppress(ProcessLookupError):  # it ended by itself: the next one
                    os.kill(victim.number, signal.SIGKILL)
                    return Kill(kind, work, *self._became(run, kind), unlocked)
            time.sleep(0.02)

    def end(self) -> None:
        """Let it run to its end."""
        if self.run is not None:
            self.run.wait()
        finish(self.study, *self.arguments)

    def _became(self, run: Run, kind: str) -> tuple[int | None, str, float]:
        """What became of a run of which a process was killed."""
        until = time.monotonic() + self.NOTICES_S
        while time.monotonic() < until and not run.over:
            time.sleep(0.02)
        # An ingest does without one of its pool's processes, but not without its converter.
        if kind == WORKER and not run.over and "Error in rule" not in run.said:
            return None, "", 0.0
        return run.wait(), run.line(), run.left()
