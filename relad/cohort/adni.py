"""A download from LONI's image archive: the tree of scans.

Its collection CSVs are in :mod:`relad.cohort.collection`.

``<PTID>/<Description, specials become _>/<date>/<I…image id or S…series id>/*_I<image id>.dcm`` (or
``.nii``, ``.nii.gz``). Both leaf forms occur, so a file belongs to the image its own name states.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from relad.errors import ReladError, refuse_machine_failure

#: ADNI's identifiers of subjects.
PTID = re.compile(r"\d{3}_S_\d{4,}")
_IMAGE_ID = re.compile(r"_I(\d+)\.(dcm|nii|nii\.gz)$", re.IGNORECASE)
_IMAGE = (".dcm", ".nii", ".nii.gz")
#: Endings of files to be unpacked.
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
#: Files that describe images and stand for none.
DESCRIBING = (".xml", ".json", ".csv", ".tsv", ".txt", ".pdf", ".md", ".log", ".html")


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
    #: The date as the table has it.
    stated_date: str = ""


@dataclass(frozen=True)
class Found:
    """The files of one image in one folder of the tree."""

    image_id: str | None
    ptid: str
    description: str
    date: str
    files: tuple[Path, ...]


def image_id(text: str) -> str:
    """Image id with its ``I``: ``13893`` and ``I13893`` are one image; empty where it is none.

    ``13893.0`` is what programs for tables make of a column with an empty cell.
    """
    match = re.fullmatch(r"[iI]?0*(\d+)(?:\.0*)?", text.strip())
    return f"I{match[1]}" if match else ""


#: Forms of a date that are told by the text alone; M/D/YYYY is LONI's, the rest other programs'.
_FORMS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y"),
    *("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%y", "%d%b%Y"),
)
_MONTH_FIRST, _DAY_FIRST = ("%m/%d/%Y", "%m/%d/%y"), ("%d/%m/%Y", "%d/%m/%y")


def iso_date(text: str, *, day_first: bool = False) -> str:
    """``M/D/YYYY`` (or ``YYYY-MM-DD…``, as folders have it) as ``YYYY-MM-DD``; empty if none.

    With ``day_first`` it is ``D/M/YYYY``.
    """
    text = text.strip()
    before_time = re.split(r"[ T_](?=\d\d?[:_]\d\d)", text)[0].strip()
    if before_time.isdigit() and len(before_time) != 8:
        return ""
    for form in (*(_DAY_FIRST if day_first else _MONTH_FIRST), *_FORMS):
        try:
            return datetime.strptime(before_time, form).date().isoformat()
        except ValueError:
            continue
    return ""


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
        if suffix in DESCRIBING or (person is None and suffix not in (*_IMAGE, *ARCHIVES)):
            continue
        if suffix in ARCHIVES:
            packed = (person.name if person else None, file.parent, "is an archive: unpack it")
            others[packed].append(file)
        elif person is None:
            others[None, file.parent, "lies in no subject's folder"].append(file)
        elif suffix not in _IMAGE:
            others[
                person.name, file.parent, f"format {suffix or 'without suffix'} is not read"
            ] += [file]
        else:
            match = _IMAGE_ID.search(file.name)
            groups[person, file.parent, image_id(match[1]) if match else None].append(file)
    if not groups:
        packed = [f for (_, _, why), some in others.items() if "archive" in why for f in some]
        raise ReladError(
            "is not a LONI download: no images below folders named by subject",
            file=source,
            hint=f"unpack {packed[0].name}"
            if packed
            else "expected <PTID>/<Description>/<date>/<I…>/*_I<image id>.dcm",
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
