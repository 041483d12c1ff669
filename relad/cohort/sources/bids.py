"""A BIDS dataset: names, inherited sidecars, dates and participants.

Source: BIDS 1.10, "Common principles" (file names, inheritance) and "Positron Emission Tomography".
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from relad.cohort import derivatives
from relad.cohort.adni import ARCHIVES, DESCRIBING, Entry, suffix_of, walk
from relad.cohort.images import Candidate, Contents, Row, row
from relad.cohort.names import LABEL, parse, strange
from relad.errors import DataError, ReladError
from relad.fileio import beside, is_number, read_json, read_table
from relad.status import Kind, Modality

NEEDS, TAKES = ("path",), ("checksums",)

#: BIDS suffix -> kind and DICOM modality of the images that are used.
_USED = {
    "T1w": ("T1w", "MRI"),
    "UNIT1": ("T1w", "MRI"),  # the uniform image of an MP2RAGE
    "FLAIR": ("FLAIR", "MRI"),
    "pet": ("PET", "PET"),
}
_IMAGE = (".nii", ".nii.gz")
#: Table of a dataset's people.
_PEOPLE = "participants.tsv"
#: A description that says so of its dataset; "not simulated" does not.
_SIMULATED = re.compile(r"(?<!\bNOT )(?<!\bNO )(?<!\bNON[ -])(?<!UN)SIMULATED")
#: So many names are listed where there are more.
_LISTED = 3
_SUBJECT = re.compile(r"sub-[a-zA-Z0-9]+")
#: Folder of a subject's images, with the session's label where it is that of one.
_SESSION = re.compile(rf"sub-[^/]+/ses-({LABEL})(?:/.*)?")
_FOLDER = re.compile(rf"sub-[^/]+(?:/ses-{LABEL})?(?:/(?:anat|pet))?")
#: A date at the beginning of a text, in ISO's forms: with hyphens or in digits alone.
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?=\D|\d{6}|$)")
#: Keys that hold the date of a scan, the standard's own first.
_DATES = ("AcquisitionDateTime", "AcquisitionDate", "ScanDate", "SourceAcquisitionDate")


def subjects(entry: Mapping[str, Any]) -> tuple[list[str], Path]:
    """See :mod:`relad.study.subjects`."""
    root = Path(entry["path"])
    if not root.is_dir():
        raise ReladError("no such BIDS folder", file=root)
    folders = (folder.name for folder in root.glob("sub-*") if folder.is_dir())
    return sorted(n.removeprefix("sub-") for n in folders if _SUBJECT.fullmatch(n)), root


def is_bids(source: Path) -> bool:
    """Whether a folder is a BIDS dataset rather than a download from an archive."""
    if (source / "dataset_description.json").is_file():
        return True
    patterns = ("sub-*/anat/sub-*", "sub-*/pet/sub-*", "sub-*/ses-*/*/sub-*")
    return any(any(source.glob(pattern)) for pattern in patterns)


def read(source: Path, collections: Sequence[Path] | None = None) -> Contents:
    """Find every image of a dataset, with its sidecar and date.

    Raises
    ------
    ReladError
        Where there is no image in a subject's folder, or collections are given.
    """
    if collections:
        raise ReladError("a BIDS dataset has no collection", file=collections[0])
    contents = Contents("BIDS dataset")
    closed: list[tuple[Path, str]] = []
    images, others = _files(source, closed)
    beside_them = _beside_subjects(source)
    if not images:
        hint = "; ".join(reason for _, reason in beside_them[:_LISTED]) or None
        raise ReladError("holds no image in a folder sub-*", file=source, hint=hint)
    others += beside_them
    contents.people = _people(source, contents.rows)
    description = source / "dataset_description.json"
    if description.is_file():
        told = str(read_json(description)).upper().replace(Kind.HYBRID.note, "")
        contents.simulated = _SIMULATED.search(told) is not None
    sidecars = _Sidecars(source)
    taken: set[Path] = set()
    for file, reason in others:
        where = file.relative_to(source)
        label = re.sub(r"(?i)^sub[-_]", "", where.parts[0]).partition(".")[0]
        contents.rows.append(row(Entry("", label, description=str(where)), 1, reason=reason))
    asked = (source / _PEOPLE).is_file()
    for file in images:
        candidate = _candidate(source, file, sidecars)
        label = candidate.entry.ptid
        if asked and label not in contents.people:
            contents.rows.append(row(Entry("", label, description=_PEOPLE), 0, reason=(
                f"{_PEOPLE}: has no row of sub-{label}: age, sex and group are unknown"
            )))  # fmt: skip
        contents.people.setdefault(label, {})
        place = beside(file, "")
        reason = None
        if candidate.kind is None:
            reason = f"not used: {parse(file.name)[1]}"
        elif place in taken:
            reason = f"{file.name}: the same image stands beside it with another ending"
        taken.add(place)
        if reason:
            contents.rows.append(row(candidate.entry, 1, reason=reason, session=candidate.session))
        else:
            contents.candidates.append(candidate)
    for table, names in sidecars.astray.items():
        where = table.relative_to(source)
        entry = Entry("", where.parts[0].removeprefix("sub-"), description=where.as_posix())
        listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
        contents.rows.append(row(entry, 0, reason=(
            f"{table.name}: names {len(names)} that are not beside it ({listed}), and their dates "
            "are not read: write a file relative to the table's folder, a session as ses-<label>"
        )))  # fmt: skip
    for folder, why in closed:
        where = folder.relative_to(source)
        entry = Entry("", where.parts[0].removeprefix("sub-"), description=where.as_posix())
        contents.rows.append(row(entry, 0, reason=f"{where}: cannot be entered ({why})"))
    for (label, session), t1ws in _t1ws(contents.candidates).items():
        inside = Path(f"sub-{label}", *([f"ses-{session}"] if session else []))
        contents.derivatives |= derivatives.of_session(source, inside, t1ws)
    return contents


def _t1ws(candidates: Sequence[Candidate]) -> dict[tuple[str, str | None], list[str]]:
    """Images of each person's sessions that may be the T1w, those that never can left out."""
    found: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for candidate in candidates:
        name = candidate.entry.image_id
        if candidate.kind == Modality.T1W and not _ruled_out(Path(name)):
            found[candidate.entry.ptid, candidate.session].append(name)
    return found


