"""Put the searches of a study's methods together, for the study to take.

SEARCH are folders of `relad search`: of every method one on each of the same folds. They must have
one effort: searches of other data, people, settings, code, numbers of trials or of updates are
refused.

Output folder: tuned.yaml, what was found by fold and method (the study's key `tuned` takes it; to
publish a study, commit it), tuned.json (provenance), tuning.csv (every search: what was searched,
trials, updates, network size, seconds, memory, validation PSNR as configured and as found; methods
that were not searched have 0 trials).

  relad tune results/tuning/*/fold-0 --out results/tuning
"""

from __future__ import annotations

import argparse
from pathlib import Path

from relad.cli import add_settings
from relad.errors import ReladError
from relad.study.config import load_settings
from relad.study.settings import TuneSettings
from relad.tuning import findings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("searches", nargs="*", type=Path, metavar="SEARCH")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    methods = load_settings(args.settings, TuneSettings).methods
    if not args.searches:
        raise ReladError(
            "there is no search to put together",
            hint="declare what is searched in the file that tuning.space names",
        )
    searches = [findings.read(folder) for folder in args.searches]
    searched = {search["method"] for search in searches}
    unknown = sorted(searched - methods.keys())
    if unknown:
        raise ReladError(
            f"the study has no method {', '.join(unknown)}", hint=f"known: {', '.join(methods)}"
        )
    # An ablation that is not searched itself inherits what was found for its base.
    others = [name for name, e in methods.items() if e.ablates is None and name not in searched]
    findings.write_together(args.out, searches, others)
    return 0
