"""The study's figures, each as PNG (300 dpi) and PDF, with its caption and origin beside them.

Example:
  relad figures results/metrics/*/*/*.csv --models results/models/*/* \\
      --synthesized results/synthesized/*/*/* --packed results/packed/* --out results/figures

Models that are given and were not trained on the same people and data, for as many updates, are
not compared. Without --only, a figure for which nothing is given is left out, and that is said on
stderr.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from relad.results import origin
from relad.results.study import add_arguments as add_study
from relad.results.study import make
from relad.study.catalogue import FIGURE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser, FIGURE)


def run(args: argparse.Namespace) -> None:
    from relad.results.figures import style  # here, so that the help needs no matplotlib

    with style.applied():
        for study, result, figure, note in make(args, FIGURE):
            caption = f"{result.title}. {result.caption} {note}".strip()
            paths = style.save(figure, Path(args.out) / result.name, caption)
            record = (Path(args.out), result, study.settings, study.files, {})
            for path in [*paths, origin.write(*record, "matplotlib", "numpy", "pandas")]:
                print(f"figures: wrote {path}", file=sys.stderr)
