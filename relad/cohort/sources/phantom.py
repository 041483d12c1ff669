"""A simulated cohort: people are counted, and their download is read as one from LONI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relad.cohort.phantom import folder
from relad.cohort.sources.loni import read
from relad.errors import ReladError
from relad.study.subjects import bids_label

__all__ = ["NEEDS", "TAKES", "files", "has_ceiling", "people", "ptids", "read", "subjects"]

NEEDS, TAKES = ("phantom",), ()


def ptids(count: int, site: int) -> list[str]:
    """Identifiers of a simulated cohort in ADNI's form: site, ``S``, running number from 1."""
    if not 1 <= count <= 9999:
        raise ReladError(f"a phantom cohort has 1 to 9999 subjects, not {count}")
    if not 0 <= site <= 999:
        raise ReladError(f"a site is a number of at most three digits, not {site}")
    return [f"{site:03d}_S_{number:04d}" for number in range(1, count + 1)]


def people(phantom: Mapping[str, Any]) -> list[str] | list[folder.Person]:
    """Everybody of an entry ``phantom``: identifiers of made-up people, or people with heads.

    Raises
    ------
    ReladError
        Where the entry is contradictory, or the folder of heads cannot be used.
    """
    subjects, heads, site = (phantom.get(key) for key in ("subjects", "heads", "site"))
    if (subjects is None) == (heads is None):
        raise ReladError(
            f"phantom has {'neither subjects nor' if heads is None else 'both subjects and'} heads",
            hint="subjects counts made-up people, heads is a folder of real ones: give one of them",
        )
    if heads is not None:
        return folder.people(Path(heads), folder.SITE if site is None else site)
    if site is None:
        raise ReladError("phantom has subjects and no site", hint="give a number, such as 941")
    return ptids(subjects, site)


def files(phantom: Mapping[str, Any]) -> list[Path]:
    """Files that an entry's scans are made of, beside the settings."""
    if phantom.get("heads") is None:
        return []
    return folder.files(Path(phantom["heads"]), people(phantom))


def has_ceiling(entry: Mapping[str, Any]) -> bool:
    """See :mod:`relad.study.subjects`."""
    return True


def subjects(entry: Mapping[str, Any]) -> tuple[list[str], Path | None]:
    """See :mod:`relad.study.subjects`."""
    phantom = entry["phantom"]
    everybody = [one if isinstance(one, str) else one.ptid for one in people(phantom)]
    heads = phantom.get("heads")
    return sorted(bids_label(ptid) for ptid in everybody), Path(heads) if heads else None
