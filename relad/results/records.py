"""What trainings and syntheses wrote about themselves: ``train.json`` and ``synthesis.json``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relad.errors import DataError, ReladError
from relad.fileio import read_json
from relad.results.scores import cohorts_of


@dataclass(frozen=True)
class Cost:
    """Cost of one method, averaged over its folds and seeds; of counts the largest.

    Times and memory are measured and vary from run to run; None where a file does not say.

    Attributes
    ----------
    parameters
        Of the network that synthesises.
    parameters_total
        Of all its networks, discriminators included.
    updates
        Training updates.
    train_seconds
        Wall-clock time of one training.
    train_memory_mb
        Peak memory of training.
    evaluations
        Network evaluations per synthesised volume.
    seconds_per_volume
        Wall-clock time of one synthesised volume.
    synthesis_memory_mb
        Peak memory of synthesis.
    device
        Where it was trained and, if elsewhere, where it was run.
    runs
        Number of trained models behind the averages.
    """

    parameters: int | None
    parameters_total: int | None
    updates: int | None
    train_seconds: float | None
    train_memory_mb: float | None
    evaluations: int | None
    seconds_per_volume: float | None
    synthesis_memory_mb: float | None
    device: str
    runs: int


def read_synthesis(folder: str | Path) -> dict[str, Any]:
    """Read ``synthesis.json`` of a folder of ``relad synthesize`` and check that it is whole."""
    file = Path(folder) / "synthesis.json"
    synthesis = read_json(file)
    needed = ("cohort", "method", "sampler", "fold", "seed")
    lacking = [k for k in needed if not isinstance(synthesis, dict) or k not in synthesis]
    if lacking:
        raise DataError(f"lacks {', '.join(lacking)}", file=file, hint="run `relad synthesize`")
    return synthesis


def read_costs(
    models: Iterable[str | Path], synthesized: Iterable[str | Path], settings: dict[str, Any]
) -> dict[str, Cost]:
    """Read the costs of every method that has a model among ``models``.

    Parameters
    ----------
    models
        Folders of ``relad train``.
    synthesized
        Folders of ``relad synthesize``; those of external cohorts are not counted, so that all
        methods are timed on the same volumes.
    settings
        With the sections ``cohorts`` and ``methods``.

    Returns
    -------
    Costs by method, in the configuration's order.
    """
    trained = _by_method(models, "train.json", settings)
    made = _by_method(synthesized, "synthesis.json", settings)
    cohorts = cohorts_of(settings, "train")
    costs = {}
    for method in settings["methods"]:
        runs = trained.get(method, [])
        if not runs:
            continue
        counts = [run.get("counts", {}) for run in runs]
        measured = [run.get("measured", {}) for run in runs]
        syntheses = [s for s in made.get(method, []) if s.get("cohort") in cohorts]
        devices = [m.get("device") for m in measured] + [s.get("device") for s in syntheses]
        costs[method] = Cost(
            parameters=_count(counts, "parameters_generator", method),
            parameters_total=_count(counts, "parameters_total", method),
            updates=_count(counts, "updates", method),
            train_seconds=_mean(measured, "seconds"),
            train_memory_mb=_mean(measured, "peak_memory_mb"),
            evaluations=_count(syntheses, "evaluations", method),
            seconds_per_volume=_mean(syntheses, "seconds_per_volume"),
            synthesis_memory_mb=_mean(syntheses, "peak_memory_mb"),
            device=", ".join(dict.fromkeys(d for d in devices if d)) or "unknown",
            runs=len(runs),
        )
    return costs


def _by_method(
    folders: Iterable[str | Path], name: str, settings: dict[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for folder in sorted(map(Path, folders)):
        record = read_json(folder / name)
        method = record.get("method") if isinstance(record, dict) else None
        if method not in settings["methods"]:
            raise ReladError(
                f"method {method!r} is not in the settings",
                file=folder / name,
                hint="give the study's own --settings",
            )
        found.setdefault(method, []).append(record)
    return found


def _count(records: list[dict[str, Any]], key: str, method: str) -> int | None:
    """Return the largest of a count: updates of a closed-form method follow the fold's size."""
    values = [record[key] for record in records if record.get(key) is not None]
    if not all(isinstance(value, int) for value in values):
        raise DataError(f"{method}: {key} is not a whole number: {values}")
    return max(values, default=None)


def _mean(records: list[dict[str, Any]], key: str) -> float | None:
    values = [float(record[key]) for record in records if record.get(key) is not None]
    return float(np.mean(values)) if values else None
