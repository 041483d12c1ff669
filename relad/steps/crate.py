"""A finished study as an RO-Crate: tables, figures and records, described for machines.

Example:
  relad crate results crate/ --license https://creativecommons.org/licenses/by/4.0/

copies the tables, figures, page and paper of a study into a folder, with the metric rows and the
records of all runs behind them, and writes ro-crate-metadata.json (RO-Crate 1.1, profile Workflow
Run Crate): what each file is, which run made it of what, code, versions and licences. `relad
explain` works on the tables there.

Images of people stay behind, and with them the figures and the page that show some; --images takes
these along, simulated people are always shown. So do weights (`relad export` passes one on), scans
and volumes. Metric rows and records name people by the study's labels: see to it that you may pass
them on. Equal arguments, --date among them, give equal bytes.
"""

from __future__ import annotations

import argparse
import datetime
import re
import shutil
import sys
from pathlib import Path

from relad.errors import ReladError
from relad.fileio import whole_folder, write_json
from relad.study.paths import CRATE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="RESULTS", type=Path, help="folder of a finished study")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write")
    parser.add_argument(
        "--license", required=True, metavar="URL", help="licence of the study's results"
    )
    parser.add_argument(
        "--name", default="Synthesis of PET from structural MRI", help="of the study"
    )
    parser.add_argument(
        "--author", action="append", default=[], metavar="NAME", help="may be given more than once"
    )
    parser.add_argument(
        "--date", metavar="YYYY-MM-DD", help="of publication; default: today", default=None
    )
    parser.add_argument("--images", action="store_true", help="take figures of people along")


def run(args: argparse.Namespace) -> None:
    from relad.results.crate.contents import contents
    from relad.results.crate.metadata import metadata

    if not re.fullmatch(r"https?://\S+", args.license):
        raise ReladError(f"--license {args.license!r} is no address", hint="https://…")
    date = _date(args.date)
    results = args.results
    study = contents(results, images=args.images)
    if args.out.resolve().is_relative_to(results.resolve()):
        raise ReladError("lies in the study's results", file=args.out, hint="name another folder")
    described = metadata(
        study, name=args.name, licence=args.license, date=date, authors=args.author
    )
    with whole_folder(args.out, mark=CRATE) as folder:
        for place, file in study.files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / place)
        write_json(folder / CRATE, described)
    for file, why in study.left.items():
        print(f"crate: left out {file}: {why}", file=sys.stderr)
    print(f"crate: {len(study.files)} files -> {args.out}", file=sys.stderr)


def _date(text: str | None) -> str:
    if text is None:
        return datetime.date.today().isoformat()
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise ReladError(f"--date {text!r} is no date", hint="such as 2026-01-31") from None
