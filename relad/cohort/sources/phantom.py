"""A simulated cohort: people are counted, and their download is read as one from LONI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relad.cohort.sources.loni import read
from relad.errors import ReladError
from relad.study.subjects import bids_label

__all__ = ["NEEDS", "TAKES", "ptids", "read", "subjects"]

NEEDS, TAKES = ("phantom",), ()


def ptids(count: int, site: int) -> list[str]:
    """Identifiers of a simulated cohort in ADNI's form: site, ``S``, running number from 1."""
    if not 1 <= count <= 9999:
        raise ReladError(f"a phantom cohort has 1 to 9999 subjects, not {count}")
    if not 0 <= site <= 999:
        raise ReladError(f"a site is a number of at most three digits, not {site}")
    return [f"{site:03d}_S_{number:04d}" for number in range(1, count + 1)]


def subjects(entry: Mapping[str, Any]) -> tuple[list[str], Path | None]:
    """See :mod:`relad.study.subjects`."""
    phantom = entry["phantom"]
    return [bids_label(ptid) for ptid in ptids(phantom["subjects"], phantom["site"])], None
