"""Tell how far a study is.

  relad status
  relad status /data/my-study/results --json

Says how many jobs of each step are done, how many people are at which stage, who was dropped and
why, what failed with the line that tells why and its log, what is running and how far it is, and
about how long what is left will take: an estimate from the jobs that were measured. Works while a
run is at work, after one was killed, and on a finished study; reads and changes nothing else. What
is counted is what the study's last run was to make: `snakemake results/tables/main.csv` plans less
than `snakemake all`. Of a study that was run before runs kept their plans, only what was begun is
known.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from relad.cli import STEPS
from relad.study import paths
from relad.study.progress import Job, Left, Progress, State, read

#: What is to be said of jobs in a state.
_OF_STATE = {State.ENDED: " without a word, and gone on with by the same command"}
#: Who is named of the people that were dropped for one reason; the others are counted.
_NAMED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results", type=Path, nargs="?", default=paths.RESULTS, help="folder of a study's results"
    )
    parser.add_argument("--json", action="store_true", help="the same for programs")


def run(args: argparse.Namespace) -> int:
    progress = read(args.results)
    print(json.dumps(_plain(progress), indent=2) if args.json else "\n".join(_lines(progress)))
    return 0


def _lines(progress: Progress) -> Iterator[str]:
    yield f"{progress.results}: {_headline(progress)}"
    states = [s for s in State if s == State.DONE or progress.of(s)]
    yield ""
    yield f"{'':12}" + "".join(f"{state:>9}" for state in states)
    for step, count in progress.counts(tuple(STEPS)).items():
        yield f"{step:12}" + "".join(f"{count[s] or '.':>9}" for s in states)
    for cohort, stages in progress.people.items():
        told = ", ".join(f"{n} {stage}" for stage, n in stages.items())
        if told:
            yield from ("", f"{cohort}: {sum(stages.values())} people: {told}")
        for reason, who in progress.dropped[cohort].items():
            more = f" and {len(who) - _NAMED} more" if len(who) > _NAMED else ""
            yield f"  dropped {', '.join(who[:_NAMED])}{more}: {reason}"
    for state in (State.FAILED, State.ENDED, State.RUNNING):
        if jobs := progress.of(state):
            yield from ("", f"{state}{_OF_STATE.get(state, '')}:")
            yield from (f"  {_told(job)}" for job in jobs)
    if progress.left:
        yield from ("", _time_left(progress.left))


def _headline(progress: Progress) -> str:
    done = len(progress.of(State.DONE))
    share = f"{done} of {len(progress.jobs)} jobs done"
    if progress.command is None:
        share = f"{share} of those that were begun (its runs kept no plan)"
    elif progress.command:
        share = f"{share} of: snakemake {progress.command}"
    who = {True: "a run is at work", False: "no run is at work", None: "maybe a run is at work"}
    return f"{who[progress.at_work]}, {share}"


def _told(job: Job) -> str:
    """A job with what its log says."""
    said = job.reason or _own_progress(job)
    return f"{job.name}: {said} ({job.log})" if said else f"{job.name} ({job.log})"


def _own_progress(job: Job) -> str | None:
    if job.done_of is None:
        return None
    done, of = job.done_of
    left = f", {_time(job.seconds_left)} left" if job.seconds_left is not None else ""
    return f"{done} of {of}{left}"


def _time_left(left: Left) -> str:
    if left.unmeasured and not left.seconds:
        said = "time left: not known yet, nothing of the kind was measured"
    else:
        said = (
            f"time left: about {_time(left.seconds)} with {left.at_a_time} at a time, an estimate "
            f"from {left.measured} jobs"
        )
    if left.unmeasured:
        said += f"; not counted: {', '.join(f'{s} {n}' for s, n in left.unmeasured.items())}"
    return said


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _plain(progress: Progress) -> dict[str, Any]:
    """The same as mappings, lists and values."""
    left, counts = progress.left, progress.counts(tuple(STEPS))
    return {
        "results": str(progress.results),
        "at_work": progress.at_work,
        "command": progress.command,
        "steps": {step: {s: count[s] for s in State} for step, count in counts.items()},
        "people": progress.people,
        "dropped": progress.dropped,
        "jobs": [
            {
                "step": job.step,
                "name": list(job.parts),
                "state": job.state,
                "log": str(job.log),
                "reason": job.reason,
                "done": job.done_of and job.done_of[0],
                "of": job.done_of and job.done_of[1],
                "seconds_left": job.seconds_left,
            }
            for job in progress.of(State.FAILED, State.ENDED, State.RUNNING)
        ],
        "left": left
        and {
            "seconds": round(left.seconds),
            "at_a_time": left.at_a_time,
            "measured": left.measured,
            "unmeasured": left.unmeasured,
        },
    }
