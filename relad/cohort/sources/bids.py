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

from relad.cohort.adni import DESCRIBING, Entry, iso_date, suffix_of, walk
from relad.cohort.images import Candidate, Contents, Row, row
from relad.errors import DataError, ReladError
from relad.fileio import beside, is_number, read_json, read_table
from relad.status import Kind

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
_ENTITY = re.compile(r"([a-zA-Z0-9]+)-([a-zA-Z0-9]+)")
#: Entities that tell images of a session apart (BIDS 1.10, anat); all others of a derivative's name
#: tell what was made of one, and pipelines have some of their own.
_APART = {"task", "acq", "ce", "rec", "dir", "run", "echo", "flip", "inv", "mt", "part", "chunk"}
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


def parse(name: str) -> tuple[dict[str, str], str]:
    """Entities and suffix of a file name: ``sub-01_run-2_T1w.nii.gz`` -> ({sub, run}, T1w)."""
    *parts, suffix = name.split(".")[0].split("_")
    matches = (_ENTITY.fullmatch(part) for part in parts)
    return {m[1]: m[2] for m in matches if m}, suffix


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
    _assign(contents, source)
    return contents


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
    folders = dict(_ENTITY.fullmatch(p).groups() for p in inside.parts[:-1] if _ENTITY.fullmatch(p))
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


def segmentation_of(root: Path, inside: Path) -> tuple[Path, Path] | None:
    """Label image in the space of a session's T1w, of derivatives, and the table of its names.

    Of several, FreeSurfer's ``desc-aparcaseg`` goes first, then its ``desc-aseg``, then by name.

    Parameters
    ----------
    root
        Dataset whose folder ``derivatives`` is searched.
    inside
        The session's folder, relative to it.
    """
    return next(iter(_labels_in(root, inside)), None)


def _labels_in(root: Path, inside: Path) -> list[tuple[Path, Path]]:
    """Label images of a session with their tables, in the order of :func:`segmentation_of`."""
    found = []
    for image in sorted(root.glob(f"derivatives/*/{inside.as_posix()}/anat/*_dseg.nii.gz")):
        entities, _ = parse(image.name)
        table = _names_of(image, root / "derivatives")
        if not in_own_space(image) or "hemi" in entities or not table:
            continue
        order = ("aparcaseg", "aseg")
        desc = entities.get("desc", "")
        found.append((order.index(desc) if desc in order else len(order), image, table))
    return [(image, table) for _, image, table in sorted(found)]


def _names_of(image: Path, derivatives: Path) -> Path | None:
    """Table of an image's labels: of those nearest above it, the one whose name says most."""
    entities, suffix = parse(image.name)
    for folder in image.relative_to(derivatives).parents:
        tables = [
            (len(theirs), table)
            for table in sorted((derivatives / folder).glob("*dseg.tsv"))
            for theirs, end in [parse(table.name)]
            if end == suffix
            and theirs.items() <= entities.items()
            # Narrower than inheritance: names of tissues are none of FreeSurfer's regions.
            and theirs.get("desc") == entities.get("desc")
        ]
        if tables:
            return max(tables)[1]
    return None


def _assign(contents: Contents, source: Path) -> None:
    """Give brain masks and label images of derivatives to the T1w that each was made of.

    Of several of one T1w the first goes. Where a session has some and none of them is a T1w's,
    that T1w has a note.
    """
    t1ws: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for candidate in contents.candidates:
        name = Path(candidate.entry.image_id).name
        person = candidate.entry.ptid, candidate.session
        if candidate.kind == "T1w" and not _ruled_out(name, parse(name)[0], *person):
            t1ws[person].append(candidate.entry.image_id)
    masks, labels = _masks(source), _segmentations(source)
    for person, images in t1ws.items():
        own = made_of(masks.get(person, ()), images)
        contents.masks |= own
        tables = dict(labels.get(person, ()))
        labelled = made_of(list(tables), images)
        contents.segmentations |= {image: (f, tables[f]) for image, f in labelled.items()}
        for image in images:
            notes = [
                _stray(what, image, found, ending)
                for what, found, given, ending in (
                    ("brain mask", masks.get(person), own, "desc-brain_mask.nii.gz"),
                    ("label image", list(tables), labelled, "dseg.nii.gz"),
                )
                if found and image not in given
            ]
            if notes:
                contents.strays[image] = "; ".join(notes)


def in_own_space(file: Path) -> bool:
    """Whether a file of derivatives lies in the space of the image that it was made of."""
    return parse(file.name)[0].get("space") in (None, "T1w", "orig")


def made_of(files: Sequence[Path], images: Sequence[str]) -> dict[str, Path]:
    """Image -> the first of a session's files of derivatives that was made of it.

    Derivatives keep the entities of their source. One that lacks some is of the only image that
    it fits; a T1w goes before an MP2RAGE's image of the same entities.
    """
    owned: dict[str, Path] = {}
    told = {image: _which(Path(image).name) for image in images}
    for file in files:
        which = _which(file.name)
        fitting = [image for image in images if which <= told[image]]
        same = sorted((i for i in fitting if told[i] == which), key=lambda i: "_T1w." not in i)
        if same or len(fitting) == 1:
            owned.setdefault((same or fitting)[0], file)
    return owned


def _which(name: str) -> set[tuple[str, str]]:
    """Entities of a name that tell which of a session's images it, or its source, is."""
    entities = parse(name)[0].items()
    return {(k, v.lstrip("0") if v.isdigit() else v) for k, v in entities if k in _APART}


def _stray(what: str, image: str, found: Sequence[Path], ending: str) -> str:
    """Say that none of the files of derivatives that there are is known to be of a T1w."""
    names = ", ".join(file.name for file in found[:3]) + (", ..." if len(found) > 3 else "")
    stem = Path(image).name.rpartition("_")[0]
    return (
        f"no {what} of derivatives was used: none is named as made of this T1w ({names}); "
        f"name its own {stem}_{ending}"
    )


def _segmentations(source: Path) -> dict[tuple[str, str | None], list[tuple[Path, Path]]]:
    """Label images that other programs left in derivatives, by session."""
    found = {}
    for folder in sorted(source.glob("derivatives/*/sub-*/**/anat")):
        inside = folder.parent.relative_to(source / "derivatives").parts[1:]
        entities, _ = parse("_".join([*inside, "dseg"]))
        found[entities.get("sub", ""), entities.get("ses")] = _labels_in(source, Path(*inside))
    return found


def _masks(source: Path) -> dict[tuple[str, str | None], list[Path]]:
    """Brain masks that other programs left in derivatives, by session."""
    masks: dict[tuple[str, str | None], list[Path]] = defaultdict(list)
    for file in sorted(source.glob("derivatives/*/sub-*/**/anat/*_desc-brain_mask.nii.gz")):
        if in_own_space(file):
            entities, _ = parse(file.name)
            masks[entities.get("sub", ""), entities.get("ses")].append(file)
    return masks
