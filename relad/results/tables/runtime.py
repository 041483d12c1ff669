"""The table of costs: parameters, updates, time and memory of every method."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from relad.results.records import Cost
from relad.results.scores import cohorts_of, simulated
from relad.results.tables.rendering import Cell, Table
from relad.study.provenance import simulated_note

COLUMNS = (
    "method",
    "family",
    "parameters",
    "parameters_total",
    "updates",
    "train_seconds",
    "train_memory_mb",
    "evaluations",
    "seconds_per_volume",
    "synthesis_memory_mb",
    "device",
    "runs",
    "data",
)
_HEADERS = (
    "Method",
    "Family",
    "Parameters",
    "with discriminator",
    "Updates",
    "Training (s)",
    "Training memory (MB)",
    "Evaluations per volume",
    "s per volume",
    "Synthesis memory (MB)",
)


def runtime_table(costs: dict[str, Cost], settings: dict[str, Any]) -> Table | None:
    """Build the table ``runtime`` from :func:`relad.results.records.read_costs`, if any."""
    if not costs:
        return None
    methods = settings["methods"]

    def is_main(method: str) -> bool:
        return methods[method]["ablates"] is None

    phantom = simulated(settings, cohorts_of(settings, "train"))
    rows = [
        {
            "method": method,
            "family": methods[method]["family"],
            **asdict(cost),
            "data": "simulated" if phantom else "real",
        }
        for method, cost in costs.items()
    ]
    groups = [
        [_line(m, cost, methods[m]) for m, cost in costs.items() if is_main(m) == main]
        for main in (True, False)
    ]
    runs = [cost.runs for cost in costs.values()]
    devices = ", ".join(dict.fromkeys(cost.device for cost in costs.values()))
    return Table(
        name="runtime",
        caption=(
            "Cost of every method, written by its own runs: means over its trained models (folds "
            f"and seeds: {min(runs)}{f' to {max(runs)}' if max(runs) > min(runs) else ''} each). "
            "Parameters: of the network that synthesises, then of all networks that are trained. "
            "Evaluations: passes through that network per synthesised volume. "
            f"Device: {devices}. Times and memory are measured and vary from run to run."
        ),
        warning=simulated_note(settings) if phantom else "",
        columns=COLUMNS,
        rows=rows,
        headers=_HEADERS,
        groups=[group for group in groups if group],
        numbers_from=2,
    )


def _line(method: str, cost: Cost, entry: dict[str, Any]) -> list[Cell]:
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
    return [Cell(entry["label"]), Cell(entry["family"]), *map(Cell, numbers)]


def _whole(value: float | None) -> str:
    return "n/a" if value is None else f"{value:,.0f}"


def _three_digits(value: float | None) -> str:
    """Three significant digits, without an exponent."""
    if value is None:
        return "n/a"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 1e-3 else "< 0.001"
