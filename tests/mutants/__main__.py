"""Plant faults into copies of the sources, one at a time, and see whether a test notices.

Each fault of tests/mutants/faults.yaml replaces a few words of one file, and names the tests that
should fail for it. Prints a table in Markdown; the exit status is 1 where a fault survives, and 2
where one cannot be planted or the tests fail without any. The checkout itself is never changed.

Example:
  python -m tests.mutants -n 2
  python -m tests.mutants --only adversary-detached --only penalty-left-out

Outcomes are kept in a file until something changes on which they depend (the fault, the sources,
the tests it names), so that a run that was killed goes on where it stood.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from relad.errors import ReladError
from relad.fileio import read_json, write_json
from relad.study.paths import REPOSITORY
from tests.mutants import running
from tests.mutants.faults import Fault, copy_sources, load

HEAD = """# Planted faults

Each replaces a few words of one file in a copy of the sources, and the tests that it names are run
there. Made by `python -m tests.mutants`, whose exit status is 1 where one survives; the faults
stand in [tests/mutants/faults.yaml](../tests/mutants/faults.yaml).
"""
#: Seconds after which tests that do not end have noticed a fault too.
LIMIT = 600
RESULTS = REPOSITORY / ".pytest_cache" / "mutants.json"


@dataclass(frozen=True)
class Outcome:
    """What became of a fault: the test that failed, None where all passed; and how long it took."""

    key: str
    caught_by: str | None
    seconds: float


def try_fault(fault: Fault) -> Outcome:
    """Plant a fault in a copy of its own and run its tests there."""
    key = fault.fingerprint(REPOSITORY)
    with tempfile.TemporaryDirectory(prefix="relad-mutant-") as folder:
        copy_sources(Path(folder))
        fault.plant(Path(folder))
        started = time.perf_counter()
        try:
            caught_by = running.run_tests(Path(folder), fault.tests, LIMIT)
        except ReladError as error:
            raise ReladError(f"fault {fault.name!r}: {error}") from None
        return Outcome(key, caught_by, round(time.perf_counter() - started, 1))


class Results:
    """Outcomes by fault, stored after each."""

    def __init__(self, file: Path):
        self.file = file
        told = read_json(file) if file.exists() else {}
        self.outcomes = {name: Outcome(**outcome) for name, outcome in told.items()}

    def of(self, fault: Fault) -> Outcome | None:
        """Outcome of a fault, None where it is not known for these sources."""
        outcome = self.outcomes.get(fault.name)
        return outcome if outcome and outcome.key == fault.fingerprint(REPOSITORY) else None

    def add(self, name: str, outcome: Outcome) -> None:
        self.outcomes[name] = outcome
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.file, {name: asdict(each) for name, each in self.outcomes.items()})


def require_sound(faults: Sequence[Fault], results: Results) -> None:
    """Refuse to go on where the tests of some faults fail without any: nothing would follow."""
    tests = tuple(sorted({test for fault in faults for test in fault.tests}))
    name = "no fault"
    nothing = Fault(name, "", "", "", "", tests)
    if (known := results.of(nothing)) and known.caught_by is None:
        return
    print(f"{name}: {len(tests)} files or tests …", file=sys.stderr, flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="relad-mutant-") as folder:
        copy_sources(Path(folder))
        failed = running.run_tests(Path(folder), tests)
    if failed is not None:
        raise ReladError(f"{failed} fails without any fault", hint="mend it first")
    seconds = round(time.perf_counter() - started, 1)
    results.add(name, Outcome(nothing.fingerprint(REPOSITORY), None, seconds))


def table(faults: Sequence[Fault], results: Results) -> str:
    """Markdown: one table per kind."""
    outcomes = [results.outcomes[fault.name] for fault in faults]
    survivors = sum(outcome.caught_by is None for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    lines = [
        HEAD,
        f"{len(faults)} faults, {len(faults) - survivors} caught, {survivors} survive; "
        f"{seconds / 60:.0f} min on one thread.",
    ]
    kind = None
    for fault, outcome in zip(faults, outcomes, strict=True):
        if fault.kind != kind:
            kind = fault.kind
            lines += [
                "",
                f"### {kind}",
                "",
                "| fault | file | | by | s |",
                "|---|---|---|---|---:|",
            ]
        by = (outcome.caught_by or "").removeprefix("tests/").replace("|", "\\|")
        verdict = "**SURVIVES**" if outcome.caught_by is None else "caught"
        told = f"{verdict} | {f'`{by}`' if by else ''} | {outcome.seconds:.0f}"
        lines.append(f"| {fault.name} | `{fault.file}` | {told} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="this fault alone (may be repeated)"
    )
    parser.add_argument("--list", action="store_true", help="list the faults and end")
    parser.add_argument("-n", type=int, default=1, metavar="N", help="faults at a time")
    parser.add_argument(
        "--tests-pass",
        action="store_true",
        help="take it that the tests pass without any fault, as after `make test`",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of outcomes so far")
    args = parser.parse_args(argv)
    faults = load()
    if unknown := set(args.only or ()) - {fault.name for fault in faults}:
        raise ReladError(f"no fault {', '.join(sorted(unknown))}", hint="--list shows all")
    if args.only:
        faults = [fault for fault in faults if fault.name in args.only]
    if args.list:
        for fault in faults:
            print(f"{fault.name}\t{fault.file}\t{json.dumps([fault.old, fault.new])}")
        return 0
    running.prepare()
    results = Results(args.results)
    if not args.tests_pass:
        require_sound(faults, results)
    waiting = [fault for fault in faults if results.of(fault) is None]
    wrong: list[str] = []
    with ThreadPoolExecutor(args.n) as pool:
        trials = {pool.submit(try_fault, fault): fault for fault in waiting}
        try:
            for trial in as_completed(trials):
                name = trials[trial].name
                try:
                    outcome = trial.result()
                except ReladError as error:  # told again at the end
                    wrong.append(str(error))
                    told = "could not be tried"
                else:
                    results.add(name, outcome)
                    by = f"caught by {outcome.caught_by}" if outcome.caught_by else "SURVIVES"
                    told = f"{by} ({outcome.seconds} s)"
                print(f"{name}: {told}", file=sys.stderr, flush=True)
        finally:  # of an interruption: what has not begun need not begin
            pool.shutdown(wait=True, cancel_futures=True)
    if wrong:
        raise ReladError("; ".join(wrong))
    print(table(faults, results))
    return int(any(results.outcomes[fault.name].caught_by is None for fault in faults))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ReladError as error:
        print(f"tests.mutants: {error}", file=sys.stderr)
        sys.exit(2)
