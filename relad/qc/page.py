"""The quality page filled in: HTML with its own style and script, nothing from the network."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from relad.qc.table import range_of
from relad.qc.template import PAGE

#: Columns that are no numbers.
WORDS = ("subject", "status", "session", "used", "reason")


def render(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    pictures: Mapping[str, str],
    limits: Mapping[str, Any],
    *,
    simulated: bool,
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
    simulated
        Whether the page must say that the scans are.

    Returns
    -------
    HTML.
    """
    shown = [c for c in columns if c in WORDS or any(row.get(c) is not None for row in rows)]
    ranges = {c: range_of(c, limits) for c in shown}
    head = "".join(_header(c, *ranges[c]) for c in shown)
    body = "\n".join(
        f'<tr tabindex="-1" data-status="{row["status"]}" data-subject="{_text(row["subject"])}" '
        f'data-picture="{_text(pictures.get(row["subject"], ""))}">'
        + "".join(_cell(c, row.get(c), *ranges[c]) for c in shown)
        + "</tr>"
        for row in rows
    )
    count = {s: sum(row["status"] == s for row in rows) for s in ("ok", "partial", "excluded")}
    note = "SIMULATED DATA (digital phantoms, no patients)" if simulated else ""
    page = PAGE
    for key, value in {
        "title": _text(title),
        "note": note,
        "total": str(len(rows)),
        **{f"count_{status}": str(number) for status, number in count.items()},
        "head": head,
        "body": body,
        # "<" would let a name end the script.
        "cohort": json.dumps(title).replace("<", "\\u003c"),
    }.items():
        page = page.replace("{{" + key + "}}", value)
    return page


def _text(value: Any) -> str:
    return html.escape("" if value is None else str(value), quote=True)


def _header(column: str, low: float | None, high: float | None) -> str:
    limit = " to ".join(
        part
        for part in (
            f"at least {low:g}" if low is not None else "",
            f"at most {high:g}" if high is not None else "",
        )
        if part
    )
    kind = "word" if column in WORDS else "number"
    return (
        f'<th scope="col" class="{kind}" title="{limit}"><button type="button">'
        f"{_text(column.replace('_', ' '))}</button></th>"
    )


def _cell(column: str, value: Any, low: float | None, high: float | None) -> str:
    if column == "status":
        return f'<td class="status {value}">{value}</td>'
    if column in WORDS:
        return f'<td class="{column}" title="{_text(value)}">{_text(value)}</td>'
    if value is None:
        return '<td class="number"></td>'
    outside = (low is not None and value < low) or (high is not None and value > high)
    kind = "number outside" if outside else "number"
    return f'<td class="{kind}" data-value="{value}">{_short(value)}</td>'


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
