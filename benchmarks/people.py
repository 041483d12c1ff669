"""Whose scans a trained model is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from relad.data.batches import Pair
from relad.data.dataset import PackedDataset
from relad.errors import ReladError

#: What can be asked for; choices are made on the first, the second is for what stands already.
Part = Literal["validation", "test"]


def pairs_of(data: PackedDataset, info: Mapping[str, Any], part: Part) -> list[Pair]:
    """(subject, tracer) of people whom the model with this train.json did not learn from.

    Of its ``validation`` people, who chose its weights, or of the held-out ``test`` fold; no
    tracer among them that it was not trained for.

    Raises
    ------
    ReladError
        Where it was trained on other data, or had no such people.
    """
    if data.fingerprint != info["data"]:
        raise ReladError("is not the cohort that the model was trained on", file=data.path)
    names, tracers = info["subjects"][part], info["trained_tracers"]
    pairs = [
        (i, k)
        for i, k in data.pairs()
        if data.subjects[i]["subject"] in names and data.tracers[k] in tracers
    ]
    if not pairs:
        raise ReladError(
            f"the model had no {part} subjects",
            hint="train it with `training: {validation: {subjects: 2}}`"
            if part == "validation"
            else "its fold has no PET of the tracers that it was trained for",
        )
    return pairs
