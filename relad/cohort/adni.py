"""A download from LONI's image archive: the tree of scans and the collection CSV beside it.

``<PTID>/<Description, specials become _>/<date>/<I…image id or S…series id>/*_I<image id>.dcm`` (or
``.nii``, ``.nii.gz``). Both leaf forms occur, so a file belongs to the image its own name states.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

from relad.errors import ReladError, refuse_machine_failure
from relad.fileio import read_table

#: ADNI's identifiers of subjects.
PTID = re.compile(r"\d{3}_S_\d{4,}")
_IMAGE_ID = re.compile(r"_I(\d+)\.(dcm|nii|nii\.gz)$", re.IGNORECASE)
_IMAGE = (".dcm", ".nii", ".nii.gz")
#: Files that describe images and stand for none.
DESCRIBING = (".xml", ".json", ".csv", ".tsv", ".txt", ".pdf", ".md", ".log", ".html")

#: Collection column -> attribute of :class:`Entry`. Only the first two must be there.
COLUMNS = {
    "image data id": "image_id",
    "subject": "ptid",
    "group": "group",
    "sex": "sex",
    "age": "age",
    "visit": "visit",
    "modality": "modality",
    "description": "description",
    "type": "type",
    "acq date": "acq_date",
}


@dataclass(frozen=True)
class Entry:
    """One row of a collection CSV; an empty cell is an empty text."""

    image_id: str
    ptid: str
    group: str = ""
    sex: str = ""
    age: str = ""
    visit: str = ""
    modality: str = ""
    description: str = ""
    type: str = ""
    acq_date: str = ""


@dataclass(frozen=True)
class Found:
    """The files of one image in one folder of the tree."""

    image_id: str | None
    ptid: str
    description: str
    date: str
    files: tuple[Path, ...]


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


def image_id(text: str) -> str:
    """Image id with its ``I``: ``13893`` and ``I13893`` are one image; empty where it is none."""
    match = re.fullmatch(r"[iI]?0*(\d+)", text.strip())
    return f"I{match[1]}" if match else ""


def iso_date(text: str) -> str:
    """``M/D/YYYY`` (or ``YYYY-MM-DD…``, as folders have it) as ``YYYY-MM-DD``; empty if neither."""
    text = text.strip()
    for form, part in (("%m/%d/%Y", text.partition(" ")[0]), ("%Y-%m-%d", text[:10])):
        try:
            return datetime.strptime(part, form).date().isoformat()
        except ValueError:
            continue
    return ""


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
        found = [file for file in sorted(folder.glob("*.csv")) if _is_collection(file)]
        if found:
            return found
    raise ReladError(
        "no collection CSV in or beside this folder",
        file=source,
        hint='give it with --collection; its header starts with "Image Data ID","Subject"',
    )


def _is_collection(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            return "image data id" in lines.readline().lower()
    except OSError:
        return False


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
        try:
            table = read_table(file)
        except OSError as error:
            raise ReladError(f"cannot be read ({error.strerror})", file=file) from None
        for number, row in enumerate(table, start=2):
            cells = {(name or "").strip().lower(): text for name, text in row.items()}
            missing = [name for name in ("image data id", "subject") if name not in cells]
            if missing:
                raise ReladError(
                    f"has no column {' and '.join(map(repr, missing))}",
                    file=file,
                    hint="expected the collection CSV that LONI offers beside a download",
                )
            if not any(isinstance(text, str) and text.strip() for text in cells.values()):
                continue
            values = {
                name: str(cells.get(column) or "").strip() for column, name in COLUMNS.items()
            }
            values["acq_date"] = iso_date(values["acq_date"]) or values["acq_date"]
            entry = Entry(**values)
            if not re.search(r"[A-Za-z0-9]", entry.ptid):
                collection.unusable.append((entry, f"{file.name}, line {number}: no subject"))
                continue
            known = collection.subjects.get(entry.ptid)
            if known is None or _when(entry) < _when(known):
                collection.subjects[entry.ptid] = entry
            if not image_id(entry.image_id):
                reason = f"{file.name}, line {number}: {entry.image_id!r} is not an image id"
                collection.unusable.append((entry, reason))
                continue
            rows[image_id(entry.image_id)].append(replace(entry, image_id=image_id(entry.image_id)))
    if not rows:
        raise ReladError("lists no images", file=", ".join(map(str, files)))
    for name, same in rows.items():
        collection.entries[name] = same[0]
        differ = [c for c, a in COLUMNS.items() if len({getattr(row, a) for row in same}) > 1]
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


@dataclass(frozen=True)
class Unread:
    """Files below the source that are no image to look at, with the reason."""

    ptid: str | None
    folder: Path
    files: tuple[Path, ...]
    reason: str


def walk(source: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Every file below a folder, links to folders followed, and what could not be entered."""
    files: list[Path] = []
    closed: list[tuple[Path, str]] = []
    seen: set[Path] = set()

    def note(error: OSError) -> None:
        refuse_machine_failure(error, error.filename)
        closed.append((Path(error.filename), error.strerror or type(error).__name__))

    for folder, inside, names in os.walk(source, onerror=note, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:  # a link back up, or a second way to the same place
            inside.clear()
            continue
        seen.add(real)
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        files += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return files, closed


def find_series(source: Path, subjects: Iterable[str]) -> tuple[list[Found], list[Unread]]:
    """Find every image in the tree below ``source``; what states no image id stands for itself.

    Subject folders are those named like ADNI's PTIDs or like a subject of the collection, at most
    three levels down, since downloads are unpacked side by side.

    Returns
    -------
    The images, sorted, and all other files in or beside the subjects' folders: images that lie in
    nobody's folder, formats that are not read, folders that may not be entered.

    Raises
    ------
    ReladError
        Where ``source`` holds no images in a subject's folder.
    """
    if not source.is_dir():
        raise ReladError("no such folder", file=source)
    known = set(subjects)
    files, closed = walk(source)
    groups: dict[tuple[Path, Path, str | None], list[Path]] = defaultdict(list)
    others: dict[tuple[str | None, Path, str], list[Path]] = defaultdict(list)
    for file in files:
        person = _person(source, file, known)
        suffix = suffix_of(file)
        if suffix in DESCRIBING or (person is None and suffix not in _IMAGE):
            continue
        if person is None:
            others[None, file.parent, "lies in no subject's folder"].append(file)
        elif suffix not in _IMAGE:
            others[
                person.name, file.parent, f"format {suffix or 'without suffix'} is not read"
            ] += [file]
        else:
            match = _IMAGE_ID.search(file.name)
            groups[person, file.parent, image_id(match[1]) if match else None].append(file)
    if not groups:
        raise ReladError(
            "is not a LONI download: no images below folders named by subject",
            file=source,
            hint="expected <PTID>/<Description>/<date>/<I…>/*_I<image id>.dcm",
        )
    found = []
    for (person, folder, name), images in groups.items():
        parts = (*folder.relative_to(person).parts, "", "")
        found.append(Found(name, person.name, parts[0], iso_date(parts[1]), tuple(sorted(images))))
    unread = [Unread(ptid, where, tuple(f), reason) for (ptid, where, reason), f in others.items()]
    for folder, why in closed:
        person = _person(source, folder / "x", known)
        unread.append(
            Unread(person.name if person else None, folder, (), f"cannot be entered ({why})")
        )
    return sorted(found, key=lambda f: (f.ptid, order_of(f.image_id), f.files)), unread


def _person(source: Path, file: Path, known: set[str]) -> Path | None:
    """Return the subject's folder that a file lies in."""
    folder = source
    for part in file.relative_to(source).parts[:-1][:3]:
        folder /= part
        if PTID.fullmatch(part) or part in known:
            return folder
    return None


def suffix_of(file: Path) -> str:
    """Suffix of a file in lower case, ``.nii.gz`` as one."""
    name = file.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def order_of(name: str | None) -> int:
    """Image ids in the order in which the archive gave them out."""
    return int(name[1:]) if name else 0