def _files(
    source: Path, closed: list[tuple[Path, str]]
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Images in the subjects' folders, and files there that cannot be used, with the reason."""
    images: list[Path] = []
    others: list[tuple[Path, str]] = []
    for person in sorted(p for p in source.glob("sub-*") if p.is_dir()):
        files, shut = walk(person)
        closed += shut
        named = _SUBJECT.fullmatch(person.name)
        for file in files:
            suffix = suffix_of(file)
            if suffix in DESCRIBING or suffix in (".bval", ".bvec"):
                continue
            if not named:
                others.append((file, f"{person.name} is no subject: letters and digits after sub-"))
            elif suffix in _IMAGE:
                images.append(file)
            else:
                others.append(
                    (file, f"{file.name}: format {suffix or 'without suffix'} is not read")
                )
    return images, others


def _beside_subjects(source: Path) -> list[tuple[Path, str]]:
    """What lies at the root under a subject's name and is no subject's folder, with the reason."""
    found = []
    for path in sorted(p for p in source.iterdir() if re.match(r"(?i)sub[-_]", p.name)):
        suffix = suffix_of(path)
        if path.is_dir():
            if path.name.startswith("sub-"):
                continue
            reason = "is no subject's folder: BIDS writes sub-<label>"
        elif path.is_symlink() and not path.exists():
            reason = "is a link that leads nowhere"
        elif suffix in ARCHIVES:
            reason = "is an archive: unpack it"
        elif suffix in _IMAGE:
            reason = "lies in no subject's folder"
        elif suffix in DESCRIBING:
            continue
        else:
            reason = "is a file where a subject's folder is needed"
        found.append((path, f"{path.name}: {reason}"))
    return found


def _candidate(source: Path, file: Path, sidecars: _Sidecars) -> Candidate:
    inside = file.relative_to(source)
    entities, suffix = parse(file.name)
    kind, modality = _USED.get(suffix, (None, ""))
    subject, session = _whose(inside)
    sidecar: dict[str, Any] = {}
    notes: list[str] = []
    day, problem = "", _ruled_out(inside)
    if problem is None:
        try:
            sidecar = sidecars.of(file)
            stated, table = sidecars.date_of(file)
            day = _told_day(stated, table, notes)
        except ReladError as error:
            problem = str(error)
    days = [_told_day(sidecar.get(key), f"its sidecar ({key})", notes) for key in _DATES]
    told = next(filter(None, days), "")
    if day and told and day != told:
        notes.append(f"its table states the date {day}, its sidecar {told}")
    entry = Entry(
        inside.as_posix(),
        subject,
        visit=session or "",
        modality=modality,
        description=" ".join(filter(None, (entities.get("trc"), entities.get("rec"), suffix))),
        acq_date=day or told,
    )
    run = entities.get("run", "")
    static = int("stat" in entities.get("rec", "").lower())  # the dynamic reconstruction first
    rank = (static, int(run) if run.isdigit() else 0, file.name)
    labels = tuple(entities[key] for key in ("acq", "rec") if key in entities)
    return Candidate(entry, (file,), session, kind, sidecar, rank, problem, tuple(notes), labels)


def _told_day(text: Any, where: str, notes: list[str]) -> str:
    """Day (ISO) of a date in BIDS's form; of another form it is unknown, which is noted.

    Nobody can tell whether 05/06/2018 is in May.
    """
    text = str(text or "").strip()
    if text.lower() in ("", "n/a", "unknown", "none"):
        return ""
    if found := _DATE.match(text):
        with suppress(ValueError):
            return date.fromisoformat("-".join(found.groups())).isoformat()
    notes.append(f"its date {text!r} in {where} is not YYYY-MM-DD and was taken as unknown")
    return ""


def _whose(inside: Path) -> tuple[str, str | None]:
    """Subject and session by the folder of an image."""
    session = _SESSION.fullmatch(inside.parent.as_posix())
    return inside.parts[0].removeprefix("sub-"), session[1] if session else None


def _ruled_out(inside: Path) -> str | None:
    """Why an image cannot be used, where its name and folder show that already."""
    name, folder, entities = inside.name, inside.parent.as_posix(), parse(inside.name)[0]
    if odd := strange(name):
        return f"{name}: {odd[0]} is no key, hyphen and label (letters, digits or +) of BIDS"
    if not _FOLDER.fullmatch(folder):
        return (
            f"{name}: lies in {folder}, and BIDS has sub-<label>, ses-<label> where there "
            "are sessions, anat or pet (a label is letters, digits or +)"
        )
    if (entities.get("sub"), entities.get("ses")) != _whose(inside):
        return f"{name}: its name and its folder state different subjects or sessions"
    if entities.get("part") not in (None, "mag") or "echo" in entities:
        return f"{name}: one part or echo of an image"
    if "chunk" in entities:
        return f"{name}: not used: a part of what was scanned (chunk-{entities['chunk']})"
    if entities.get("desc") not in (None, "preproc"):
        return f"{name}: not used: made of a scan by another program (desc-{entities['desc']})"
    if "ce" in entities:
        return f"{name}: not used: acquired with a contrast agent"
    if entities.get("space") not in (None, "orig", "scanner"):
        return f"{name}: not used: no longer in the scanner's space"
    if re.search(r"nac|noac", entities.get("rec", "").lower()):
        return f"{name}: not used: not corrected for attenuation"
    return None


class _Sidecars:
    """Sidecars and scan dates of a dataset, each file read once."""

    def __init__(self, source: Path):
        self.source = source
        self._json: dict[Path, list[tuple[dict[str, str], str, Path]]] = {}
        self._dates: dict[Path, dict[str, tuple[str, str]]] = {}
        #: Tables of dates that name what is not there, and those names.
        self.astray: dict[Path, list[str]] = {}

    def _levels(self, file: Path) -> list[Path]:
        """Return the folders from the dataset's root down to a file's own."""
        inside = file.parent.relative_to(self.source).parts
        return [self.source.joinpath(*inside[:depth]) for depth in range(len(inside) + 1)]

    def of(self, file: Path) -> dict[str, Any]:
        """Merge a file's sidecars: what lies deeper overrides what lies nearer to the root.

        Raises
        ------
        ReladError
            Where one of them is no JSON object.
        """
        entities, suffix = parse(file.name)
        merged: dict[str, Any] = {}
        for folder in self._levels(file):
            if folder not in self._json:
                self._json[folder] = [
                    (*parse(path.name), path)
                    for path in sorted(folder.glob("*.json"))
                    if not strange(path.name)
                ]
            fitting = [
                (len(theirs), path)
                for theirs, end, path in self._json[folder]
                if end == suffix and theirs.items() <= entities.items()
            ]
            for _, path in sorted(fitting):
                told = read_json(path)
                if not isinstance(told, dict):
                    raise DataError("not a JSON object", file=path)
                merged.update(told)
        return merged

    def date_of(self, file: Path) -> tuple[str, str]:
        """``acq_time`` of a file in the ``*_scans.tsv`` above it, and that table's name.

        ``*_sessions.tsv`` is read where none of them tells it; both are empty where none does.
        """
        folders = self._levels(file)[:0:-1]
        for ending, part in (("scans", slice(None)), ("sessions", slice(1))):
            for folder in folders:
                name = "/".join(file.relative_to(folder).parts[part])
                found = self._dates_in(folder, ending).get(name)
                if found and found[0]:
                    return found
        return "", ""

    def _dates_in(self, folder: Path, ending: str) -> dict[str, tuple[str, str]]:
        """Name in a folder -> ``acq_time`` and table, from the tables with an ending."""
        key = folder / ending
        if key not in self._dates:
            self._dates[key] = dates = {}
            for table in sorted(folder.glob(f"*_{ending}.tsv")):
                for line in read_table(table):
                    name = line.get("filename") or line.get("session_id") or ""
                    name = Path(name).as_posix()  # ./anat/x is anat/x
                    dates[name] = (line.get("acq_time") or "", table.name)
                    if not os.path.lexists(folder / name):
                        self.astray.setdefault(table, []).append(name)
        return self._dates[key]


def _people(source: Path, rows: list[Row]) -> dict[str, dict[str, str | None]]:
    """Age, sex and group of participants.tsv, whose further columns BIDS leaves free.

    Of a person's rows the first holds; where others tell something else, ``rows`` gets a row.

    Raises
    ------
    DataError
        Where it does not say whose rows they are.
    """
    table = source / _PEOPLE
    told: dict[str, list[dict[str, str | None]]] = defaultdict(list)
    for line in read_table(table) if table.is_file() else ():
        cells = {key.lower(): (value or "").strip() or None for key, value in line.items()}
        if "participant_id" not in cells:
            raise DataError(
                f"lacks the column participant_id (it has {', '.join(line)[:80]})", file=table,
                hint="BIDS separates the cells of its tables by tabs",
            )  # fmt: skip
        label = (cells["participant_id"] or "").removeprefix("sub-")
        if not _SUBJECT.fullmatch(f"sub-{label}"):
            continue  # nobody's row; a folder of such a name is reported
        told[label].append(
            {
                "age": cells.get("age"),
                "sex": cells.get("sex") or cells.get("gender"),
                "group": cells.get("group") or cells.get("diagnosis"),
            }
        )
    for label, lines in told.items():
        if differing := [one for key in lines[0] if (one := _differing(key, lines))]:
            rows.append(row(Entry("", label, description=table.name), 0, reason=(
                f"{table.name}: names sub-{label} in {len(lines)} rows, of "
                f"{' and '.join(differing)}: the first is used"
            )))  # fmt: skip
    return {label: lines[0] for label, lines in told.items()}


def _differing(key: str, lines: Sequence[Mapping[str, str | None]]) -> str:
    """What a person's rows tell of a key, where it is not one thing; empty where it is."""
    values: dict[float | str, str] = {}
    for text in (line[key] or "n/a" for line in lines):
        number = float(text) if is_number(text) else math.nan
        values.setdefault(number if math.isfinite(number) else text.casefold(), text)
    return f"{key} {', '.join(values.values())}" if len(values) > 1 else ""
