"""Subjects of a source, several at a time, in processes that a damaged file may take down."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path

from relad.cohort import convert
from relad.cohort.checks import Rules
from relad.cohort.images import Candidate, Row, row
from relad.cohort.scans import Outcome, Task, ingest_subject
from relad.errors import MachineError
from relad.orphans import end_with, pool
from relad.study.subjects import bids_label


def make_tasks(candidates: Iterable[Candidate], rules: Rules) -> tuple[list[Task], list[Row]]:
    """Group images by subject; of two subjects with one BIDS label only the first is kept."""
    people: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        people[candidate.entry.ptid].append(candidate)
    owners: dict[str, str] = {}
    tasks, rows = [], []
    for ptid, images in sorted(people.items()):
        label = bids_label(ptid)
        if owners.setdefault(label, ptid) == ptid:
            tasks.append(Task(label, tuple(images), rules))
            continue
        reason = f"its subject has the same BIDS label as {owners[label]}"
        rows += [row(image.entry, len(image.files), reason=reason) for image in images]
    return tasks, rows


def run_tasks(tasks: Sequence[Task], root: Path, jobs: int) -> Iterator[tuple[Task, Outcome]]:
    """Ingest subjects into ``root``, ``jobs`` at a time; yield each with what became of it.

    Raises
    ------
    MachineError
        Where the machine fails, and no scan.
    """
    if jobs == 1 or len(tasks) < 2:
        for task in tasks:
            yield task, ingest_subject(task, root)
        return
    left = list(tasks)
    while left:
        done: list[Task] = []
        with pool(min(jobs, len(left))) as processes:
            try:
                futures = {processes.submit(ingest_subject, task, root): task for task in left}
                for future in as_completed(futures):
                    try:
                        outcome = future.result()
                    except BrokenProcessPool:
                        continue  # one worker died and took all others with it
                    done.append(futures[future])
                    yield futures[future], outcome
            except BaseException:
                processes.shutdown(cancel_futures=True)
                raise
        left = [task for task in left if task not in done]
        # Tasks start in order, so the deadly one is among the first; the others go on together.
        for task in left[:jobs]:
            yield task, _alone(task, root)
        left = left[jobs:]


def _alone(task: Task, root: Path) -> Outcome:
    """Ingest a subject in a process of its own, which may die of a damaged file.

    Raises
    ------
    MachineError
        Where it is killed by what no file does, such as the memory's watchman.
    """
    ours, theirs = Pipe(duplex=False)
    process = Process(target=_send, args=(theirs, task, root, os.getpid()))
    process.start()
    theirs.close()
    try:
        outcome = ours.recv()
    except EOFError:
        outcome = None
    process.join()
    if isinstance(outcome, BaseException):
        raise outcome
    if outcome is not None:
        return outcome
    code = process.exitcode or 0
    how = signal.Signals(-code).name if code < 0 else f"status {code}"
    if -code in convert.FROM_OUTSIDE:
        raise MachineError(
            f"the process that read subject {task.label} was ended by {how}",
            hint="it may need more memory than there is: try fewer --jobs, then run the same again",
        )
    reason = f"the process that read this subject's scans died ({how})"
    rows = [row(c.entry, len(c.files), reason=reason) for c in task.candidates]
    return Outcome(rows, ())


def _send(pipe: Connection, task: Task, root: Path, parent: int) -> None:
    """Send a subject's outcome, or what was raised instead."""
    end_with(parent, signal.SIGKILL)
    try:
        pipe.send(ingest_subject(task, root))
    except Exception as error:
        pipe.send(error)
