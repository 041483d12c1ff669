"""A BIDS dataset: names, inherited sidecars, dates and participants.

Source: BIDS 1.10, "Common principles" (file names, inheritance) and "Positron Emission Tomography".
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relad.cohort import derivatives
from relad.cohort.adni import DESCRIBING, Entry, iso_date, suffix_of, walk
from relad.cohort.images import Candidate, Contents, Row, row
from relad.cohort.names import ENTITY, parse
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
_SUBJECT = re.compile(r"sub-[a-zA-Z0-9]+")
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
    return any(source.glob("sub-*/anat/sub-*")) or any(source.glob("sub-*/ses-*/*/sub-*"))


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
    if not images:
        raise ReladError("holds no image in a folder sub-*", file=source)
    contents.people = _people(source, contents.rows)
    description = source / "dataset_description.json"
    if description.is_file():
        told = str(read_json(description)).upper().replace(Kind.HYBRID.note, "")
        contents.simulated = "SIMULATED" in told
    sidecars = _Sidecars(source)
    taken: set[Path] = set()
    for file, reason in others:
        where = file.relative_to(source)
        label = where.parts[0].removeprefix("sub-")
        contents.rows.append(row(Entry("", label, description=str(where)), 1, reason=reason))
    for file in images:
        candidate = _candidate(source, file, sidecars)
        contents.people.setdefault(candidate.entry.ptid, {})
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
        name = Path(candidate.entry.image_id).name
        person = candidate.entry.ptid, candidate.session
        if candidate.kind == Modality.T1W and not _ruled_out(name, parse(name)[0], *person):
            found[person].append(candidate.entry.image_id)
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


def _candidate(source: Path, file: Path, sidecars: _Sidecars) -> Candidate:
    inside = file.relative_to(source)
    entities, suffix = parse(file.name)
    kind, modality = _USED.get(suffix, (None, ""))
    folders = dict(ENTITY.fullmatch(p).groups() for p in inside.parts[:-1] if ENTITY.fullmatch(p))
    subject, session = folders.get("sub", ""), folders.get("ses")
    sidecar: dict[str, Any] = {}
    day, problem = "", _ruled_out(file.name, entities, subject, session)
    if problem is None:
        try:
            sidecar = sidecars.of(file)
            day = sidecars.date_of(file)
        except ReladError as error:
            problem = str(error)
    dates = (iso_date(str(sidecar.get(key, ""))) for key in _DATES)
    told = next(filter(None, dates), "")
    contradicts = bool(day and told and day != told)
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
    notes = (f"its table states the date {day}, its sidecar {told}",) if contradicts else ()
    labels = tuple(entities[key] for key in ("acq", "rec") if key in entities)
    return Candidate(entry, (file,), session, kind, sidecar, rank, problem, notes, labels)


def _ruled_out(
    name: str, entities: Mapping[str, str], subject: str, session: str | None
) -> str | None:
    """Why an image cannot be used, where its name and folder show that already."""
    if (entities.get("sub"), entities.get("ses")) != (subject, session):
        return f"{name}: its name and its folder state different subjects or sessions"
    if entities.get("part") not in (None, "mag") or "echo" in entities:
        return f"{name}: one part or echo of an image"
    if "chunk" in entities:
        return f"{name}: not used: a part of what was scanned (chunk-{entities['chunk']})"
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
        self._dates: dict[Path, dict[str, str]] = {}

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
                    (*parse(path.name), path) for path in sorted(folder.glob("*.json"))
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

    def date_of(self, file: Path) -> str:
        """Date in the ``acq_time`` of the ``*_scans.tsv`` above a file; empty where there is none.

        ``*_sessions.tsv`` is read where none of them tells it.
        """
        folders = self._levels(file)[:0:-1]
        for ending, part in (("scans", slice(None)), ("sessions", slice(1))):
            for folder in folders:
                name = "/".join(file.relative_to(folder).parts[part])
                found = self._dates_in(folder, ending).get(name)
                if found:
                    return found
        return ""

    def _dates_in(self, folder: Path, ending: str) -> dict[str, str]:
        """Name in a folder -> date, from the tables with an ending."""
        key = folder / ending
        if key not in self._dates:
            self._dates[key] = {
                line.get("filename") or line.get("session_id") or "": iso_date(
                    line.get("acq_time") or ""
                )
                for table in sorted(folder.glob(f"*_{ending}.tsv"))
                for line in read_table(table)
            }
        return self._dates[key]


def _people(source: Path, rows: list[Row]) -> dict[str, dict[str, str | None]]:
    """Age, sex and group of participants.tsv, whose further columns BIDS leaves free.

    Of a person's rows the first holds; where others tell something else, ``rows`` gets a row.
    """
    table = source / "participants.tsv"
    told: dict[str, list[dict[str, str | None]]] = defaultdict(list)
    for line in read_table(table) if table.is_file() else ():
        label = (line.get("participant_id") or "").removeprefix("sub-")
        if not _SUBJECT.fullmatch(f"sub-{label}"):
            continue  # nobody's row; a folder of such a name is reported
        cells = {key.strip().lower(): value for key, value in line.items() if key}
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
