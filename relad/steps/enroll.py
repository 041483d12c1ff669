"""List who of a cohort may be of use, before anything is registered.

Reads a BIDS dataset as `relad ingest` made it and writes OUT, a table with a row per subject: the
session and tracers that would be used, or why nobody can use them. Methods need T1w, FLAIR and the
PET of one tracer at least; people to whom models are only applied (role: apply) need no PET. A
training cohort with fewer such people than folds.count, or too few to set
training.validation.subjects aside, is refused here, and not after hours of registration.

    relad enroll results/bids/sim-train results/enrolled/sim-train.tsv --cohort sim-train
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from relad.cli import add_settings
from relad.errors import DataError, ReladError
from relad.fileio import write_table
from relad.registration.inputs import choose_session
from relad.study.config import load_settings, of_cohort
from relad.study.settings import EnrollSettings
from relad.study.subjects import check_counts

COLUMNS = ("subject", "session", "usable", "tracers", "reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bids", metavar="BIDS", type=Path, help="BIDS dataset of the cohort")
    parser.add_argument("out", metavar="OUT.tsv", type=Path, help="table to write")
    parser.add_argument("--cohort", metavar="NAME", required=True, help="in the configuration")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    if args.out.suffix != ".tsv":
        raise ReladError("the table's name must end in .tsv", file=args.out)
    if not args.bids.is_dir():
        raise ReladError("no such folder", file=args.bids)
    settings = load_settings(args.settings, EnrollSettings)
    role = of_cohort(settings.cohorts, args.cohort).role
    rows = [
        enroll(args.bids, folder.name.removeprefix("sub-"), settings, apply=role == "apply")
        for folder in sorted(args.bids.glob("sub-*"))
    ]
    write_table(args.out, rows, COLUMNS)
    usable = [row for row in rows if row["usable"] == "yes"]
    others = "; ".join(f"{r['subject']} ({r['reason']})" for r in rows if r["usable"] == "no")
    print(f"{args.cohort}: {len(usable)} of {len(rows)} people have what methods need"
          + (f"; without: {others}" if others else ""), file=sys.stderr)  # fmt: skip
    if not usable:
        raise ReladError(f"nobody of cohort {args.cohort} can be used ({others})", file=args.bids)
    if role == "train":
        check_counts(
            args.cohort,
            len(usable),
            folds=settings.folds.count,
            validation=settings.training.validation.subjects,
            others=others,
        )


def enroll(
    bids: Path, subject: str, settings: EnrollSettings, *, apply: bool = False
) -> dict[str, str | None]:
    """Row of one subject."""
    row: dict[str, str | None] = {"subject": subject, "usable": "no"}
    try:
        session = choose_session(bids, subject, settings.tracers)
    except DataError as error:
        return {**row, "reason": error.what}
    row |= {"session": session.name, "tracers": ",".join(session.pets) or None}
    if session.flair is None:
        return {**row, "reason": "no FLAIR with its T1w"}
    if not session.pets and not apply:
        return {**row, "reason": "; ".join(session.unpaired.values()) or "no PET with its T1w"}
    return {**row, "usable": "yes"}
