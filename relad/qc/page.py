"""The quality page filled in: HTML with its own style and script, nothing from the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from relad.qc.table import range_of
from relad.study.settings import Quality

#: ``partial``: the subject is used, but an image of it is missing or excluded.
STATUSES = ("ok", "partial", "excluded")
#: Columns that are no numbers.
WORDS = ("subject", "status", "session", "used", "reason")

_PAGE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Range:
    """Least and greatest accepted value of a column; None where there is no limit."""

    low: float | None
    high: float | None

    def holds(self, value: float) -> bool:
        return not (
            (self.low is not None and value < self.low)
            or (self.high is not None and value > self.high)
        )

    def __str__(self) -> str:
        words = (("at least", self.low), ("at most", self.high))
        return " to ".join(f"{word} {limit:g}" for word, limit in words if limit is not None)


def render(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    pictures: Mapping[str, str],
    limits: Quality,
    note: str,
) -> str:
    """Fill the page's template.

    Parameters
    ----------
    title
        Name of the cohort.
    rows, columns
        Table of :mod:`relad.qc.table`.
    pictures
        Subject -> picture, relative to the page.
    limits
        Section ``qc`` of the configuration; values outside them are marked.
    note
        What the page must say of its data, or an empty string.

    Returns
    -------
    HTML.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["short"] = _short
    shown = [c for c in columns if c in WORDS or any(row.get(c) is not None for row in rows)]
    return environment.from_string(_PAGE.read_text(encoding="utf-8")).render(
        title=title,
        note=note,
        rows=rows,
        columns=shown,
        words=WORDS,
        statuses=STATUSES,
        ranges={column: Range(*range_of(column, limits)) for column in shown},
        pictures=pictures,
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
