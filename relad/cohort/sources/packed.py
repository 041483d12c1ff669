"""A cohort that was packed elsewhere: the folder of `relad pack`, carried here, used as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relad.cohort.images import Contents
from relad.errors import ReladError
from relad.fileio import read_object, read_table

NEEDS, TAKES = ("path",), ()


def subjects(entry: Mapping[str, Any]) -> tuple[list[str], Path]:
    """See :mod:`relad.study.subjects`."""
    table = Path(entry["path"]) / "subjects.tsv"
    return sorted(
        row["subject"]
        for row in read_table(table, ["subject", "included"])
        if row["included"] == "yes"
    ), table


def named(entry: Mapping[str, Any]) -> tuple[str | None, Path]:
    """See :mod:`relad.study.subjects`."""
    told, file = _dataset(entry)
    return told.get("cohort"), file


def has_ceiling(entry: Mapping[str, Any]) -> bool:
    """See :mod:`relad.study.subjects`."""
    told, _ = _dataset(entry)
    return told.get("ceiling") is True


def _dataset(entry: Mapping[str, Any]) -> tuple[Mapping[str, Any], Path]:
    """What the cohort says of itself, nothing where it does not, and where it would."""
    file = Path(entry["path"]) / "dataset.json"
    return (read_object(file) if file.is_file() else {}), file


def read(source: Path, collections: Sequence[Path] | None = None) -> Contents:
    """Refuse: there are no scans to read."""
    raise ReladError("is packed already", file=source, hint="give it to `relad train`")
