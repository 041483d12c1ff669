"""What every source of scans is brought to before anything is converted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relad.cohort.adni import Entry, iso_date
from relad.cohort.derivatives import Derivatives
from relad.errors import DataError
from relad.fileio import beside, read_json

Row = dict[str, Any]

#: Key of a sidecar: a person said what the image is, whatever its header says, and why.
PUT_RIGHT_KEY = "SourceKindPutRight"

INGEST_COLUMNS = (
    "image_id",
    "subject",
    "ptid",
    "session",
    "description",
    "modality",
    "acq_date",
    "kind",
    "tracer",
    "product",
    "n_files",
    "status",
    "reason",
    "note",
    "output",
)


@dataclass(frozen=True)
class Candidate:
    """An image on disk and what its source says of it.

    Attributes
    ----------
    entry
        The source's row: image id, subject, visit, date, modality, description.
    files
        All its files: DICOM, or one NIfTI.
    session
        BIDS session label; None where the source has no sessions.
    kind
        T1w, FLAIR or PET where the source's file name says so; None: told by the description.
    sidecar
        Keys known beside the image (BIDS sidecars, LONI's XML).
    rank
        Sort key among images of one kind in a session, after the PET product.
    problem
        Why it cannot be used, where the source shows that already.
    labels
        Words of the file's name that the table of series may know to be of no image to use.
    notes
        What a person should look at.
    put_right, put_right_note
        What a person put right of it, by key, and that in words (:mod:`relad.cohort.overrides`).
    """

    entry: Entry
    files: tuple[Path, ...]
    session: str | None
    kind: str | None = None
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    rank: tuple[Any, ...] = ()
    problem: str | None = None
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    put_right: Mapping[str, str] = field(default_factory=dict)
    put_right_note: str = ""


@dataclass
class Contents:
    """All of a source.

    Attributes
    ----------
    what
        Of what kind the source is, for the dataset's name.
    candidates
        Images that may be used.
    rows
        Rows of ingest.tsv for everything else.
    people
        Subject's id in the source -> ``{age, sex, group}``, also of subjects without images.
    derivatives
        What other programs made of each T1w, by its image id.
    simulated
        Whether the source says that all of its scans are; each scan may say so too.
    """

    what: str
    candidates: list[Candidate] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    people: dict[str, dict[str, str | None]] = field(default_factory=dict)
    derivatives: Derivatives = field(default_factory=Derivatives)
    simulated: bool = False


def sidecar_beside(file: Path) -> dict[str, Any]:
    """The sidecar beside a NIfTI; empty where it is none, as its conversion will say."""
    path = beside(file, ".json")
    try:
        told = read_json(path) if path.is_file() else {}
    except DataError:
        return {}
    return told if isinstance(told, dict) else {}


def day_of(entry: Entry, other: str, what: str) -> tuple[str, str | None]:
    """Day of a scan, of its table's date and another statement of it; and a note if they differ.

    Parameters
    ----------
    entry
        The table's row.
    other
        Day (ISO) that the other one states; empty where it states none.
    what
        The other one's name: folder, header.
    """
    own, text = iso_date(entry.acq_date), entry.stated_date or entry.acq_date
    if not own:
        note = f"its date {text!r} is none that can be read, the {what}'s is {other}"
        return other, note if text and other else None
    if not other or own == other:
        return own, None
    if "/" in text and iso_date(text, day_first=own == iso_date(text)) == other:
        return other, f"its date {text} was read as the {what} has it, {other}"
    return own, f"its table states the date {own}, its {what} {other}"


def session_label(entry: Entry) -> str:
    """Visit (``ADNI3 Year 1 Visit``) in letters and digits, else the date of the scan.

    Raises
    ------
    DataError
        Where the entry has neither.
    """
    plain = unicodedata.normalize("NFKD", entry.visit).encode("ascii", "ignore").decode()
    label = re.sub(r"[^A-Za-z0-9]", "", plain) or re.sub(r"\D", "", entry.acq_date)
    if not label:
        raise DataError("has neither a visit nor a date")
    return label


def row(
    entry: Entry,
    n_files: int,
    *,
    reason: str | None,
    session: str | None = None,
    kind: str | None = None,
    tracer: str | None = None,
    product: str | None = None,
    note: str | None = None,
    output: str | None = None,
) -> Row:
    """One row of ingest.tsv; an image with a ``reason`` is dropped."""
    return {
        "image_id": entry.image_id or None,
        "subject": "".join(c for c in entry.ptid if c.isascii() and c.isalnum()) or None,
        "ptid": entry.ptid or None,
        "session": session,
        "description": entry.description or None,
        "modality": entry.modality or None,
        "acq_date": entry.acq_date or None,
        "kind": kind,
        "tracer": tracer,
        "product": product,
        "n_files": n_files,
        "status": "dropped" if reason else "kept",
        "reason": " ".join(reason.split()) if reason else None,
        "note": " ".join(note.split()) if note else None,
        "output": output,
    }
