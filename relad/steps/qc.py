"""Judge a cohort's quality, and show it on one page that a person goes through in minutes.

Reads the folders of `relad normalize` and writes to OUT:

- subjects.json: every subject as it was measured and judged by the limits of the section qc, which
  decide what `relad pack` takes; with the T1w the subject is excluded, else the image alone.
  qc.overrides keep or drop a subject by hand, and are recorded with who and why
- qc.tsv: a row per subject with its status, numbers and reasons
- motion.tsv: a row per frame of every PET: when it was taken, whether its tracer's window holds it,
  and how the head had moved from the window's middle frame (n/a where it shows too little to tell)
- index.html: the same rows, sortable and filterable, and beside them of the chosen subject the
  pictures, pairs to flip between (FLAIR or PET and T1w, T1w and template, before and after) and the
  motion of its PET. It needs no network; the keys are on the page. Marks (good, bad) stay in the
  browser and are saved as a table by a button.
- pictures/: the pictures, so that OUT can be copied elsewhere as it is
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relad.cli import add_settings, folders_of
from relad.errors import ReladError
from relad.fileio import content_of, read_json, whole_folder, write_json, write_table, write_text
from relad.qc.overrides import decide, of_subjects
from relad.qc.page import STATUSES, Shown, render
from relad.qc.table import MOTION_COLUMNS, columns, motion_rows, row_of
from relad.status import SubjectStatus, note_of
from relad.study import paths
from relad.study.config import load_settings, of_cohort
from relad.study.settings import Override, QcSettings
from relad.study.subjects import check_overrides


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
    parser.add_argument(
        "--cohort", metavar="NAME", help="whose qc.overrides hold, where they are of several"
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> None:
    settings = load_settings(args.settings, QcSettings)
    if args.cohort is not None:
        of_cohort(settings.cohorts, args.cohort)
    overrides = of_subjects(settings.qc.overrides, args.cohort)
    rows = quality(args.out, folders_of(args.normalized), args.title, settings, overrides)
    for row in rows:
        if row["override"]:
            print(f"{args.title}: {row['subject']}: {row['override']}", file=sys.stderr)
    count = Counter(row["status"] for row in rows)
    print(
        f"{args.title}: {len(rows)} subjects, "
        + ", ".join(f"{count[status]} {status}" for status in STATUSES)
        + f"; {args.out / 'index.html'}",
        file=sys.stderr,
    )


def quality(
    out: Path,
    folders: Sequence[Path],
    title: str,
    settings: QcSettings,
    overrides: Mapping[str, Override],
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
    overrides
        Subject -> what a person decided of it.

    Returns
    -------
    The rows of ``qc.tsv``.

    Raises
    ------
    ReladError
        Where a subject is given twice, or an override is of somebody else.
    """
    tracers = list(settings.tracers)
    judged: dict[str, SubjectStatus] = {}
    shown: dict[str, Shown] = {}
    with whole_folder(out, mark="index.html") as temporary:
        (temporary / "pictures").mkdir()
        for folder in folders:
            status = SubjectStatus.read(folder)
            if status.subject in judged:
                raise ReladError(f"subject {status.subject} is given twice", file=folder)
            override = overrides.get(status.subject)
            told = folder / "status.json"
            with content_of(told, "status of a subject", hint="run `relad normalize` again"):
                judged[status.subject] = decide(status, settings.qc, override)
            shown[status.subject] = _shown(folder, status.subject, tracers)
            for name in shown[status.subject].files:
                shutil.copyfile(folder / name, temporary / "pictures" / name)
        check_overrides(title, overrides, judged)
        rows = [row_of(status, tracers) for status in judged.values()]
        names = columns(tracers)
        write_json(temporary / "subjects.json", [s.as_dict() for s in judged.values()])
        write_table(temporary / "qc.tsv", rows, names)
        moved = [
            row
            for subject, facts in shown.items()
            for tracer, told in facts.motion.items()
            for row in motion_rows(subject, tracer, told)
        ]
        write_table(temporary / "motion.tsv", moved, MOTION_COLUMNS)
        note = note_of(status.kind for status in judged.values())
        write_text(temporary / "index.html", render(title, rows, names, shown, settings.qc, note))
    return rows


def _shown(folder: Path, subject: str, tracers: Sequence[str]) -> Shown:
    """What a folder of `relad normalize` holds for the page; nothing of somebody excluded there."""
    views = folder / paths.flicker_views(subject)
    motion = {tracer: folder / paths.motion(subject, tracer) for tracer in tracers}
    pictures = (
        paths.qc_picture(subject),
        paths.flicker_picture(subject),
        paths.flicker_outline(subject),
    )
    there = [name if (folder / name).exists() else None for name in pictures]
    return Shown(
        *there,
        read_json(views) if views.exists() else None,
        {tracer: read_json(file) for tracer, file in motion.items() if file.exists()},
    )
