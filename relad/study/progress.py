"""How far a study is: told by the plan of its last run, and by what its jobs have left since.

A run of the workflow writes its plan before the first job (:func:`keep`): every job by its log, and
whether it is to run. A job writes its log from its start and its benchmark when it has succeeded;
one whose log changed since and whose benchmark did not is running, or has failed. Standard library
only, since the Snakefile imports it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from relad.errors import ReladError
from relad.fileio import read_object, read_table, write_text
from relad.study import paths
from relad.study.running import is_at_work


class State(StrEnum):
    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    #: It said nothing of an error: it was killed, or is at work where nobody can tell.
    ENDED = "ended"
    WAITING = "waiting"


#: Steps whose job is about one person of a cohort.
_OF_PERSON = ("register", "normalize")
#: Steps of a cohort, with what its people are when they are done, the furthest first.
_STAGES = {
    "pack": "packed",
    "normalize": "normalized",
    "register": "registered",
    "enroll": "enrolled",
    "ingest": "in BIDS",
    "phantom": "simulated",
}
#: Where the name stands, among the parts of a job's name, that its duration follows most.
_TELLING = {"synthesize": 1, "evaluate": 1, "derivatives": 1}
#: End of a log in which what matters stands (bytes).
_TAIL = 8192
#: How a step tells its error.
ERROR = re.compile(r"^relad [\w-]+: error: .+$", re.MULTILINE)
_BAR = re.compile(r"(\d+)/(\d+) (?:\[[\d:]+<([\d:]+)|\w+, (\d+) s left)")


@dataclass(frozen=True)
class Job:
    """One job of the plan.

    Attributes
    ----------
    step
        Its step.
    parts
        What its name consists of: cohort and subject; method, fold and seed; and so on.
    log
        Its log below the results.
    reason
        The line of its log that tells why it failed.
    done_of
        Updates, images or people that a running job has done, and of how many.
    seconds_left
        What its own progress says.
    """

    step: str
    parts: tuple[str, ...]
    state: State
    log: Path
    reason: str | None = None
    done_of: tuple[int, int] | None = None
    seconds_left: float | None = None

    @property
    def name(self) -> str:
        return " ".join((self.step, *self.parts))

    @property
    def telling(self) -> str:
        """The part of its name that its duration follows most: a method or a cohort."""
        place = _TELLING.get(self.step, 0)
        return self.parts[place] if place < len(self.parts) else ""


@dataclass(frozen=True)
class Left:
    """Time that is left (s), by jobs of the same kind that were measured; an estimate.

    ``unmeasured`` counts, by step, the jobs of which none was.
    """

    seconds: float
    at_a_time: int
    measured: int
    unmeasured: Mapping[str, int]


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Attributes
    ----------
    at_work
        Whether a run is; None where the file system does not tell.
    command
        Of the last run, without the program; None where there is no plan.
    people
            Cohort -> stage -> how many people have come so far and no further, or were dropped.
    dropped
        Cohort -> reason -> people, and PET of people as ``tau of 951S0001``.
    """

    results: Path
    at_work: bool | None
    command: str | None
    jobs: tuple[Job, ...]
    people: Mapping[str, Mapping[str, int]]
    dropped: Mapping[str, Mapping[str, Sequence[str]]]
    left: Left | None

    def counts(self, order: Sequence[str]) -> dict[str, Counter[State]]:
        """How many jobs of each step are in which state, in the order of the steps."""
        counted = {step: Counter(j.state for j in self.jobs if j.step == step) for step in order}
        return {step: count for step, count in counted.items() if count}

    def of(self, *states: State) -> list[Job]:
        return [job for job in self.jobs if job.state in states]


# --- the plan -------------------------------------------------------------------------------------


def keep(words: Sequence[str], jobs: Iterable[tuple[str, bool]]) -> None:
    """Write the plan of a run that begins.

    Parameters
    ----------
    words
        The run's command line, without the program.
    jobs
        Log of each job, and whether it is to run.
    """
    planned = {}
    for log, runs in jobs:
        name = str(Path(log).relative_to(_logs(paths.RESULTS)).with_suffix(""))
        planned[name] = [runs, *_times(paths.RESULTS, name)]
    write_text(paths.plan(), json.dumps({"command": shlex.join(words), "jobs": planned}) + "\n")


