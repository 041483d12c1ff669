"""Text from a stranger: JSON within bounds, and words that may be shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from relad.errors import ReladError

#: Nested lists and mappings that JSON may have; no file of ours has half of them.
DEEPEST = 32
#: A string, or what follows an opening quote that nothing closes: either is passed over in one go.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def parsed(content: bytes, name: str, path: Path) -> Any:
    """Content of a JSON file of a bundle.

    Raises
    ------
    ReladError
        Where it is no JSON, nested too deeply, or gives a key twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) != len(pairs):
            raise ValueError("a key stands twice")
        return found

    try:
        if _depth(content) > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} levels deep")
        return json.loads(content.decode("utf-8"), object_pairs_hook=once)
    except ValueError as error:  # of the encoding, of JSON, and of numbers of thousands of digits
        raise ReladError(f"{name} is not valid JSON ({shown(error)})", file=path) from None


def _depth(content: bytes) -> int:
    """Levels of brackets outside strings, counted before anything is built of them."""
    deepest = level = 0
    for byte in _STRING.sub(b"", content).translate(None, _NO_BRACKETS):
        level += 1 if byte in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


def shown(text: object, most: int = 80) -> str:
    """Words of a bundle for a message: one short line of printable ASCII."""
    line = " ".join(str(text)[: 2 * most].split())
    line = "".join(c if c.isascii() and c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= most else line[: most - 3] + "..."
