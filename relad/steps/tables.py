"""The study's tables from `relad evaluate`'s rows, each as CSV, LaTeX (booktabs) and Markdown.

Beside them, a .table.json of the same name says what the table was made of, for `relad explain`.

Example:
  relad tables results/metrics/*/*/*.csv --models results/models/*/* \\
      --synthesized results/synthesized/*/*/* --out results/tables

Values are averaged over seeds within a subject, then over subjects; the interval is Student's t
over subjects. Models that are given and were not trained on the same people and data, for as many
updates, are not compared. Without --only, a table for which nothing is given is left out, and that
is said on stderr. With the table main, the gain over the mean template is printed, and whether a
paired test tells it from none.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from relad.results import origin
from relad.results.study import add_arguments as add_study
from relad.results.study import make
from relad.study.catalogue import TABLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser, TABLE)


def run(args: argparse.Namespace) -> None:
    for study, result, table, note in make(args, TABLE):
        table.caption = f"{table.caption} {note}".strip()
        record = (Path(args.out), result, study.settings, study.files, table.shown())
        for path in [*table.write(args.out), origin.write(*record, "numpy", "pandas", "scipy")]:
            print(f"tables: wrote {path}", file=sys.stderr)
        for line in table.summary:
            print(line)
