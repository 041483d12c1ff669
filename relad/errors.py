"""The one error a user is meant to read."""

from __future__ import annotations

from pathlib import Path


class ReladError(Exception):
    """Bad input or configuration, told in one line: which file, what is wrong, what to do.

    The command line prints the message without a traceback and exits with status 2.
    """

    def __init__(self, what: str, *, file: str | Path | None = None, hint: str | None = None):
        self.file = None if file is None else str(file)
        self.what = what
        self.hint = hint
        parts = [f"{self.file}: {what}" if self.file else what]
        if hint:
            parts.append(hint)
        super().__init__(" -- ".join(parts))


class DataError(ReladError):
    """A scan or table that cannot be used; the subject is excluded, the cohort goes on."""
