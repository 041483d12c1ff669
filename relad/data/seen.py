"""What a model saw in training, as ranges: by them it knows a stranger.

Kept in a model's ``train.json``, of its training people alone, and compared with a new person's by
:mod:`relad.prediction.strangers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from relad.data.dataset import PackedDataset

#: Percentiles of an MRI's intensities in the brain that tell its contrast.
DARK, BRIGHT = 5, 95


def intensities(mri: np.ndarray, mask: np.ndarray, modalities: Sequence[str]) -> dict[str, float]:
    """How the brain looks in each MRI: its contrast and its fine structure, by name.

    Parameters
    ----------
    mri
        (m, x, y, z) in the units of the packed dataset, in which level and spread are everybody's.
    mask
        (x, y, z) bool, brain.
    modalities
        Names of the m channels.

    Returns
    -------
    Of each modality ``dark`` and ``bright``, the outer percentiles, and ``detail``, the mean
    absolute difference of neighbouring voxels: noise and sharpness raise it, blur lowers it.
    """
    found = {}
    for name, volume in zip(modalities, np.asarray(mri), strict=True):
        steps = [
            np.abs(np.diff(volume, axis=axis))[mask.take(range(1, size), axis) &
                                               mask.take(range(size - 1), axis)]
            for axis, size in enumerate(mask.shape)
        ]  # fmt: skip
        dark, bright = np.percentile(volume[mask], (DARK, BRIGHT))
        detail = np.concatenate(steps).mean()
        found |= {f"{name}_dark": dark, f"{name}_bright": bright, f"{name}_detail": detail}
    return {key: round(float(value), 4) for key, value in found.items()}


def measures(row: Mapping[str, Any], mri: np.ndarray, mask: np.ndarray,
             modalities: Sequence[str]) -> dict[str, float]:  # fmt: skip
    """All that is compared of one person: a row of ``subjects.tsv`` and :func:`intensities`."""
    told = {"age": row.get("age"), "brain_volume_ml": row.get("brain_volume_ml")}
    return {k: v for k, v in told.items() if v is not None} | intensities(mri, mask, modalities)


def of_people(data: PackedDataset, people: Iterable[int]) -> dict[str, Any]:
    """What some people of a packed cohort were.

    Returns
    -------
    ``people``, their number; ``scanners``, those that their T1w name; and ``measures``: of each of
    :func:`measures` that is known of anybody ``n``, ``mean``, ``sd`` (n - 1), ``low`` and ``high``.
    """
    people = sorted(set(people))
    values: dict[str, list[float]] = {}
    for i in people:
        found = measures(data.subjects[i], data.mri[i], data.mask[i], data.modalities)
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    scanners = {data.subjects[i].get("scanner") for i in people}
    return {
        "people": len(people),
        "scanners": sorted(filter(None, scanners)),
        "measures": {name: _range(np.array(of)) for name, of in values.items()},
    }


def _range(values: np.ndarray) -> dict[str, float | int]:
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    facts = {"mean": values.mean(), "sd": sd, "low": values.min(), "high": values.max()}
    return {"n": len(values), **{key: round(float(value), 4) for key, value in facts.items()}}
