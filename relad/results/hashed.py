"""Files that something was made of, with their hashes, as a record beside it names them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from relad.errors import ReladError
from relad.fileio import sha256_of


@dataclass(frozen=True)
class Made:
    """A file that something was made of.

    Attributes
    ----------
    path
        As it is found from the working directory.
    sha256
        Its hash when it was read.
    """

    path: Path
    sha256: str

    def changed(self, remedy: str) -> ReladError | None:
        """What is wrong with it now: it is gone, or another; None where it is as it was."""
        if not self.path.is_file():
            return ReladError("has vanished since", file=self.path, hint=remedy)
        if sha256_of(self.path) != self.sha256:
            return ReladError("has changed since", file=self.path, hint=remedy)
        return None


def relative(file: Path, folder: Path) -> str:
    """How a file is named in one that lies in ``folder``."""
    return Path(os.path.relpath(file, folder)).as_posix()


def told(files: Iterable[Path], folder: Path) -> list[dict[str, str]]:
    """Files for a record that lies in ``folder``; inverse of :func:`found`."""
    return [{"path": relative(file, folder), "sha256": sha256_of(file)} for file in files]


def found(entries: Iterable[Mapping[str, str]], folder: Path) -> list[Made]:
    """Files of a record that lies in ``folder``."""
    return [
        Made(Path(os.path.normpath(folder / entry["path"])), str(entry["sha256"]))
        for entry in entries
    ]


#: What a text says of a file that it was made of: hash, and path from the text's folder.
_MENTION = re.compile(r"^(?:<!--|%) made of ([0-9a-f]{64}) (.+?)(?: -->)?$", re.MULTILINE)


def mentions(files: Iterable[Path], folder: Path) -> list[str]:
    """Words for comments of a text that lies in ``folder``; inverse of :func:`mentioned`."""
    return [f"made of {of['sha256']} {of['path']}" for of in told(files, folder)]


def mentioned(file: Path) -> list[Made]:
    """Files that comments of a page or of LaTeX (``% made of ...``) name."""
    text = file.read_text(encoding="utf-8", errors="replace")
    entries = [{"sha256": sha, "path": unescape(path)} for sha, path in _MENTION.findall(text)]
    return found(entries, file.parent)
