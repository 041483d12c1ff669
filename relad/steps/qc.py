"""Show a cohort's quality control on one page that a person goes through in minutes.

Reads the folders of `relad normalize` and writes to OUT:

- index.html: one row per subject with its status, numbers and reasons, sortable and filterable, and
  the picture of the chosen subject beside it. It needs no network; the keys are on the page. Marks
  (good, bad) stay in the browser and are saved as a table by a button.
- pictures/: the pictures, so that OUT can be copied elsewhere as it is
- qc.tsv: the same rows as a table

What is excluded was decided by `relad normalize`, by the limits of the section qc, and stands in
each folder's status.json. The page decides nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relad.cli import add_settings
from relad.errors import ReladError
from relad.fileio import read_json, whole_folder, write_table, write_text
from relad.qc.page import render
from relad.qc.table import columns, row_of
from relad.study.config import load_settings

#: ``partial``: the subject is used, but an image of it is missing or excluded.
STATUSES = ("ok", "partial", "excluded")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the page")
    parser.add_argument(
        "normalized",
        metavar="NORMALIZED",
        type=Path,
        nargs="+",
        help="folders of `relad normalize`",
    )
    parser.add_argument("--title", metavar="NAME", default="cohort", help="name of the cohort")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings)
    rows = quality(args.out, args.normalized, args.title, settings)
    count = {kind: sum(row["status"] == kind for row in rows) for kind in STATUSES}
    print(
        f"{args.title}: {len(rows)} subjects, "
        + ", ".join(f"{number} {kind}" for kind, number in count.items())
        + f"; {args.out / 'index.html'}",
        file=sys.stderr,
    )


def quality(
    out: Path, folders: Sequence[Path], title: str, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Write the page of some normalised subjects.

    Parameters
    ----------
    out
        Folder to write.
    folders
        One folder of `relad normalize` per subject.
    title
        Name of the cohort.
    settings
        Sections ``tracers`` and ``qc``.

    Returns
    -------
    The rows of ``qc.tsv``.

    Raises
    ------
    ReladError
        Where a subject is given twice.
    """
    tracers = list(settings["tracers"])
    rows: list[dict[str, Any]] = []
    pictures: dict[str, str] = {}
    simulated = False
    with whole_folder(out, mark="index.html") as temporary:
        (temporary / "pictures").mkdir()
        for folder in folders:
            status = read_json(folder / "status.json")
            subject = status["subject"]
            if any(row["subject"] == subject for row in rows):
                raise ReladError(f"subject {subject} is given twice", file=folder)
            simulated |= bool(status["simulated"])
            rows.append(row_of(status, tracers))
            picture = folder / f"sub-{subject}_qc.png"
            if picture.exists():
                shutil.copyfile(picture, temporary / "pictures" / picture.name)
                pictures[subject] = f"pictures/{picture.name}"
        names = columns(tracers)
        write_table(temporary / "qc.tsv", rows, names)
        write_text(
            temporary / "index.html",
            render(title, rows, names, pictures, settings["qc"], simulated=simulated),
        )
    return rows
