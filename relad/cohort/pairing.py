"""Which MRI belongs to which PET: one visit where possible, else the nearest day within a limit.

MRI and PET are rarely acquired on one day, and PET often has a session of its own. Each PET gets
one T1w, and that T1w's FLAIR; ``pairs.tsv`` says which, how many days lie between them, or why
there is none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from relad.fileio import read_table

PAIR_COLUMNS = (
    "subject",
    "tracer",
    "pet",
    "pet_date",
    "t1w",
    "t1w_date",
    "flair",
    "flair_date",
    "gap_days",
    "status",
    "reason",
)


@dataclass(frozen=True)
class Scan:
    """One kept image: its path in the dataset, its session and day."""

    path: str
    session: str | None
    day: date | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Scan:
        """From a row of ingest.tsv."""
        try:
            day = date.fromisoformat(row["acq_date"] or "")
        except ValueError:
            day = None
        return cls(row["output"], row["session"], day)

    def days_to(self, other: Scan) -> int | None:
        """Days from this scan to another; None where a date is unknown."""
        return (other.day - self.day).days if self.day and other.day else None


def _apart(this: Scan, other: Scan, limit: int) -> str | None:
    """Why two scans cannot be paired; None where they can."""
    gap = this.days_to(other)
    if gap is None:
        return None if this.session == other.session else "dates unknown and sessions differ"
    return None if abs(gap) <= limit else f"{abs(gap)} days apart, the limit is {limit}"


def _order(this: Scan, other: Scan) -> tuple[bool, int, str]:
    """Sort key of partners: the same session first, then by days, then by path."""
    return (this.session != other.session, abs(this.days_to(other) or 0), other.path)


def _flair_of(t1w: Scan, flairs: Sequence[Scan], limit: int) -> Scan | None:
    fitting = [f for f in flairs if _apart(t1w, f, limit) is None]
    return min(fitting, key=lambda f: _order(t1w, f), default=None)


def _flair_rank(t1w: Scan, flairs: Sequence[Scan], limit: int) -> int:
    """0 for a T1w with a FLAIR of its own session, 1 with one of another, 2 with none."""
    flair = _flair_of(t1w, flairs, limit)
    return 2 if flair is None else int(flair.session != t1w.session)


def pair(rows: Sequence[Mapping[str, Any]], max_gap_days: int) -> list[dict[str, Any]]:
    """Pair every kept PET with an MRI.

    Parameters
    ----------
    rows
        Kept rows of ingest.tsv.
    max_gap_days
        Most days between PET and T1w, and between T1w and FLAIR.

    Returns
    -------
    Rows of pairs.tsv, one per PET. A T1w with a FLAIR of its own session is taken before others,
    then the PET's own session, then the nearest day.
    """
    people: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        people[row["subject"]][row["kind"]].append(row)
    pairs = []
    for subject, kinds in sorted(people.items()):
        t1ws, flairs = ([Scan.of(r) for r in kinds[kind]] for kind in ("T1w", "FLAIR"))
        images = {r["output"]: r for r in reversed(kinds["PET"])}  # joined runs are one
        for pet_row in sorted(images.values(), key=lambda r: (r["tracer"], r["output"])):
            pet = Scan.of(pet_row)
            near = [t for t in t1ws if _apart(pet, t, max_gap_days) is None]
            reason = None
            if not near and len({t.session for t in t1ws}) == 1 and pet.days_to(t1ws[0]) is None:
                near, reason = t1ws, "dates unknown; the subject has T1w of one session only"
            best = min(
                near,
                key=lambda t: (_flair_rank(t, flairs, max_gap_days), *_order(pet, t)),
                default=None,
            )
            flair = _flair_of(best, flairs, max_gap_days) if best else None
            if best is None and t1ws:
                nearest = min(t1ws, key=lambda t: _order(pet, t)[1:])
                reason = f"its nearest T1w: {_apart(pet, nearest, max_gap_days)}"
            elif best is None:
                reason = "the subject has no T1w"
            pairs.append(
                {
                    "subject": subject,
                    "tracer": pet_row["tracer"],
                    "pet": pet.path,
                    "pet_date": pet.day,
                    "t1w": best.path if best else None,
                    "t1w_date": best.day if best else None,
                    "flair": flair.path if flair else None,
                    "flair_date": flair.day if flair else None,
                    "gap_days": best.days_to(pet) if best else None,
                    "status": "paired" if best else "unpaired",
                    "reason": reason,
                }
            )
    return pairs


@dataclass(frozen=True)
class Visit:
    """The scans of a subject that are used together, paths in the dataset."""

    t1w: Path
    flair: Path | None
    pets: dict[str, Path]


def unpaired(dataset: Path, subject: str) -> dict[str, str]:
    """Tracer -> why its PET got no MRI, from ``pairs.tsv``; empty where there is none."""
    table = dataset / "pairs.tsv"
    rows = read_table(table, PAIR_COLUMNS) if table.is_file() else []
    return {
        r["tracer"] or "": f"PET not paired with MRI: {r['reason']}"
        for r in rows
        if r["subject"] == subject and r["status"] == "unpaired"
    }


def visit_of(dataset: Path, subject: str) -> Visit | None:
    """Choose the visit of a subject to use, from ``pairs.tsv``.

    The T1w to which the PET of most tracers was paired; of several the one with a FLAIR, then the
    earliest. Of a tracer scanned twice near it, the PET nearest in time is taken.

    Returns
    -------
    None where the dataset has no ``pairs.tsv`` or no PET of the subject was paired.
    """
    table = dataset / "pairs.tsv"
    if not table.is_file():
        return None
    rows = [
        r
        for r in read_table(table, PAIR_COLUMNS)
        if r["subject"] == subject and r["status"] == "paired"
    ]
    if not rows:
        return None
    by_t1w: dict[str, list[dict[str, str | None]]] = defaultdict(list)
    for row in rows:
        by_t1w[row["t1w"] or ""].append(row)
    tracers = Counter({t1w: len({r["tracer"] for r in mine}) for t1w, mine in by_t1w.items()})

    def order(t1w: str) -> tuple[Any, ...]:
        first = by_t1w[t1w][0]
        return (-tracers[t1w], first["flair"] is None, first["t1w_date"] or "9999", t1w)

    chosen = min(by_t1w, key=order)
    pets: dict[str, Path] = {}
    for row in sorted(by_t1w[chosen], key=lambda r: abs(int(r["gap_days"] or 0))):
        pets.setdefault(row["tracer"] or "", dataset / (row["pet"] or ""))
    flair = by_t1w[chosen][0]["flair"]
    return Visit(dataset / chosen, dataset / flair if flair else None, pets)
