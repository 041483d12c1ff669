"""A LONI download: images on disk matched with the rows of its collection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from relad.cohort import adni, adni_xml
from relad.cohort.adni import Entry
from relad.cohort.collection import Collection, find_collections, read_collections, rows_of
from relad.cohort.images import Candidate, Contents, day_of, row, session_label
from relad.errors import DataError
from relad.study.subjects import collections_of, labels_of

NEEDS, TAKES = ("path", "collection"), ("checksums",)


def subjects(entry: Mapping[str, Any]) -> tuple[list[str], Path]:
    """See :mod:`relad.study.subjects`."""
    files = [Path(file) for file in collections_of(entry)]
    ptids = {row.ptid for file in files for _, row in rows_of(file) if row.ptid}
    return labels_of(ptids, files[0]), files[0]


def read(source: Path, collections: Sequence[Path] | None = None) -> Contents:
    """Read the tree, the collection CSVs and the metadata XML of a download.

    Raises
    ------
    ReladError
        Where the source is no LONI download.
    """
    collection = read_collections(find_collections(source, collections))
    found, unread = adni.find_series(source, collection.subjects)
    contents = Contents("LONI download")
    contents.people = {
        ptid: {"age": entry.age or None, "sex": entry.sex or None, "group": entry.group or None}
        for ptid, entry in collection.subjects.items()
    }
    for part in unread:
        where = part.folder.relative_to(source).as_posix()
        name = part.files[0].name if part.files else where
        entry = Entry("", part.ptid or "", description=where)
        contents.rows.append(row(entry, len(part.files), reason=f"{name}: {part.reason}"))
    _match(contents, found, collection, source)
    return contents


def _match(
    contents: Contents, found: Sequence[adni.Found], collection: Collection, source: Path
) -> None:
    """Images that stand both on disk and in the collection become candidates, once each."""
    contents.rows += [row(entry, 0, reason=reason) for entry, reason in collection.unusable]
    metadata = adni_xml.find_xml(source)
    places: dict[str, list[adni.Found]] = defaultdict(list)
    for image in found:
        if image.image_id is None:
            reason = f"{image.files[0].name}: no image id in its name"
            contents.rows.append(row(_entry_of(image), len(image.files), reason=reason))
        else:
            places[image.image_id].append(image)
    for image_id, images in places.items():
        entry = collection.entries.get(image_id)
        where = "; ".join(i.files[0].parent.relative_to(source).as_posix() for i in images)
        copies = {(image.ptid, _sizes(image)) for image in images} if len(images) > 1 else ()
        for number, image in enumerate(images):
            reason = None
            if entry is None:
                reason = "not in the collection"
            elif image_id in collection.conflicts:
                reason = collection.conflicts[image_id]
            elif len(copies) > 1:
                reason = f"duplicate image id: {image_id} stands in {len(images)} places ({where})"
            elif number > 0:
                reason = f"duplicate image id: {image_id} was downloaded twice ({where})"
            elif entry.ptid != image.ptid:
                reason = f"lies in the folder of {image.ptid}, but is {entry.ptid}'s"
            if reason:
                contents.rows.append(
                    row(entry or _entry_of(image), len(image.files), reason=reason)
                )
            else:
                contents.candidates.append(_candidate(entry, image, metadata.get(image_id)))
    contents.rows += [
        row(entry, 0, reason="no files in the download")
        for image_id, entry in collection.entries.items()
        if image_id not in places
    ]


def _candidate(entry: Entry, image: adni.Found, xml: Path | None) -> Candidate:
    sidecar: dict[str, str] = {}
    session = problem = None
    day, note = day_of(entry, image.date, "folder")
    entry = replace(
        entry,
        description=entry.description or image.description.replace("_", " "),
        acq_date=day or entry.acq_date,
    )
    try:
        if xml is not None:
            told = adni_xml.read_xml(xml)
            entry, sidecar = adni_xml.complete(entry, told), told.sidecar
        session = session_label(entry)
    except DataError as error:
        problem = str(error)
    rank = (
        int(entry.type.lower() not in ("", "original")),
        adni.iso_date(entry.acq_date) or date.max.isoformat(),
        adni.order_of(entry.image_id),
    )
    return Candidate(
        entry,
        image.files,
        session,
        sidecar=sidecar,
        rank=rank,
        problem=problem,
        notes=(note,) if note else (),
    )


def _entry_of(image: adni.Found) -> Entry:
    """What the tree alone tells of an image."""
    return Entry(
        image.image_id or "", image.ptid, description=image.description, acq_date=image.date
    )


def _sizes(image: adni.Found) -> tuple[tuple[str, int], ...]:
    """Names and sizes (bytes) of an image's files; a dangling link has size -1."""
    return tuple((f.name, f.stat().st_size if f.exists() else -1) for f in image.files)
