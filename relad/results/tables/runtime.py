"""The table of costs: parameters, updates, time and memory of every method."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd

from relad.results.records import Cost, cost_of, loads_of
from relad.results.study import Study
from relad.results.tables.rendering import NOT_AVAILABLE, Cell, Table
from relad.status import note_of
from relad.study.catalogue import Result
from relad.study.sampling import described

COLUMNS = (
    "method",
    "family",
    "sampler",
    "parameters",
    "parameters_total",
    "updates",
    "train_seconds",
    "train_memory_mb",
    "evaluations",
    "seconds_per_volume",
    "synthesis_memory_mb",
    "load",
    "device",
    "runs",
    "data",
)
_HEADERS = (
    "Method",
    "Family",
    "Sampling",
    "Parameters",
    "with discriminator",
    "Updates",
    "Training (s)",
    "Training memory (MB)",
    "Evaluations per volume",
    "s per volume",
    "Synthesis memory (MB)",
)


def costs(study: Study, result: Result) -> dict[str, Cost]:
    """Costs of every method that is compared and has a model, in the configuration's order.

    Another sampling of a model has none until it has made an image.
    """
    cohorts = study.cohorts(result)
    found = {}
    for method in (m for of in study.comparisons(result) for m in of):
        trained_as = study.settings.methods[method].trained_as
        trainings = [training for training in study.models if training.method == trained_as]
        made = [s for s in study.synthesized if s.method == method and s.cohort in cohorts]
        if trainings and (made or trained_as == method):
            found[method] = cost_of(trainings, made)
    return found


def runtime_table(study: Study, result: Result) -> Table | None:
    """Build the table, None without models."""
    methods, found = study.settings.methods, costs(study, result)
    if not found:
        return None
    rows = [{"method": m, "family": methods[m].family, **asdict(c)} for m, c in found.items()]
    runs = [cost.runs for cost in found.values()]
    trained = {methods[method].trained_as for method in found}
    devices = ", ".join(dict.fromkeys(cost.device for cost in found.values()))
    return Table(
        name=result.name,
        caption=(
            f"{result.title}: means over its trained models (folds "
            f"and seeds: {min(runs)}{f' to {max(runs)}' if max(runs) > min(runs) else ''} each). "
            "Parameters: of the network that synthesises, then of all networks that are trained. "
            "Evaluations: passes through that network per synthesised volume. "
            f"Device: {devices}; {loads_of(found.values())}. Times and memory are measured and "
            "vary from run to run."
        ),
        warning=note_of(training.kind for training in study.models if training.method in trained),
        rows=pd.DataFrame(rows, columns=COLUMNS, dtype=object),  # counts stay whole
        headers=_HEADERS,
        groups=[[_line(study, method, cost) for method, cost in found.items()]],
        numbers_from=3,
    )


def _line(study: Study, method: str, cost: Cost) -> list[Cell]:
    """One method's cost for reading."""
    numbers = (
        _whole(cost.parameters),
        _whole(cost.parameters_total),
        _whole(cost.updates),
        _three_digits(cost.train_seconds),
        _whole(cost.train_memory_mb),
        _whole(cost.evaluations),
        _three_digits(cost.seconds_per_volume),
        _whole(cost.synthesis_memory_mb),
    )
    entry = study.settings.methods[method]
    sampling = NOT_AVAILABLE if cost.sampler is None else described(cost.sampler)
    return [Cell(entry.label), Cell(entry.family), Cell(sampling), *map(Cell, numbers)]


def _whole(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else f"{value:,.0f}"


def _three_digits(value: float | None) -> str:
    """Three significant digits, without an exponent."""
    if value is None:
        return NOT_AVAILABLE
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 1e-3 else "< 0.001"
