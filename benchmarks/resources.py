"""How far what jobs are said to need is from what jobs of finished studies needed.

Reads the `benchmark:` files of studies, asks relad/study/resources.py for the same jobs, and writes
resources.tsv (one row per kind of job) and resources.md into the folder of ``--report``. Rows that
the table has of other studies stay.

    python -m benchmarks.resources results config/config.yaml --name "embedded study" \\
        --report docs/benchmarks
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks import report
from relad.fileio import read_table, write_table, write_text
from relad.study import config, resources
from relad.study.settings import plain

#: Shorter jobs are over before Snakemake has looked at them twice: their memory is not known.
LEAST_SECONDS = 1.0
#: Wildcards in the names of benchmark files, by step.
WILDCARDS = {
    **dict.fromkeys(("phantom", "ingest", "pack"), ("cohort",)),
    **dict.fromkeys(("register", "normalize"), ("cohort", "subject")),
    "train": ("method", "fold", "seed"),
    **dict.fromkeys(("synthesize", "evaluate"), ("cohort", "method", "fold", "seed")),
    **dict.fromkeys(("tables", "figures"), ("name",)),
}
#: A formula may be off by this factor, either way.
FACTOR = 2.0


@dataclass(frozen=True)
class Row:
    """One job: its size, and what was measured in MB and seconds on idle cores, None if unknown."""

    study: str
    step: str
    job: str
    size: resources.Size
    memory_mb: float
    seconds: float | None

    @property
    def ratios(self) -> tuple[float, float | None]:
        """Formula by measurement, of memory and of time."""
        memory, seconds = resources.estimate(self.step, self.size)
        return memory / self.memory_mb, None if self.seconds is None else seconds / self.seconds

    @property
    def off(self) -> float:
        """Factor by which the formula is off, either way."""
        return max(max(ratio, 1 / ratio) for ratio in self.ratios if ratio is not None)


def rows_of(name: str, results: Path, study: Mapping[str, Any], jobs: int) -> Iterator[Row]:
    """Every job of a study's results that took long enough to be measured.

    ``jobs``: processes of the steps that run several. Of steps with one thread the processor's
    seconds count, which are theirs whatever else the machine did.
    """
    labels = {c: people(results, c) for c in study["cohorts"]}
    for step, wildcards in WILDCARDS.items():
        for file in sorted((results / "benchmarks" / step).glob("*.tsv")):
            (measured,) = read_table(file)
            several = step in ("phantom", "ingest")
            seconds = float(str(measured["s" if several else "cpu_time"]))
            if seconds < LEAST_SECONDS:
                continue
            job = dict(zip(wildcards, file.stem.split("_"), strict=False))
            scan = None
            if "subject" in job:
                folder = results / "bids" / job["cohort"] / f"sub-{job['subject']}"
                scan = resources.largest_scan(folder.glob("*/anat/*.nii*"))
            size = resources.size_of(step, study, labels, job, jobs=jobs, scan=scan)
            if step == "ingest":
                size = of_scans(size, results / "bids" / job["cohort"])
            yield Row(name, step, file.stem, size, float(str(measured["max_rss"])), seconds)


def people(results: Path, cohort: str) -> list[str]:
    """Labels of a cohort's people, as far as results tell."""
    table = results / "packed" / cohort / "subjects.tsv"
    return [str(row["subject"]) for row in read_table(table)] if table.exists() else []


def of_scans(size: resources.Size, bids: Path) -> resources.Size:
    """A size with the largest scan that came out of it."""
    seen = resources.largest_scan(bids.glob("sub-*/*/anat/*.nii*"))
    return size if seen is None else resources.Size(**{**plain(size), "scan": seen[0]})


def read(file: Path) -> list[Row]:
    return [
        Row(
            *(str(row[key]) for key in ("study", "step", "job")),
            resources.Size(**json.loads(str(row["size"]))),
            float(str(row["memory_mb"])),
            float(row["seconds"]) if row["seconds"] else None,
        )
        for row in read_table(file)
    ]


def write(rows: Sequence[Row], folder: Path) -> None:
    """resources.tsv, and resources.md with the furthest job of every kind."""
    cells = [{**plain(row), "size": json.dumps(differing(row.size))} for row in rows]
    write_table(folder / "resources.tsv", cells, [field.name for field in fields(Row)])
    write_text(folder / "resources.md", page(rows))


def differing(size: resources.Size) -> dict[str, Any]:
    """What of a size is not the default."""
    usual = plain(resources.Size())
    return {key: value for key, value in plain(size).items() if value != usual[key]}


def page(rows: Sequence[Row]) -> str:
    """Markdown: per study and step, how many jobs there are and the one that is furthest off."""
    lines = [
        "# What jobs need: formula and measurement",
        "",
        "Made by `python -m benchmarks.resources`; every job, with its size, is in",
        "[resources.tsv](resources.tsv). `formula`: formula by measurement of the job that is",
        "furthest off, without the headroom that a job asks for beside it. Time is processor time",
        "where a step has one thread; it is missing where the machine was too busy to tell it. The",
        "formulas were fitted to these jobs: where there is one of a kind, agreement is no check.",
        "",
        "| study | step | jobs | memory (MB) | formula | time (s) | formula |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for study, step in dict.fromkeys((row.study, row.step) for row in rows):
        mine = [row for row in rows if (row.study, row.step) == (study, step)]
        memory = _cells([row.memory_mb for row in mine], [row.ratios[0] for row in mine])
        time = _cells([row.seconds for row in mine], [row.ratios[1] for row in mine])
        lines.append(f"| {study} | {step} | {len(mine)} | {memory} | {time} |")
    return "\n".join([*lines, ""])


def _cells(values: Sequence[float | None], ratios: Sequence[float | None]) -> str:
    there = [value for value in values if value is not None]
    if not there:
        return "|"
    furthest = max((r for r in ratios if r is not None), key=lambda r: abs(math.log(r)))
    low, high = (f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in _range(there))
    return f"{low if low == high else f'{low} to {high}'} | {furthest:.2f}"


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("resources", __doc__)
    parser.add_argument("results", type=Path, help="results of a finished study")
    parser.add_argument("study", type=Path, help="its configuration")
    parser.add_argument("--name", required=True, help="what the study is called in the table")
    parser.add_argument("--jobs", type=int, default=2, help="cores that phantom and ingest had")
    parser.add_argument("--report", type=Path, required=True, help="folder of the table and page")
    args = parser.parse_args(argv)
    table = args.report / "resources.tsv"
    others = [row for row in read(table) if row.study != args.name] if table.exists() else []
    mine = list(rows_of(args.name, args.results, config.load(args.study), args.jobs))
    write([*others, *mine], args.report)
    wrong = [row for row in mine if row.off > FACTOR]
    for row in wrong:
        print(f"{row.step} {row.job}: off by a factor of {row.off:.2f}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
