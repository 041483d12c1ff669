"""Who is in a cohort, known before anything has run; standard library only (the Snakefile's).

Where a cohort's scans come from is a module of :mod:`relad.cohort.sources`, found by the name that
the configuration gives as ``source``. It holds

``NEEDS``, ``TAKES``
    Keys of the cohort's entry in the configuration that it must and may have.
``subjects(entry)``
    The BIDS labels of its people, told by the entry alone, with the file or folder that names them;
    the standard library must do.
``read(source, collections)``
    Everything there is, as :class:`relad.cohort.images.Contents`.
``named(entry)``
    The name by which all that was made of the cohort knows it already, or None, and the file that
    tells it; where this is not there, it has none yet.
``has_ceiling(entry)``
    Whether it is known what anatomy determines of its PET, see `relad ceiling`; where this is not
    there, it is not.

A subject's BIDS label is its study identifier without separators: ``941_S_0001`` -> ``941S0001``.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from relad.errors import ReladError

_PACKAGE = "relad.cohort.sources"


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


def labels_of(ptids: Iterable[str], file: Path) -> list[str]:
    """Sorted BIDS labels of study identifiers.

    Raises
    ------
    ReladError
        Where two identifiers have one label.
    """
    seen: dict[str, str] = {}
    for ptid in sorted(ptids):
        label = bids_label(ptid)
        if seen.setdefault(label, ptid) != ptid:
            raise ReladError(
                f"subjects {seen[label]!r} and {ptid!r} have one BIDS label, {label!r}",
                file=file,
                hint="rename one of them",
            )
    return sorted(seen)


def known_sources() -> list[str]:
    """Names of the modules of :mod:`relad.cohort.sources`."""
    return sorted(m.name for m in pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__))


def source_module(name: str) -> str:
    """Dotted name of a source's module.

    Raises
    ------
    ReladError
        Where there is no such source.
    """
    known = known_sources()
    if name not in known:
        raise ReladError(f"no source {name!r}", hint=f"known sources: {', '.join(known)}")
    return f"{_PACKAGE}.{name}"


def load_source(name: str) -> ModuleType:
    """Import a source's module."""
    return importlib.import_module(source_module(name))


def keys_of_source(cohort: str, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Keys of a cohort's entry that its source needs, and those it takes beside them."""
    try:
        source = load_source(name)
    except ReladError as error:
        raise ReladError(f"cohorts.{cohort}.source: {error.what}", hint=error.hint) from None
    return source.NEEDS, source.TAKES


def collections_of(entry: Mapping[str, Any]) -> list[str]:
    """Collection CSVs of a cohort's entry, which names one or several, or none."""
    given = entry.get("collection") or []
    return [given] if isinstance(given, str) else list(given)


def cohort_subjects(name: str, entry: Mapping[str, Any]) -> list[str]:
    """BIDS labels of a cohort's subjects, sorted.

    Parameters
    ----------
    name
        The cohort's name, for messages.
    entry
        The cohort's entry in the configuration.

    Raises
    ------
    ReladError
        Where the source cannot be read or holds nobody, or knows the cohort by another name.
    """
    source = load_source(entry["source"])
    labels, where = source.subjects(entry)
    if not labels:
        raise ReladError(f"cohort {name!r} has no subjects", file=where)
    known, file = source.named(entry) if hasattr(source, "named") else (None, where)
    if known not in (None, name):
        raise ReladError(
            f"cohorts.{name} is a cohort of the name {known!r}",
            file=file,
            hint=f"write cohorts.{known}: rows, tables and models name it so",
        )
    return labels


def has_ceiling(entry: Mapping[str, Any]) -> bool:
    """Whether it is known what anatomy determines of a cohort's PET: of simulated PET alone."""
    source = load_source(entry["source"])
    return hasattr(source, "has_ceiling") and source.has_ceiling(entry)


def check_overrides(cohort: str, overridden: Iterable[str], people: Iterable[str]) -> None:
    """Refuse overrides (section ``qc.overrides``) of subjects that a cohort does not have.

    Raises
    ------
    ReladError
        Naming them.
    """
    if unknown := sorted(set(overridden) - set(people)):
        raise ReladError(
            f"qc.overrides: {cohort} has no subject {', '.join(unknown)}",
            hint="write the BIDS label without sub-, as qc.tsv has it",
        )


def check_counts(
    cohort: str, people: int, *, folds: int, validation: int, others: str = ""
) -> None:
    """Refuse a cohort that is too small for its folds and for validation.

    Parameters
    ----------
    cohort
        Name of the training cohort.
    people
        Those who can be used, or may yet turn out to be.
    folds
        ``folds.count``.
    validation
        ``training.validation.subjects``.
    others
        Who cannot be used, and why, for the message.

    Raises
    ------
    ReladError
        Where a fold would be empty or nobody left to train on.
    """
    largest = -(-people // folds)
    if people < folds:
        what = f"folds.count is {folds}, but cohort {cohort} has {people} people to cut into folds"
    elif people - largest <= validation:
        what = (
            f"training.validation.subjects is {validation}, but of the {people} people of cohort "
            f"{cohort} a fold of {folds} leaves {people - largest} for training and validation"
        )
    else:
        return
    raise ReladError(what, hint=f"cannot be used: {others}" if others else "lower it")