def _logs(results: Path) -> Path:
    return results / paths.log("any").parents[1].relative_to(paths.RESULTS)


def _files(results: Path, name: str) -> tuple[Path, Path]:
    """Log and benchmark of a job."""
    step, _, parts = name.partition("/")
    log, benchmark = paths.log(step, parts), paths.benchmark(step, parts)
    return tuple(results / file.relative_to(paths.RESULTS) for file in (log, benchmark))


def _times(results: Path, name: str) -> list[int | None]:
    """When a job's log and its benchmark were written (ns), None where they were not."""
    times: list[int | None] = []
    for file in _files(results, name):
        try:
            times.append(file.stat().st_mtime_ns)
        except OSError:
            times.append(None)
    return times


def _planned(results: Path) -> tuple[str | None, dict[str, list[Any]]]:
    """Command and jobs of the last run; of one that wrote no plan, the jobs that were begun."""
    file = results / paths.plan().relative_to(paths.RESULTS)
    if file.exists():
        told = read_object(file, needs=("command", "jobs"))
        return told["command"], told["jobs"]
    logs = _logs(results)
    jobs = {}
    for log in sorted(logs.glob("*/*.log")):
        name = str(log.relative_to(logs).with_suffix(""))
        begun, ended = _times(results, name)
        repeated = begun and ended and begun > ended  # the benchmark is of an earlier run
        jobs[name] = [True, None, ended if repeated else None]
    if not jobs:
        raise ReladError(
            "holds no study",
            file=results,
            hint="name the folder results/ of a study, of which a run has begun",
        )
    return None, jobs


# --- what its jobs have left ----------------------------------------------------------------------


def read(results: Path) -> Progress:
    """How far the study in a folder of results is.

    Raises
    ------
    ReladError
        Where there is none.
    """
    if not results.is_dir():
        raise ReladError("no such folder", file=results)
    command, planned = _planned(results)
    at_work = is_at_work(results.absolute().parent / ".snakemake")
    jobs = tuple(_job(results, name, *told, at_work) for name, told in planned.items())
    dropped = {cohort: _dropped(results, cohort) for cohort in _cohorts(jobs)}
    people = {cohort: _people(jobs, cohort, of) for cohort, of in dropped.items()}
    return Progress(results, at_work, command, jobs, people, dropped, _left(results, jobs, at_work))


def _job(
    results: Path, name: str, runs: bool, log: int | None, benchmark: int | None,
    at_work: bool | None,
) -> Job:  # fmt: skip
    """What became of a job since its plan was written, when its files were of these times."""
    step, _, parts = name.partition("/")
    file, _ = _files(results, name)
    known = (step, tuple(parts.split("_")) if parts != "all" else ())
    now_log, now_benchmark = _times(results, name)
    if not runs or now_benchmark not in (None, benchmark):
        return Job(*known, State.DONE, file)
    if now_log in (None, log):
        return Job(*known, State.WAITING, file)
    tail = _tail(file)
    if reason := _reason(tail):
        return Job(*known, State.FAILED, file, reason)
    done_of, seconds = _own_progress(tail)
    state = State.RUNNING if at_work else State.ENDED
    return Job(*known, state, file, None, done_of, seconds)


def _tail(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL))
            return stream.read().decode(errors="replace").replace("\r", "\n")
    except OSError:
        return ""


def _reason(tail: str) -> str | None:
    """Line of a log that tells why its job failed; None where it tells of no failure."""
    if told := ERROR.findall(tail):
        return str(told[-1])
    if "Traceback (most recent call last)" in tail:
        return tail.rstrip().splitlines()[-1]
    return None


def _own_progress(tail: str) -> tuple[tuple[int, int] | None, float | None]:
    """What the last progress bar of a log says: done and of how many, and seconds left."""
    found = None
    for found in _BAR.finditer(tail):  # noqa: B007
        pass
    if found is None:
        return None, None
    done, of, clock, seconds = found.groups()
    if clock:
        seconds = sum(int(n) * 60**k for k, n in enumerate(reversed(clock.split(":"))))
    return (int(done), int(of)), float(seconds) if seconds is not None else None


# --- people ---------------------------------------------------------------------------------------


def _cohorts(jobs: Iterable[Job]) -> list[str]:
    return list(dict.fromkeys(job.parts[0] for job in jobs if job.step in _STAGES and job.parts))


