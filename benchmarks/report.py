"""Tables in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[dict[str, Any]]) -> str:
    """GitHub table of rows; the first column is text, the others are set right.

    A column without any value is left out.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    columns = [c for c in columns if c == columns[0] or any(row.get(c, "") != "" for row in rows)]
    lines = [
        "| " + " | ".join(columns) + " |",
        "| " + " | ".join(["---", *["---:"] * (len(columns) - 1)]) + " |",
    ]
    for row in rows:
        lines.append("| " + " | ".join(str(row.get(c, "")) for c in columns) + " |")
    return "\n".join(lines) + "\n"


def parameters(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """List of the methods' classes and parameters, as the configuration gave them."""
    return "".join(
        f"- `{name}`: `{entry['class']}` `{json.dumps(entry['params'])}`\n"
        for name, entry in entries.items()
    )
