"""Whether tables of metrics were measured alike: of the same packed data, and by the same code."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relad.errors import DataError, ReladError
from relad.fileio import content_of, read_object, sha256_of
from relad.study.catalogue import CEILING


@dataclass(frozen=True)
class Measured:
    """What the record beside a table of metrics says of how it was measured.

    Attributes
    ----------
    file
        The table.
    cohort
        Whose images were compared.
    packed
        Hash of what the cohort's packing told of itself: truth and masks.
    ranges
        Data range by tracer, in SUVR; None where nothing needs one.
    code
        Fingerprint of the step's code; None of a table of `relad ceiling`.
    untrained
        Tracers of which nobody was compared, as the method was not trained for them.
    """

    file: Path
    cohort: str
    packed: str
    ranges: dict[str, float] | None
    code: str | None
    untrained: tuple[str, ...]


def read_measured(files: Iterable[Path]) -> list[Measured]:
    """Read the records beside tables of metrics; a table without one, or without rows, is left out.

    Raises
    ------
    DataError
        Where one does not say what was measured, or is of another table: rows were lost, added or
        changed.
    """
    found = []
    for file in files:
        record = file.with_suffix(".json")
        cohort = _cohort(file)
        if not record.exists() or cohort is None:
            continue
        told: dict[str, Any] = read_object(record)
        if told.get("table_sha256") not in (None, sha256_of(file)):
            raise DataError(
                f"has other rows than were measured, by {record.name} beside it",
                file=file,
                hint="run `relad evaluate` again; a table of rows of your own has no such record",
            )
        with content_of(record, "record of `relad evaluate`", hint="run `relad evaluate` again"):
            (packed,) = told["made_of"]["packed"]
            of_ceiling = told["provenance"].get("step") == CEILING
            code = None if of_ceiling else str(told["provenance"]["code"])
            ranges = told.get("data_range_suvr")
            untrained = tuple(map(str, told.get("untrained", ())))
            found.append(Measured(file, cohort, str(packed["sha256"]), ranges, code, untrained))
    return found


def _cohort(file: Path) -> str | None:
    """Whose rows a table has; None where it has none, see :mod:`relad.results.scores`."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return next((row["cohort"] for row in csv.DictReader(lines)), None)


def require_measured_alike(measured: Sequence[Measured]) -> None:
    """Refuse to compare what was measured on other data, or in another range.

    Raises
    ------
    ReladError
        Naming two tables of a cohort.
    """
    first: dict[tuple[str, bool], Measured] = {}
    for of in measured:
        # The ceiling may be measured of a cohort that was packed again with it.
        other = first.setdefault((of.cohort, of.code is None), of)
        what = ""
        if of.packed != other.packed:
            what = f"on different packed data of {of.cohort}: other truth, people or masks"
        elif of.ranges and other.ranges:
            odd = [t for t in of.ranges if of.ranges[t] != other.ranges.get(t, of.ranges[t])]
            if odd:
                ranges = f"{of.ranges[odd[0]]:g} and {other.ranges[odd[0]]:g}"
                what = f"with data ranges of {ranges} SUVR of {odd[0]}"
        if what:
            raise ReladError(
                f"and {other.file} were measured {what}",
                file=of.file,
                hint="run `relad evaluate` again for both",
            )


def versions_note(measured: Iterable[Measured]) -> str:
    """Sentence on tables that different versions of the evaluation measured; empty if one did."""
    if len({of.code for of in measured} - {None}) < 2:
        return ""
    return "The metrics were measured by different versions of the evaluation's code."
