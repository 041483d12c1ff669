"""What benchmarks that are commands share: arguments, one line of an error, tables in Markdown."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relad.errors import ReladError


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Parser of ``python -m benchmarks.NAME``, whose help is its module's docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def printed(make: Callable[[], str]) -> int:
    """Print what ``make`` returns; status 2 and one line on stderr where its input is bad."""
    try:
        print(make(), end="")
    except ReladError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


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