def _people(
    jobs: Iterable[Job], cohort: str, dropped: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """How many people of a cohort are at which stage, the furthest first."""
    done: dict[str, set[str]] = defaultdict(set)
    everybody: set[str] = set()
    for job in jobs:
        if job.step not in _STAGES or job.parts[:1] != (cohort,):
            continue
        person = job.parts[1] if job.step in _OF_PERSON else ""
        everybody |= {person} - {""}
        if job.state == State.DONE:
            done[job.step].add(person)
    gone = {name for of in dropped.values() for name in of} & everybody
    counted: Counter[str] = Counter(dropped=len(gone))
    for person in everybody - gone:
        stages = (stage for step, stage in _STAGES.items() if done[step] & {person, ""})
        counted[next(stages, "not begun")] += 1
    order = [*_STAGES.values(), "not begun", "dropped"]
    return {stage: counted[stage] for stage in order if counted[stage]}


def _dropped(results: Path, cohort: str) -> dict[str, list[str]]:
    """Reason -> people, and PET of people, that a cohort lost so far."""
    found: dict[str, str] = {}
    for person, told in _verdicts(results, cohort):
        if told.get("status") not in (None, "ok"):
            found[person] = told.get("reason") or "no reason given"
        for tracer, scan in told.get("tracers", {}).items():
            if scan.get("status") not in (None, "ok") and scan.get("reason"):
                found.setdefault(f"{tracer} of {person}", scan["reason"])
    for file, column in (
        (paths.enrolled(cohort), "usable"),
        (paths.packed(cohort) / "subjects.tsv", "included"),
    ):
        table = results / file.relative_to(paths.RESULTS)
        for row in read_table(table, needs=("subject", column)) if table.exists() else ():
            if row[column] == "no":
                found[str(row["subject"])] = row.get("reason") or "no reason given"
    reasons: dict[str, list[str]] = {}
    for who, reason in sorted(found.items()):
        reasons.setdefault(reason, []).append(who)
    return reasons


def _verdicts(results: Path, cohort: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What was judged of each person: of the cohort, or where that is yet to come of each alone."""
    inside = results / paths.quality(cohort).relative_to(paths.RESULTS) / "subjects.json"
    if inside.exists():
        with suppress(OSError, ValueError):  # being replaced
            for told in json.loads(inside.read_text(encoding="utf-8")):
                yield told["subject"], told
            return
    for folder in (paths.registered(cohort, "*"), paths.normalized(cohort, "*")):
        for file in results.glob(str(folder.relative_to(paths.RESULTS) / "status.json")):
            with suppress(OSError, ValueError):
                yield file.parent.name.removeprefix("sub-"), json.loads(file.read_text("utf-8"))


# --- time left ------------------------------------------------------------------------------------


def _left(results: Path, jobs: Sequence[Job], at_work: bool | None) -> Left | None:
    """Estimate from the benchmarks of jobs of the same step, of the same method where there are.

    Jobs are taken to run as many at a time as now, and none to wait for another.
    """
    todo = [job for job in jobs if job.state != State.DONE]
    if not todo:
        return None
    steps = {job.step for job in todo}
    measured: dict[tuple[str, str], list[float]] = defaultdict(list)
    for job in jobs:
        if job.step not in steps or job.state != State.DONE:
            continue
        if (seconds := _measured(_files(results, f"{job.step}/{job.log.stem}")[1])) is not None:
            measured[job.step, job.telling].append(seconds)
            measured[job.step, ""].append(seconds)
    expected: list[float] = []
    unmeasured: Counter[str] = Counter()
    for job in todo:
        known = measured.get((job.step, job.telling)) or measured.get((job.step, ""))
        if job.seconds_left is not None and job.state == State.RUNNING:
            expected.append(job.seconds_left)
        elif known:
            expected.append(sum(known) / len(known))
        else:
            unmeasured[job.step] += 1
    running = sum(job.state == State.RUNNING for job in todo)
    at_a_time = max(1, running)
    seconds = max(sum(expected) / at_a_time, max(expected, default=0.0))
    count = sum(len(of) for (_, telling), of in measured.items() if not telling)
    return Left(seconds, at_a_time, count, unmeasured)


def _measured(benchmark: Path) -> float | None:
    """Seconds that a job took."""
    try:
        return float(benchmark.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    except (OSError, ValueError, IndexError):
        return None
