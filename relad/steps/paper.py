"""A skeleton of the study's paper in LaTeX, its numbers, methods and verdict generated.

Example:
  relad paper results/paper results/tables/*.csv results/figures/*.png
  cd results/paper && latexmk -pdf paper.tex

writes paper.tex, and what it inputs: numbers.tex (settings and every number of the tables, as
\\cell{main/sim-train/tau/unet/psnr}), verdict.tex, methods.tex, results.tex (the tables and
figures, by their path from here) and references.bib. All of it is read from the tables and figures
and from what their runs recorded, and written anew by the next run: copy paper.tex under a name of
your own to write in. Other files in the folder are left alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from relad.results import origin


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write into")
    origin.add_results(parser)


def run(args: argparse.Namespace) -> None:
    from relad.results.paper.writing import write

    for path in write(args.out, origin.read_unchanged(args.results)):
        print(f"paper: wrote {path}", file=sys.stderr)
