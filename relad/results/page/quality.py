"""Quality of a cohort on the page: how many are in use, who is not and why, ranges of measures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from relad.fileio import is_number, read_table

_NEEDED = ("subject", "status", "reason")
#: Columns of the table that are no measures.
_WORDS = (*_NEEDED, "session", "used", "override")


@dataclass(frozen=True)
class Quality:
    """What the page says of one cohort.

    Attributes
    ----------
    cohort
        Name.
    page
        The cohort's own page.
    counts
        Status -> subjects.
    problems
        Subject, status, reason and override of whoever has one.
    measures
        Name, subjects with a value, least, median and greatest.
    """

    cohort: str
    page: Path
    counts: dict[str, int]
    problems: list[tuple[str, str, str, str]]
    measures: list[tuple[str, int, float, float, float]]


def read_quality(folder: Path) -> Quality:
    """Read a folder of `relad qc`.

    Raises
    ------
    ReladError
        Where it holds no such table.
    """
    rows = read_table(folder / "qc.tsv", needs=_NEEDED)
    measures = []
    for column in (column for column in (rows[0] if rows else ()) if column not in _WORDS):
        values = [float(row[column]) for row in rows if is_number(row[column])]
        if values:
            measures.append((column, len(values), min(values), median(values), max(values)))
    return Quality(
        cohort=folder.name,
        page=folder / "index.html",
        counts=dict(Counter(row["status"] or "" for row in rows)),
        problems=[
            (
                row["subject"] or "",
                row["status"] or "",
                row["reason"] or "",
                row.get("override") or "",
            )
            for row in rows
            if row["reason"] or row.get("override")
        ],
        measures=measures,
    )
