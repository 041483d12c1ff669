"""The study's tables from `relad evaluate`'s rows, each as CSV, LaTeX (booktabs) and Markdown.

  main       training cohort, held-out subjects, every method that is no ablation
  external   the same methods on the cohorts that were never trained on
  ablation   each ablated method and its ablations on the training cohort
  runtime    parameters, updates, training time, time per volume, memory

Example:
  relad tables results/metrics/*/*/*.csv --models results/models/*/* \\
      --synthesized results/synthesized/*/*/* --out results/tables

Values are averaged over seeds within a subject, then over subjects; the interval is a bootstrap
over subjects. Without --only, a table for which nothing is given is left out, and that is said on
stderr. With the table main, the gain over the mean template is printed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from relad.cli import add_settings
from relad.config import load_settings
from relad.errors import ReladError
from relad.runs import read_costs
from relad.scores import read_scores
from relad.tables.accuracy import accuracy_table, summary
from relad.tables.runtime import runtime_table

TABLES = ("main", "external", "ablation", "runtime")

#: What each table needs on the command line.
NEEDS = {
    "main": "give METRICS.csv of the training cohort",
    "external": "give METRICS.csv of an external cohort",
    "ablation": "give METRICS.csv of an ablated method and its ablations",
    "runtime": "give --models and --synthesized",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "metrics", nargs="*", metavar="METRICS.csv", help="tables of `relad evaluate`"
    )
    parser.add_argument(
        "--models", nargs="*", default=[], metavar="DIR", help="folders of `relad train`"
    )
    parser.add_argument(
        "--synthesized", nargs="*", default=[], metavar="DIR", help="folders of `relad synthesize`"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the tables")
    parser.add_argument(
        "--only",
        action="append",
        choices=TABLES,
        help="make this table alone (may be given more than once)",
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings)
    scores = read_scores(args.metrics, settings)
    written = 0
    for name in args.only or TABLES:
        if name == "runtime":
            table = runtime_table(read_costs(args.models, args.synthesized, settings), settings)
        else:
            table = accuracy_table(name, scores, settings)
        if table is None:
            if args.only:
                raise ReladError(f"nothing was given for the table {name!r}", hint=NEEDS[name])
            print(f"tables: nothing given for {name}; left out", file=sys.stderr)
            continue
        for path in table.write(Path(args.out)):
            print(f"tables: wrote {path}", file=sys.stderr)
        if name == "main":
            print("\n".join(summary(table, settings)))
        written += 1
    if not written:
        raise ReladError("nothing to make a table of", hint="give METRICS.csv or --models")
