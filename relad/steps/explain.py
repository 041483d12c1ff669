"""Where one cell of a table comes from: subjects, metric rows, runs, settings, code, scans.

Example:
  relad explain results/tables/main.csv --row cohort=sim-train,tracer=tau,method=unet \\
      --column psnr

reads what the table and its runs wrote beside their outputs, and no configuration. The cell is made
again of the recorded metric rows; the exit status is 1 where it comes out otherwise, or where a
file behind the rows has vanished or changed since, which is said with the remedy. With --voxels the
values are measured again too, of the synthetic and the real images. A crate holds no packed data:
there a cell that is made of these is explained, not made again (exit status 1).

--row is the row's number (the first below the header is 1), or COLUMN=VALUE of the CSV, several
with commas; where several rows have them, they are listed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relad.errors import ReladError
from relad.results import origin as origins

if TYPE_CHECKING:
    import pandas as pd

    from relad.results.explain.ancestry import Ran


#: So many problems are told one by one.
_TOLD = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", metavar="TABLE.csv", type=Path, help="table of `relad tables`")
    parser.add_argument("--row", required=True, help="number, or COLUMN=VALUE,...")
    parser.add_argument("--column", required=True, help="column of the CSV")
    parser.add_argument(
        "--voxels", action="store_true", help="measure the values again, of the images"
    )


def run(args: argparse.Namespace) -> int:
    from relad.results.explain.ancestry import runs_of
    from relad.results.explain.cell import changed, choose, made_again, metric_rows
    from relad.results.explain.words import explanation
    from relad.results.runs import left_behind

    cell = choose(origins.read(args.table), args.row, args.column)
    crate = cell.origin.crate
    packed = [left_behind(made.path, crate) for made in cell.origin.files["packed"]]
    apart = [problem for problem in packed if problem is not None]
    again = {} if apart else made_again(cell)
    rows = metric_rows(cell)
    runs = runs_of(rows, cell.origin)
    # Runs share their packed data and models: what is wrong with one is said once.
    problems = apart + list({str(p): p for ran in runs for p in ran.problems}.values())
    if args.voxels:
        problems += measured_again(rows, runs)
    print("\n".join(explanation(cell, rows, runs)))
    others = [] if apart else changed(cell, again)
    for column in others:
        is_now = f"{column} is {cell.row[column]}, made again {again.get(column)}"
        problems.append(
            ReladError(
                f"row {cell.number}, {is_now}",
                file=cell.origin.product,
                hint="somebody changed it; make the table again",
            )
        )
    if not rows.empty and args.voxels and not problems:
        print(f"Measured again, all {len(rows)} values are as their rows have them.")
    for problem in problems[:_TOLD]:
        print(f"explain: {problem}", file=sys.stderr)
    if len(problems) > _TOLD:
        print(f"explain: and {len(problems) - _TOLD} more of such", file=sys.stderr)
    if others:
        print("The cell does NOT follow from what it was made of, see the messages.")
    elif apart:
        print("The cell was not made again: the packed data that it is of are not here.")
    elif problems:
        print("The cell follows from its rows, but what is behind them is not as it was.")
    elif rows.empty and "metrics" in cell.origin.result.needs:
        value = again[cell.column]
        print(f"Made again the cell is {value}, but no metric rows of it are named above.")
    else:
        print(f"The cell agrees: made again of what is named above, it is {again[cell.column]}.")
    return 1 if problems else 0


def measured_again(rows: pd.DataFrame, runs: Sequence[Ran]) -> list[ReladError]:
    """Measure rows' values anew; what differs from its row is returned."""
    from relad.data.dataset import PackedDataset
    from relad.results.records import read_synthesis
    from relad.results.runs import left_behind
    from relad.steps import ceiling
    from relad.steps.evaluate import evaluate

    keys = ["sampler", "subject", "tracer", "region", "metric"]
    problems = []
    for ran in runs:
        if error := left_behind(ran.evaluation.packed.path, ran.crate):
            raise error
        of = rows[rows["file"] == ran.evaluation.metrics]
        only = set(of[["subject", "tracer"]].itertuples(index=False, name=None))
        dataset = PackedDataset(ran.evaluation.packed.path.parent)
        if ran.evaluation.synthesized is None:
            again = ceiling.rows(dataset)
        else:
            synthesis = read_synthesis(ran.evaluation.synthesized.path.parent)
            again = evaluate(synthesis, dataset, only=only)
        found = {tuple(row[k] for k in keys): float(row["value"]) for row in again}
        for row in of.to_dict("records"):
            value = found.get(tuple(row[k] for k in keys), math.nan)
            if not math.isclose(value, row["number"], rel_tol=1e-9, abs_tol=1e-9):
                problems.append(
                    ReladError(
                        f"line {row['line']} says {row['number']}, measured again it is {value}",
                        file=row["file"],
                        hint="run `relad evaluate` again",
                    )
                )
    return problems
