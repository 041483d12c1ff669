"""The study on one page: its verdict, tables, figures, quality, settings and provenance.

Example:
  relad report results/report.html results/tables/*.csv results/figures/*.png \\
      --qc results/qc/*

writes one file of HTML that needs no network and no other file: tables that sort, figures that
enlarge, the meaning of each metric at its heading. What was found stands first, in the sentences of
the tables of decisions or, where there is none, in those of the gain over the floor. All of it is
read from the tables and figures and from what their runs wrote beside them; no configuration is
asked. A table or figure that was changed, or made of files that were, is refused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from relad.fileio import write_text
from relad.results import origin


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT.html", type=Path, help="page to write")
    origin.add_results(parser)
    parser.add_argument(
        "--qc", nargs="*", default=[], metavar="DIR", type=Path, help="folders of `relad qc`"
    )


def run(args: argparse.Namespace) -> None:
    from relad.results.page.content import page
    from relad.results.page.quality import read_quality

    origins = origin.read_unchanged(args.results)
    write_text(args.out, page(args.out, origins, [read_quality(folder) for folder in args.qc]))
    print(f"report: {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)", file=sys.stderr)
