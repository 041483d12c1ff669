"""Metrics of many trainings in few rows: a mean over subjects and tracers, and what seeds change.

    python -m benchmarks.condensed results/metrics/sim-train/adv-*/*.csv --metrics psnr mae hfen

One row per method and sampling. A cell is the mean over a cohort's test scans in the brain mask,
first over each seed's; where there are several seeds, the least and the greatest of their means
stand in brackets. For a decision between methods see results/tables, whose unit is the subject.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import report
from relad.errors import ReladError
from relad.fileio import read_table
from relad.results.metrics import METRICS
from relad.results.scores import COLUMNS
from relad.status import Kind, note_of
from relad.study.catalogue import BRAIN
from relad.study.sampling import described

USUAL = ("psnr", "ssim", "mae", "hfen", "spectral_high", "crps", "spread_skill")


def condensed(rows: Iterable[dict[str, str]], metrics: Sequence[str]) -> list[dict[str, str]]:
    """Rows of the table, of rows as `relad evaluate` writes them, in the order they come.

    Raises
    ------
    ReladError
        Where they are of several cohorts.
    """
    values: dict[tuple[str, str], dict[str, dict[str, list[float]]]] = {}
    cohorts = set()
    for row in rows:
        cohorts.add(row["cohort"])
        if row["region"] != BRAIN or row["metric"] not in metrics:
            continue
        of_row = values.setdefault(
            (row["method"], row["sampler"]), defaultdict(lambda: defaultdict(list))
        )
        of_row[row["metric"]][f"{row['fold']} {row['seed']}"].append(float(row["value"]))
    if len(cohorts) != 1:
        raise ReladError(f"rows of {len(cohorts)} cohorts", hint="give those of one")

    def cell(metric: str, seeds: dict[str, list[float]]) -> str:
        means = [statistics.fmean(of_seed) for of_seed in seeds.values()]
        texts = [f"{v:.{METRICS[metric].decimals}f}" for v in (min(means), max(means))]
        mean = f"{statistics.fmean(means):.{METRICS[metric].decimals}f}"
        return mean if len(means) == 1 else f"{mean} ({', '.join(texts)})"

    return [
        {
            "method": method,
            "sampling": described(sampler),
            **{METRICS[m].label: cell(m, found[m]) if m in found else "" for m in metrics},
        }
        for (method, sampler), found in values.items()
    ]


def main(argv: list[str] | None = None) -> int:
    parser = report.parser("condensed", __doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="METRICS.csv")
    parser.add_argument("--metrics", nargs="+", choices=list(METRICS), default=USUAL)
    args = parser.parse_args(argv)

    def text() -> str:
        rows = [row for file in args.files for row in read_table(file, COLUMNS)]
        note = note_of(Kind(row["data"]) for row in rows)
        return f"{note}\n\n{report.table(condensed(rows, args.metrics))}"

    return report.printed(text)


if __name__ == "__main__":
    sys.exit(main())
