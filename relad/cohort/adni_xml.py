"""LONI's metadata XML, one file per image (``*_I<image id>.xml``), where a download has them.

They fill cells that the collection leaves empty, tell the tracer of a PET that came as NIfTI, and a
subject or date that contradicts the collection's is a reason not to use the image.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from relad.cohort.adni import Entry, image_id, iso_date
from relad.errors import DataError, refuse_machine_failure

_NAME = re.compile(r"_I(\d+)\.xml$", re.IGNORECASE)

#: Attribute of :class:`Entry` -> elements that tell it, the more specific first.
_ELEMENTS = {
    "ptid": ("subjectIdentifier",),
    "group": ("researchGroup",),
    "sex": ("subjectSex",),
    "age": ("subjectAge",),
    "visit": ("visitIdentifier",),
    "modality": ("modality",),
    "description": ("processedDataLabel", "description"),
    "acq_date": ("dateAcquired",),
}

#: Name of a protocol term in the XML -> key of the BIDS sidecar.
_TERMS = {
    "Manufacturer": "Manufacturer",
    "Mfg Model": "ManufacturersModelName",
    "Field Strength": "MagneticFieldStrength",
    "Radiopharmaceutical": "Radiopharmaceutical",
}


@dataclass(frozen=True)
class Metadata:
    """What the XML of one image says: a row as the collection has it, and sidecar keys."""

    entry: Entry
    sidecar: dict[str, str]
    file: Path


def read_xml(file: Path) -> Metadata:
    """Read one image's metadata.

    Raises
    ------
    DataError
        Where the file is no XML.
    """
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        refuse_machine_failure(error, file)
        raise DataError(f"not readable metadata ({error})", file=file.name) from None

    def text(names: Iterable[str]) -> str:
        found = (root.findtext(f".//{name}") for name in names)
        return next((t.strip() for t in found if t and t.strip()), "")

    cells = {key: text(names) for key, names in _ELEMENTS.items()}
    cells["acq_date"] = iso_date(cells["acq_date"]) or cells["acq_date"]
    terms = {p.get("term", ""): (p.text or "").strip() for p in root.iter("protocol")}
    return Metadata(
        Entry(image_id(_NAME.search(file.name)[1]), **cells),
        {key: terms[term] for term, key in _TERMS.items() if terms.get(term)},
        file,
    )


def find_xml(source: Path) -> dict[str, Path]:
    """Metadata files below a download, by image id."""
    return {
        image_id(match[1]): file
        for file in sorted(source.rglob("*.xml"))
        if (match := _NAME.search(file.name)) and not file.name.startswith(".")
    }


def complete(entry: Entry, metadata: Metadata) -> Entry:
    """Fill a collection row's empty cells from the image's metadata.

    Raises
    ------
    DataError
        Where the two name different subjects or dates.
    """
    for key, what in (("ptid", "subject"), ("acq_date", "date")):
        ours, theirs = getattr(entry, key), getattr(metadata.entry, key)
        if ours and theirs and ours != theirs:
            raise DataError(
                f"states the {what} {theirs}, the collection {ours}", file=metadata.file.name
            )
    empty = {
        f.name: getattr(metadata.entry, f.name) for f in fields(Entry) if not getattr(entry, f.name)
    }
    return replace(entry, **empty)
