"""LONI's collection CSV: which image is whose, of which visit and day.

The archive offers it beside a download ("CSV Download"); since October 2024 there are tables of all
images too, with other names for the columns. Spreadsheets save them anew with semicolons, tabs,
another encoding or day-first dates. All of these are read; other tables are named for what they
are.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path

from relad.cohort.adni import Entry, image_id, iso_date
from relad.errors import MachineError, ReladError, refuse_machine_failure

#: Attribute of :class:`Entry` -> names of its column in lower case, as the collection CSV has it
#: first. Only the first two must be there.
COLUMNS = {
    "image_id": ("image data id", "image id", "image_id", "imageuid", "image uid"),
    "ptid": ("subject", "subject id", "subject_id"),
    "group": ("group", "research group", "research_group", "entry_research_group"),
    "sex": ("sex", "subject_sex", "ptgender"),
    "age": ("age", "subject_age", "image_age"),
    "visit": ("visit", "image_visit", "image visit", "viscode2", "viscode"),
    "modality": ("modality", "image_modality", "image modality"),
    "description": (
        *("description", "image_description", "image description"),
        *("series_description", "series description", "sequence"),
    ),
    "type": ("type", "image_type", "image type", "orig/proc"),
    "acq_date": (
        *("acq date", "image_date", "image date", "study date", "study_date"),
        *("scan date", "scandate", "acq_date"),
    ),
}
_USUAL = COLUMNS["image_id"][0]
#: Column of other tables of the archive -> what such a table is.
_OTHERS = {
    "rid": "a study table (one row per visit, by RID), not a list of images",
    "viscode": "a study table (one row per visit), not a list of images",
    "fldname": "a data dictionary, not a list of images",
    "participant_id": "a BIDS participants table, not a list of images",
}
_HINT = (
    "expected the collection CSV that LONI offers beside a download, or its table of all images: "
    "a column of image ids and one of subjects"
)


@dataclass
class Collection:
    """All collection CSVs of a download.

    Attributes
    ----------
    entries
        Image id -> row.
    conflicts
        Image id -> reason, for ids that stand in rows which contradict each other.
    unusable
        Rows that no file can be matched with, or that repeat another, with the reason.
    subjects
        PTID -> row of the subject's earliest scan.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)
    unusable: list[tuple[Entry, str]] = field(default_factory=list)
    subjects: dict[str, Entry] = field(default_factory=dict)


def find_collections(source: Path, given: Sequence[Path] | None = None) -> list[Path]:
    """Collection CSVs: those given, else every CSV with the right header in or beside ``source``.

    Raises
    ------
    ReladError
        Where there is none.
    """
    if given:
        return list(given)
    for folder in (source, source.resolve().parent):
        headers = {file: _header_of(file) for file in sorted(folder.glob("*.csv"))}
        usable = [file for file, header in headers.items() if not _missing(header)]
        # A table of all the archive's images tells the same of a download in other words.
        usual = [file for file in usable if _USUAL in headers[file]]
        if usable:
            return usual or usable
    raise ReladError(
        "no collection CSV in or beside this folder",
        file=source,
        hint='give it with --collection; its header starts with "Image Data ID","Subject"',
    )


def _header_of(file: Path) -> list[str]:
    """Column names of a table; none where it cannot be read."""
    try:
        return _header(_text(file, 1 << 16))[0]
    except MachineError:
        raise
    except ReladError:
        return []


def _text(file: Path, length: int = -1) -> str:
    """Text of a table, whatever program saved it.

    Raises
    ------
    ReladError
        Where it cannot be read or is no text.
    """
    try:
        with file.open("rb") as stream:
            raw = stream.read(length)
    except OSError as error:
        refuse_machine_failure(error, file)
        raise ReladError(f"cannot be read ({error.strerror})", file=file) from None
    if raw[:4] == b"PK\x03\x04":
        raise ReladError("is a spreadsheet, no CSV", file=file, hint="save it as CSV")
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    # cp1252 is what spreadsheets write on Windows.
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            text = raw.decode(encoding, errors="ignore" if length > 0 else "strict")
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ReladError("is no text", file=file, hint=_HINT)


def _header(text: str) -> tuple[list[str], str, int]:
    """Column names in lower case, the separator, and how many lines lie before the header."""
    lines = text.splitlines()
    skip = 0
    if lines and (match := re.fullmatch(r"sep=(.)", lines[0].strip())):  # Excel's own first line
        skip = 1
        separators = match[1]
    else:
        separators = ",;\t|"
    first = next((line for line in lines[skip:] if line.strip()), "")

    def names(separator: str) -> list[str]:
        row = next(csv.reader([first], delimiter=separator), [])
        return [name.strip().strip('"').strip().lower() for name in row]

    best = max(separators, key=lambda s: (-len(_missing(names(s))), len(names(s))))
    return names(best), best, skip


