"""A download from LONI's image archive: the tree of scans and the collection CSV beside it.

``<PTID>/<Description, specials become _>/<date>/<I…image id or S…series id>/*_I<image id>.dcm`` (or
``.nii``, ``.nii.gz``). Both leaf forms occur, so a file belongs to the image its own name states.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from relad.errors import DataError, ReladError
from relad.fileio import read_table

PTID = re.compile(r"\d{3}_S_\d{4,}")
_IMAGE_ID = re.compile(r"_I(\d+)\.(dcm|nii|nii\.gz)$", re.IGNORECASE)
_IMAGE = (".dcm", ".nii", ".nii.gz")

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


def find_series(source: Path, subjects: Iterable[str]) -> list[Found]:
    """Every image in the tree below ``source``, sorted; what states no image id stands for itself.

    Subject folders are those named like ADNI's PTIDs or like a subject of the collection, at most
    three levels down, since downloads are unpacked side by side.

    Raises
    ------
    ReladError
        Where ``source`` holds no such folder, or no image files in them.
    """
    if not source.is_dir():
        raise ReladError("no such folder", file=source)
    known = set(subjects)
    level, people = [source], []
    for _ in range(3):
        inside = [p for folder in level for p in sorted(folder.iterdir()) if p.is_dir()]
        people += [p for p in inside if PTID.fullmatch(p.name) or p.name in known]
        level = [p for p in inside if p not in people and not p.name.startswith(".")]
    groups: dict[tuple[Path, Path, str | None], list[Path]] = defaultdict(list)
    for person in people:
        for file in person.rglob("*"):
            if file.name.startswith(".") or not file.name.lower().endswith(_IMAGE):
                continue
            match = _IMAGE_ID.search(file.name)
            groups[person, file.parent, image_id(match[1]) if match else None].append(file)
    if not groups:
        raise ReladError(
            "is not a LONI download: no images below folders named by subject",
            file=source,
            hint="expected <PTID>/<Description>/<date>/<I…>/*_I<image id>.dcm",
        )
    found = []
    for (person, folder, name), files in groups.items():
        parts = (*folder.relative_to(person).parts, "", "")
        found.append(Found(name, person.name, parts[0], iso_date(parts[1]), tuple(sorted(files))))
    return sorted(found, key=lambda f: (f.ptid, order_of(f.image_id), f.files))


def order_of(name: str | None) -> int:
    """Image ids in the order in which the archive gave them out."""
    return int(name[1:]) if name else 0


# --- which series is what ---------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """``kind`` (T1w, FLAIR, or None: not used) of images whose description holds ``pattern``."""

    modality: str
    pattern: str
    kind: str | None


#: The first rule that fits decides. Descriptions are compared in lower case with every run of
#: other characters than letters and digits as one space: ``MT1; GradWarp; N3m`` -> ``mt1 gradwarp
#: n3m``.
RULES = (
    Rule("", r"\b(localizer|scout|survey|topogram|3 ?plane|loc)\b", None),
    Rule("", r"\b(calibration|b1 ?cal|field ?map(ping)?|transmission|ctac|mu ?map)\b", None),
    Rule("", r"\b(masks?|segmentation|nac|non ?ac|no ?ac)\b", None),
    Rule("MRI", r"\bt1 ?flair\b", None),
    Rule("MRI", r"flair", "FLAIR"),
    Rule("MRI", r"mp ?rage|\b(ir ?)?f?spgr\b|\bbravo\b", "T1w"),
    Rule("MRI", r"^mpr( r)? .*\b(n3|scaled)|\bmt1\b|\bt1 ?w?\b", "T1w"),
)

#: PET products by preference, for when one scan was downloaded in several: the less processed
#: first, since averaging, resampling and smoothing are steps of this pipeline.
PET_PRODUCTS = (
    r"uniform",
    r"standardized|\bstd\b",
    r"\bavg|averaged?\b",
    r"co ?reg",
)
_MODALITIES = {"MRI": "MRI", "MR": "MRI", "PET": "PET", "PT": "PET"}


def plain(text: str) -> str:
    """Lower case; every run of characters other than letters and digits becomes one space."""
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def kind_of(entry: Entry) -> str:
    """T1w, FLAIR or PET.

    Raises
    ------
    DataError
        Where the image is none of these; the message is the reason.
    """
    modality = _MODALITIES.get(entry.modality.upper())
    if modality is None:
        raise DataError(f"modality {entry.modality or 'unknown'} is not used")
    description = plain(entry.description)
    for rule in RULES:
        if rule.modality in ("", modality) and re.search(rule.pattern, description):
            if rule.kind is None:
                raise DataError(f"not used: {entry.description!r}")
            return rule.kind
    if modality == "PET":
        return "PET"
    raise DataError(f"not used: {entry.description!r} is neither a T1w nor a FLAIR")


def preference(entry: Entry, kind: str) -> tuple[int, str, int]:
    """Sort key among images of one kind in a session: product, acquisition date, image id."""
    if kind == "PET":
        products = [
            len(PET_PRODUCTS) - i
            for i, pattern in enumerate(PET_PRODUCTS)
            if re.search(pattern, plain(entry.description))
        ]
        rank = max(products, default=0)
    else:
        rank = int(entry.type.lower() not in ("", "original"))
    return (rank, iso_date(entry.acq_date) or date.max.isoformat(), order_of(entry.image_id))


def _spelling(name: str) -> re.Pattern[str]:
    """A tracer's name as descriptions spell it: ``AV1451`` also as ``AV-1451`` or ``18F_AV 1451``.

    A name inside a longer one does not count: ``PBR`` is not found in ``PBR28``.
    """
    parts = re.findall(r"[a-z]+|\d+", name.lower())
    before = r"(?<![a-z])" if parts[0].isalpha() else r"(?<!\d)"
    return re.compile(before + r"[\W_]*".join(parts) + r"(?![a-z0-9])")


def tracers_in(text: str, tracers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Ids of the configured tracers whose ligand or alias ``text`` names."""
    return [
        tracer
        for tracer, entry in tracers.items()
        if any(
            _spelling(name).search(text.lower())
            for name in (entry["ligand"], *(entry.get("aliases") or ()))
        )
    ]


def tracer_of(description: str, header: str, tracers: Mapping[str, Mapping[str, Any]]) -> str:
    """Tracer id of a PET, by its description, else by the radiopharmaceutical in its header.

    The description goes first, since scanners' consoles often keep a default radiopharmaceutical;
    a header that names another configured tracer is a contradiction nevertheless.

    Raises
    ------
    DataError
        Where no tracer or more than one fits; the message is the reason.
    """
    described, stated = tracers_in(description, tracers), tracers_in(header, tracers)
    fitting = described or stated
    if not fitting:
        named = f"description {description!r}, header {header or 'unknown'!r}"
        raise DataError(f"no window for its tracer ({named})")
    if len(fitting) > 1:
        raise DataError(f"names more than one tracer ({', '.join(fitting)})")
    if stated and fitting[0] not in stated:
        raise DataError(
            f"the description names {fitting[0]}, but the header {header!r} names "
            f"{', '.join(stated)}"
        )
    return fitting[0]
