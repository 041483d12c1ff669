"""Whether a model may have seen somebody it is to be tested on: by id, and by their MRI itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from relad.data.dataset import PackedDataset
from relad.errors import ReladError

#: What becomes of people whom a model may have seen; OTHERS: ids are only alike by chance.
REFUSE, LEAVE_OUT, OTHERS = "refuse", "leave_out", "others"

_NAMED = 5


def mri_of(data: PackedDataset, subjects: Iterable[str]) -> dict[str, str]:
    """Subject -> hash of its packed MRI, of those that have one."""
    wanted = set(subjects)
    return {
        row["subject"]: row["mri_sha256"]
        for row in data.subjects
        if row["subject"] in wanted and row.get("mri_sha256")
    }


def seen_by(
    info: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], *, ids: bool
) -> dict[str, str]:
    """People of another cohort who were in that of a model, and how they were recognised.

    Everybody of its cohort counts, of the held-out fold too: models of the other folds saw them.

    Parameters
    ----------
    info
        The model's ``train.json``.
    rows
        People of the cohort it is tested on, as in its subjects.tsv.
    ids
        Whether the same id is the same person.

    Returns
    -------
    Subject -> ``the same id``, or ``the same MRI as X``.
    """
    people = {name for part in info.get("subjects", {}).values() for name in part} if ids else set()
    by_mri = {sha256: name for name, sha256 in info.get("mri_sha256", {}).items()}
    found = {}
    for row in rows:
        twin = by_mri.get(row.get("mri_sha256") or "")
        if twin is not None:
            found[row["subject"]] = f"the same MRI as {twin}"
        elif row["subject"] in people:
            found[row["subject"]] = "the same id"
    return found


def left_out(
    info: Mapping[str, Any], data: PackedDataset, known: str, model: object
) -> dict[str, str]:
    """People whom a model must not be tested on; empty for the cohort it was trained on.

    A cohort with the role apply is not tested: there it is said, and nobody left out.

    Raises
    ------
    ReladError
        Where there are some and ``known`` is ``refuse``.
    """
    if data.cohort == info["cohort"]:
        return {}
    found = seen_by(info, data.subjects, ids=known != OTHERS)
    if not found:
        return {}
    told = listed([f"{name} ({why})" for name, why in found.items()])
    if data.applied:
        print(f"{data.path}: {model} was trained with {told} of these people", file=sys.stderr)
        return {}
    if known != LEAVE_OUT:
        raise ReladError(
            f"holds {len(found)} people of the cohort that {model} was trained on: {told}",
            file=data.path,
            hint=f"cohorts.{data.cohort}.known_people: {LEAVE_OUT} tests the model without them"
            + ("" if known == OTHERS else f"; {OTHERS}, if other people have the same ids"),
        )
    print(f"{data.path}: left out, since {model} knows them: {told}", file=sys.stderr)
    return found


def listed(names: Sequence[str]) -> str:
    """The first few of some names."""
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