def _missing(header: Iterable[str]) -> list[str]:
    """Names, as the collection CSV writes them, of columns that must be there and are not."""
    held = set(header)
    needed = {"image_id": "Image Data ID", "ptid": "Subject"}
    return [name for key, name in needed.items() if not held & set(COLUMNS[key])]


def rows_of(file: Path) -> list[tuple[int, Entry]]:
    """Rows of one table with their numbers; cells are as they stand in it.

    Raises
    ------
    ReladError
        Where it cannot be read or lacks the columns of image ids and subjects.
    """
    text = _text(file)
    header, separator, skip = _header(text)
    missing = _missing(header)
    if missing:
        is_other = next((what for name, what in _OTHERS.items() if name in header), None)
        raise ReladError(
            f"has no column {' and '.join(map(repr, missing))}"
            + (f"; it looks like {is_other}" if is_other else ""),
            file=file,
            hint=_HINT,
        )
    places = {
        key: next((header.index(name) for name in names if name in header), None)
        for key, names in COLUMNS.items()
    }
    lines = text.splitlines(keepends=True)[skip:]
    found, seen_header = [], False
    reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=separator)
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not seen_header:
                seen_header = True
                continue
            values = {
                key: cells[place].strip() if place is not None and place < len(cells) else ""
                for key, place in places.items()
            }
            values = {k: "" if v.lower() in ("n/a", "nan") else v for k, v in values.items()}
            found.append((reader.line_num + skip, Entry(**values)))
    except csv.Error as error:
        raise ReladError(f"not a readable CSV ({error})", file=file) from None
    return found


def is_day_first(dates: Iterable[str]) -> bool:
    """Whether dates with slashes are D/M/YYYY: some can be nothing else, and none is M/D/YYYY."""
    texts = [text for text in dates if "/" in text]
    by_day = [iso_date(text, day_first=True) for text in texts]
    by_month = [iso_date(text) for text in texts]
    only_day = any(d and not m for d, m in zip(by_day, by_month, strict=True))
    only_month = any(m and not d for d, m in zip(by_day, by_month, strict=True))
    return only_day and not only_month


def read_collections(files: Iterable[Path]) -> Collection:
    """Read collection CSVs into one; rows that repeat or contradict each other are reported.

    Raises
    ------
    ReladError
        Where a file cannot be read, lacks the columns "Image Data ID" and "Subject", or all are
        empty.
    """
    rows: dict[str, list[Entry]] = defaultdict(list)
    collection = Collection()
    files = list(files)
    for file in files:
        table = rows_of(file)
        day_first = is_day_first(entry.acq_date for _, entry in table)
        for number, stated in table:
            day = iso_date(stated.acq_date, day_first=day_first)
            entry = replace(stated, acq_date=day or stated.acq_date, stated_date=stated.acq_date)
            if not re.search(r"[A-Za-z0-9]", entry.ptid):
                collection.unusable.append((entry, f"{file.name}, line {number}: no subject"))
                continue
            known = collection.subjects.get(entry.ptid)
            if known is None or _when(entry) < _when(known):
                collection.subjects[entry.ptid] = entry
            if not image_id(entry.image_id):
                rounded = re.fullmatch(r"\d+[.,]\d+[eE]\+?\d+", entry.image_id)
                reason = f"{file.name}, line {number}: {entry.image_id!r} is not an image id"
                reason += " (a spreadsheet rounded it)" if rounded else ""
                collection.unusable.append((entry, reason))
                continue
            rows[image_id(entry.image_id)].append(replace(entry, image_id=image_id(entry.image_id)))
    if not rows:
        raise ReladError("lists no images", file=", ".join(map(str, files)))
    for name, same in rows.items():
        collection.entries[name] = same[0]
        differ = [
            COLUMNS[f.name][0]
            for f in fields(Entry)
            if f.name in COLUMNS and len({getattr(row, f.name) for row in same}) > 1
        ]
        if differ:
            collection.conflicts[name] = (
                f"{name} stands in {len(same)} rows of the collection that differ in "
                f"{', '.join(differ)}"
            )
        for repeated in same[1:]:
            reason = collection.conflicts.get(name, "repeats another row of the collection")
            collection.unusable.append((repeated, reason))
    return collection


def _when(entry: Entry) -> tuple[str, str]:
    return (iso_date(entry.acq_date) or date.max.isoformat(), entry.image_id)
