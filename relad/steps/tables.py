"""The study's tables from `relad evaluate`'s rows, each as CSV, LaTeX (booktabs) and Markdown.

  main       training cohort, held-out subjects, every method that is no ablation
  external   the same methods on the cohorts that were never trained on
  ablation   each ablated method and its ablations on the training cohort
  runtime    parameters, updates, training time, time per volume, memory

and with --only, by name:

  GROUP      the methods of any further group of the configuration, such as release_ladder
  samplers   quality against network evaluations, from metrics of several samplings

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
from relad.errors import ReladError
from relad.results.records import read_costs
from relad.results.scores import read_sampler_scores, read_scores
from relad.results.tables.accuracy import accuracy_table, summary
from relad.results.tables.runtime import runtime_table
from relad.results.tables.samplers import sampler_table
from relad.study.config import load_settings, own_groups

TABLES = ("main", "external", "ablation", "runtime")

#: What each table needs on the command line.
NEEDS = {
    "main": "give METRICS.csv of the training cohort",
    "external": "give METRICS.csv of an external cohort",
    "ablation": "give METRICS.csv of an ablated method and its ablations",
    "runtime": "give --models and --synthesized",
    "samplers": "give METRICS.csv of the sampler study",
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
        metavar="NAME",
        help="make this table alone (may be given more than once)",
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings)
    groups = own_groups(settings)
    known = (*TABLES, "samplers", *groups)
    for name in args.only or ():
        if name not in known:
            raise ReladError(f"no table {name!r}", hint=f"known: {', '.join(known)}")
    if args.only == ["samplers"]:  # whose metrics are of many samplings
        made = {"samplers": sampler_table(read_sampler_scores(args.metrics, settings), settings)}
    else:
        scores = read_scores(args.metrics, settings)
        made = {}
        for name in args.only or TABLES:
            if name == "samplers":
                raise ReladError("the table 'samplers' is made alone", hint="give one --only")
            if name == "runtime":
                costs = read_costs(args.models, args.synthesized, settings)
                made[name] = runtime_table(costs, settings)
            else:
                made[name] = accuracy_table(name, scores, settings)
    for name, table in made.items():
        if table is None:
            if args.only:
                hint = NEEDS.get(name, f"give METRICS.csv of the methods of the group {name}")
                raise ReladError(f"nothing was given for the table {name!r}", hint=hint)
            print(f"tables: nothing given for {name}; left out", file=sys.stderr)
            continue
        for path in table.write(Path(args.out)):
            print(f"tables: wrote {path}", file=sys.stderr)
        if name == "main":
            print("\n".join(summary(table, settings)))
    if not any(made.values()):
        raise ReladError("nothing to make a table of", hint="give METRICS.csv or --models")
