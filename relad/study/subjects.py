"""Who is in a cohort, known before anything has run; standard library only (the Snakefile's).

A subject's BIDS label is its study identifier without separators: ``941_S_0001`` -> ``941S0001``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relad.errors import ReladError

SOURCES = ("phantom", "loni", "bids")


def bids_label(ptid: str) -> str:
    """Study identifier as a BIDS label: its letters and digits, whole, so that no two ids merge.

    Raises
    ------
    ReladError
        Where nothing is left.
    """
    label = re.sub(r"[^A-Za-z0-9]", "", ptid)
    if not label:
        raise ReladError(f"subject id {ptid!r} holds no letter or digit")
    return label


def phantom_ptids(phantom: Mapping[str, Any]) -> list[str]:
    """Identifiers of a simulated cohort in ADNI's form: site, ``S``, running number from 1.

    Parameters
    ----------
    phantom
        The cohort's ``phantom`` entry: ``{subjects, site, scanner}``.
    """
    count, site = int(phantom["subjects"]), int(phantom["site"])
    if not 1 <= count <= 9999:
        raise ReladError(f"a phantom cohort has 1 to 9999 subjects, not {count}")
    if not 0 <= site <= 999:
        raise ReladError(f"a site is a number of at most three digits, not {site}")
    return [f"{site:03d}_S_{number:04d}" for number in range(1, count + 1)]


def _labels(ptids: list[str], file: Path) -> list[str]:
    seen: dict[str, str] = {}
    for ptid in ptids:
        label = bids_label(ptid)
        if seen.setdefault(label, ptid) != ptid:
            raise ReladError(
                f"subjects {seen[label]!r} and {ptid!r} have one BIDS label, {label!r}",
                file=file,
                hint="rename one of them",
            )
    return sorted(seen)


def collections_of(entry: Mapping[str, Any]) -> list[str]:
    """Collection CSVs of a cohort's entry, which names one or several, or none."""
    given = entry.get("collection") or []
    return [given] if isinstance(given, str) else list(given)


def _collection_ptids(collection: Path) -> list[str]:
    try:
        with collection.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = {name.strip().lower(): name for name in reader.fieldnames or [] if name}
            if "subject" not in columns:
                raise ReladError(
                    "has no column 'Subject'",
                    file=collection,
                    hint="expected the collection CSV that LONI offers beside a download",
                )
            ptids = [(row[columns["subject"]] or "").strip() for row in reader]
    except OSError as error:
        raise ReladError(f"cannot be read ({error.strerror})", file=collection) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ReladError(f"not a readable CSV ({error})", file=collection) from None
    return sorted({ptid for ptid in ptids if ptid})


def _bids_labels(root: Path) -> list[str]:
    if not root.is_dir():
        raise ReladError("no such BIDS folder", file=root)
    folders = (entry.name for entry in root.glob("sub-*") if entry.is_dir())
    labels = (name.removeprefix("sub-") for name in folders)
    return sorted(label for label in labels if re.fullmatch(r"[A-Za-z0-9]+", label))


def cohort_subjects(name: str, entry: Mapping[str, Any]) -> list[str]:
    """BIDS labels of a cohort's subjects, sorted.

    Parameters
    ----------
    name
        The cohort's name, for messages.
    entry
        The cohort's entry in the configuration; ``source`` says where the subjects are read:
        counted (``phantom``), from the CSV ``collection`` (``loni``) or from the ``sub-*`` folders
        of ``path`` (``bids``).

    Raises
    ------
    ReladError
        Where the source cannot be read or holds nobody.
    """
    source = entry["source"]
    if source == "phantom":
        return [bids_label(ptid) for ptid in phantom_ptids(entry["phantom"])]
    if source == "loni":
        files = [Path(file) for file in collections_of(entry)]
        where = files[0]
        labels = _labels(sorted({p for file in files for p in _collection_ptids(file)}), where)
    elif source == "bids":
        where = Path(entry["path"])
        labels = _bids_labels(where)
    else:
        raise ReladError(
            f"cohort {name!r} has the unknown source {source!r}",
            hint=f"known sources: {', '.join(SOURCES)}",
        )
    if not labels:
        raise ReladError(f"cohort {name!r} has no subjects", file=where)
    return labels
