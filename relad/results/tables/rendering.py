"""One table as CSV (all digits), LaTeX (booktabs) and Markdown (for reading)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from relad.fileio import write_table, write_text
from relad.results.intervals import with_ends
from relad.results.latex import escaped_tex
from relad.study.catalogue import SUFFIXES, TABLE

#: Text of a cell that has no value.
NOT_AVAILABLE = "n/a"


def with_interval(row: Mapping[str, Any], name: str, form: str) -> str:
    """A row's number with its interval, ``1.25 [1.10, 1.40]``, as far as it has them."""
    value, low, high = (row.get(column) for column in with_ends(name))
    if pd.isna(value):
        return NOT_AVAILABLE
    return f"{value:{form}}" + ("" if pd.isna(low) else f" [{low:{form}}, {high:{form}}]")


@dataclass(frozen=True)
class Cell:
    """Text of one cell for reading, bold where it is the best of its group."""

    text: str
    bold: bool = False


@dataclass
class Table:
    """A table in its two forms.

    Attributes
    ----------
    name
        File name without suffix, and LaTeX label.
    caption
        One paragraph that makes the table readable on its own.
    warning
        What must not be overlooked (``SIMULATED DATA ...``), or an empty string; stands before
        the caption.
    rows
        For the CSV: floats are written with six decimals, p values (``p``, ``p_...``) with six
        significant digits, what is missing as nothing.
    headers, groups
        For reading: rows of cells, in groups set apart by a rule. The columns from
        ``numbers_from`` on are right-aligned.
    summary
        Lines for the terminal.
    read
        Rows of the CSV that ``groups`` show, from 1 and in their order; None: all of them.
    """

    name: str
    caption: str
    warning: str
    rows: pd.DataFrame
    headers: Sequence[str]
    groups: list[list[list[Cell]]] = field(default_factory=list)
    numbers_from: int = 3
    summary: list[str] = field(default_factory=list)
    read: Sequence[int] | None = None

    def write(self, folder: str | Path) -> list[Path]:
        """Write ``<name>.csv``, ``.tex`` and ``.md`` into ``folder``, in that order."""
        paths = [Path(folder) / f"{self.name}.{suffix}" for suffix in SUFFIXES[TABLE]]
        write_table(paths[0], self.written(), list(self.rows))
        write_text(paths[1], self.tex())
        write_text(paths[2], self.markdown())
        return paths

    def written(self) -> list[dict[str, Any]]:
        """Rows of the CSV, as they are written."""
        return [{k: _digits(k, v) for k, v in row.items()} for row in self.rows.to_dict("records")]

    def shown(self) -> dict[str, Any]:
        """What stands in the table for reading, for its record; ``bold`` are (row, column)."""
        rows = [row for group in self.groups for row in group]
        return {
            "caption": self.caption,
            "warning": self.warning,
            "headers": list(self.headers),
            "columns": list(self.rows),
            "numbers_from": self.numbers_from,
            "groups": [[[cell.text for cell in row] for row in group] for group in self.groups],
            "bold": [[i, j] for i, row in enumerate(rows) for j, c in enumerate(row) if c.bold],
            "summary": list(self.summary),
            "read": list(range(1, len(rows) + 1) if self.read is None else self.read),
        }

    def markdown(self) -> str:
        """The table in Markdown, its caption first."""
        lines = [f"**{self.warning}**", ""] if self.warning else []
        lines += [self.caption, ""]
        lines.append("| " + " | ".join(map(_md, self.headers)) + " |")
        rule = ["---" if i < self.numbers_from else "---:" for i in range(len(self.headers))]
        lines.append("| " + " | ".join(rule) + " |")
        for group in self.groups:
            for row in group:
                cells = [f"**{_md(c.text)}**" if c.bold else _md(c.text) for c in row]
                lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def tex(self) -> str:
        """The table as a LaTeX float that needs only the package booktabs."""
        numbers = len(self.headers) - self.numbers_from
        warning = rf"\textbf{{{escaped_tex(self.warning)}.}} " if self.warning else ""
        bodies = []
        for group in self.groups:
            lines = []
            for i, row in enumerate(group):
                cells = []
                for j, cell in enumerate(row):
                    # What several rows share stands once; the last text column on every row.
                    above = group[i - 1][: j + 1] if i > 0 else None
                    repeated = j < self.numbers_from - 1 and row[: j + 1] == above
                    text = "" if repeated else escaped_tex(cell.text)
                    cells.append(rf"\textbf{{{text}}}" if cell.bold and text else text)
                lines.append(" & ".join(cells) + r" \\")
            bodies.append("\n".join(lines))
        return "\n".join(
            [
                r"% needs \usepackage{booktabs}",
                r"\begin{table}",
                r"\centering\footnotesize",
                rf"\caption{{{warning}{escaped_tex(self.caption)}}}",
                rf"\label{{tab:{self.name}}}",
                rf"\begin{{tabular}}{{{'l' * self.numbers_from}{'r' * numbers}}}",
                r"\toprule",
                " & ".join(map(escaped_tex, self.headers)) + r" \\",
                r"\midrule",
                "\n\\midrule\n".join(bodies),
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )


def _digits(column: str, value: Any) -> Any:
    if pd.isna(value):
        return None
    # "#" keeps zeros at the end: that they are digits is what `relad explain` compares by.
    form = "#.6g" if column.partition("_")[0] == "p" else ".6f"
    return format(value, form) if isinstance(value, float) else value


def _md(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", r"\|").replace("_", r"\_").replace("*", r"\*")
