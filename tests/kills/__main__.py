"""Kill the small study at random moments and let its machine fail; see that nothing is lost.

The study runs once undisturbed. A second one is killed outright (SIGKILL) at random moments: by
turns its controller (Snakemake), a worker (a step), and while scans are converted the converter. It
is gone on with by the same command each time, or by what it says where it is refused. Five faults
of the machine follow, each in a copy of the first that has a method left to do. Tables, metrics and
models must be those of the undisturbed study, byte for byte but for measured times, and nothing
half written may be left. Prints tables in Markdown; the exit status is 1 where something is lost.

  python -m tests.kills FOLDER
  python -m tests.kills FOLDER --kills 5 --seed 3 --only kills

FOLDER keeps the undisturbed study for the next time; two faults need to mount, and so root.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from tests.helpers.small_study import Study
from tests.kills.faults import FAULTS, Fault, same
from tests.kills.runs import CONTROLLER, CONVERTER, WORKER, Disturbed, Kill, Moment, finish

TARGET = ("all", "--cores", "2")
#: Share of the kills that come while raw scans are simulated and converted.
_EARLY = 0.45
#: Jobs and conversions within which these come.
_EARLY_JOBS, _CONVERSIONS = 3, 3


def moments(number: int, jobs: int, chance: random.Random) -> Iterator[Moment]:
    """Kinds by turns, at random moments of a study of so many jobs, in its order."""
    early = round(number * _EARLY)
    kinds = [*islice(cycle((CONTROLLER, WORKER, CONVERTER)), early)]
    kinds += islice(cycle((WORKER, CONTROLLER)), number - early)
    after = sorted(chance.randint(0, _EARLY_JOBS) for _ in range(early))
    after += sorted(chance.randint(_EARLY_JOBS, jobs - 1) for _ in range(number - early))
    for kind, n in zip(kinds, after, strict=True):
        if kind == CONVERTER:
            yield Moment(kind, chance.randint(1, _CONVERSIONS), 0)
        else:
            yield Moment(kind, n, chance.uniform(0, 3))


def undisturbed(folder: Path) -> tuple[Study, float]:
    """The study that nobody disturbs, and the seconds it took; what is there goes on."""
    study = Study(folder) if folder.exists() else Study.create(folder)
    started = time.monotonic()
    finish(study, *TARGET)
    return study, time.monotonic() - started


def killed(done: Study, folder: Path, number: int, seed: int) -> list[Kill]:
    """Kill a study so often, finish it and compare it."""
    shutil.rmtree(folder, ignore_errors=True)
    study, chance, kills = Study.create(folder), random.Random(seed), []
    disturbed = Disturbed(study, *TARGET)
    jobs = sum(1 for _ in done.results.glob("benchmarks/*/*.tsv"))
    for moment in moments(number, jobs, chance):
        kill = disturbed.kill(moment, chance)
        if kill is None:
            break  # it was done before
        kills.append(kill)
        print(kill, file=sys.stderr, flush=True)
    disturbed.end()
    same(study, done)
    return kills


def table_of_kills(kills: list[Kill]) -> str:
    lines = ["| | killed | at | the run then | unlocked by its own line |", "|--:|---|---|---|---|"]
    for n, kill in enumerate(kills, 1):
        ended = f"ended with status {kill.status}: {_plain(kill.line)}"
        if kill.kind == CONTROLLER:
            ended = f"was gone; the last of its steps ended {kill.seconds_left:.2f} s later"
        elif kill.status is None:
            ended = "went on, and did that person's part again"
        follows = kills[n] if n < len(kills) else None
        unlocked = "" if follows is None or not follows.unlocked else "yes"
        lines.append(f"| {n} | {kill.kind} | {kill.work} | {ended} | {unlocked} |")
    return "\n".join(lines)


def table_of_faults(faults: list[Fault]) -> str:
    lines = ["| fault | what was said |", "|---|---|"]
    for fault in faults:
        lines.append(f"| {fault.name} | {'<br>'.join(map(_plain, fault.said))} |")
    return "\n".join(lines)


def _plain(line: str) -> str:
    """A line for a cell of a table, paths within the study alone."""
    words = [
        word if not word.startswith("/") else f"…/{Path(word).name}" for word in line.split(" ")
    ]
    return " ".join(words).replace("|", "\\|")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--kills", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--only", choices=["kills", *FAULTS], action="append", default=[])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    wanted = args.only or ["kills", *FAULTS]
    done, seconds = undisturbed(args.folder.absolute() / "undisturbed")
    print(f"undisturbed: {seconds:.0f} s", file=sys.stderr, flush=True)
    lost, faults = [], []
    for name in wanted:
        folder = args.folder.absolute() / name
        try:
            if name == "kills":
                kills = killed(done, folder, args.kills, args.seed)
                print(table_of_kills(kills), end="\n\n", flush=True)
            else:
                faults.append(FAULTS[name](done, folder))
                print(faults[-1], file=sys.stderr, flush=True)
        except pytest.skip.Exception as why:
            print(f"{name}: {why}", file=sys.stderr)
        except RuntimeError as error:
            lost.append(f"{name}: {error}")
            continue
        shutil.rmtree(folder, ignore_errors=True)
    print(table_of_faults(faults))
    for line in lost:
        print(line, file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
