"""Judge a cohort's quality, and show it on one page that a person goes through in minutes.

Reads the folders of `relad normalize` and writes to OUT:

- subjects.json: every subject as it was measured and judged by the limits of the section qc, which
  decide what `relad pack` takes; with the T1w the subject is excluded, else the image alone
- qc.tsv: a row per subject with its status, numbers and reasons
- index.html: the same rows, sortable and filterable, and the picture of the chosen subject beside
  them. It needs no network; the keys are on the page. Marks (good, bad) stay in the browser and
  are saved as a table by a button.
- pictures/: the pictures, so that OUT can be copied elsewhere as it is
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relad.cli import add_settings, folders_of
from relad.errors import ReladError
from relad.fileio import whole_folder, write_json, write_table, write_text
from relad.qc.limits import judge
from relad.qc.page import STATUSES, render
from relad.qc.table import columns, row_of
from relad.status import SubjectStatus, note_of
from relad.study import paths
from relad.study.config import load_settings
from relad.study.settings import QcSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the page")
    parser.add_argument(
        "normalized",
        metavar="NORMALIZED",
        type=Path,
        nargs="+",
        help="folders of `relad normalize`, or the folder that holds them",
    )
    parser.add_argument("--title", metavar="NAME", default="cohort", help="name of the cohort")
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings, QcSettings)
    rows = quality(args.out, folders_of(args.normalized), args.title, settings)
    count = Counter(row["status"] for row in rows)
    print(
        f"{args.title}: {len(rows)} subjects, "
        + ", ".join(f"{count[status]} {status}" for status in STATUSES)
        + f"; {args.out / 'index.html'}",
        file=sys.stderr,
    )


def quality(
    out: Path, folders: Sequence[Path], title: str, settings: QcSettings
) -> list[dict[str, Any]]:
    """Judge some normalised subjects and write their page.

    Parameters
    ----------
    out
        Folder to write.
    folders
        One folder of `relad normalize` per subject.
    title
        Name of the cohort.
    settings
        Tracers and limits.

    Returns
    -------
    The rows of ``qc.tsv``.

    Raises
    ------
    ReladError
        Where a subject is given twice.
    """
    tracers = list(settings.tracers)
    judged: dict[str, SubjectStatus] = {}
    pictures: dict[str, str] = {}
    with whole_folder(out, mark="index.html") as temporary:
        (temporary / "pictures").mkdir()
        for folder in folders:
            status = SubjectStatus.read(folder)
            if status.subject in judged:
                raise ReladError(f"subject {status.subject} is given twice", file=folder)
            judged[status.subject] = judge(status, settings.qc)
            picture = folder / paths.qc_picture(status.subject)
            if picture.exists():
                shutil.copyfile(picture, temporary / "pictures" / picture.name)
                pictures[status.subject] = f"pictures/{picture.name}"
        rows = [row_of(status, tracers) for status in judged.values()]
        names = columns(tracers)
        write_json(temporary / "subjects.json", [s.as_dict() for s in judged.values()])
        write_table(temporary / "qc.tsv", rows, names)
        note = note_of(status.kind for status in judged.values())
        write_text(
            temporary / "index.html", render(title, rows, names, pictures, settings.qc, note)
        )
    return rows
