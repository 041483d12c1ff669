"""The tables of image quality: main comparison, external cohorts, ablations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from relad.data.window import width
from relad.results.metrics import HIGHER_IS_BETTER, METRICS
from relad.results.scores import (
    Scores,
    ablation_groups,
    cohorts_of,
    simulated,
    subjects_of,
    values_of,
)
from relad.results.statistics import FEW_SUBJECTS, bootstrap_interval
from relad.results.tables.rendering import Cell, Table
from relad.study.config import group_members
from relad.study.provenance import simulated_note

COLUMNS = (
    "cohort",
    "tracer",
    "method",
    "n",
    *(column for m in METRICS for column in (m, f"{m}_low", f"{m}_high")),
    "data",
)
_DECIMALS = {"psnr": 2, "ssim": 3, "mae": 3}
_TITLES = {
    "main": "Main comparison",
    "external": "External cohorts, never trained on",
    "ablation": "Ablations, each against its full method (first of its group)",
    "presets": "The method as we set it, as its paper sets it, and as its release has it",
    "release_ladder": "The published release, and one error less on every row",
}


def accuracy_table(name: str, scores: Scores, settings: dict[str, Any]) -> Table | None:
    """Build the table ``main``, ``external``, ``ablation``, or that of a group of methods.

    Parameters
    ----------
    name
        Which table.
    scores
        Values per subject.
    settings
        With the sections ``cohorts``, ``tracers``, ``evaluation`` and ``methods``.

    Returns
    -------
    The table, or None where no value was given for it.

    Raises
    ------
    ReladError
        Where methods were tested on different subjects.
    """
    cohorts = cohorts_of(settings, "external" if name == "external" else "train")
    if name == "ablation":
        families = [[base, *names] for base, names in ablation_groups(settings).items()]
        tested = {method for _, _, method, _ in scores}
        families = [[base, *names] for base, *names in families if tested.intersection(names)]
    else:
        families = [group_members(settings, "main" if name == "external" else name)]
    grouped = [
        rows
        for family in families
        for cohort in cohorts
        for tracer in settings["tracers"]
        if (rows := _rows(cohort, tracer, family, scores, settings))
    ]
    if not grouped:
        return None
    rows = [row for group in grouped for row in group]
    shown = list(dict.fromkeys(row["cohort"] for row in rows))
    return Table(
        name=name,
        caption=_caption(name, rows, settings),
        warning=simulated_note(settings) if simulated(settings, shown) else "",
        columns=COLUMNS,
        rows=rows,
        headers=("Cohort", "Tracer", "Method", "n", "PSNR (dB)", "SSIM", "MAE (SUVR)"),
        groups=[_cells(group, settings) for group in grouped],
    )


def mean_and_interval(
    metric: str, values: Sequence[float], evaluation: Mapping[str, Any]
) -> dict[str, float | None]:
    """Columns of a metric from its subjects' values: mean and bootstrap interval."""
    interval = bootstrap_interval(
        values, level=evaluation["interval"], resamples=evaluation["bootstrap"]
    )
    low, high = interval or (None, None)
    return {metric: float(np.mean(values)), f"{metric}_low": low, f"{metric}_high": high}


def _rows(
    cohort: str, tracer: str, methods: Sequence[str], scores: Scores, settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """One row per method that has values for this cohort and tracer."""
    n = len(subjects_of(scores, cohort, tracer, methods))
    evaluation = settings["evaluation"]
    rows = []
    for method in methods:
        row: dict[str, Any] = {"cohort": cohort, "tracer": tracer, "method": method, "n": n}
        for metric in METRICS:
            values = values_of(scores, cohort, tracer, method, metric)
            if values is None:
                break
            row |= mean_and_interval(metric, values, evaluation)
        else:
            row["data"] = "simulated" if simulated(settings, [cohort]) else "real"
            rows.append(row)
    return rows


def _cells(rows: list[dict[str, Any]], settings: dict[str, Any]) -> list[list[Cell]]:
    """Rows of one cohort and tracer for reading."""
    names = [
        (row["cohort"], tracer_label(row["tracer"], settings), methods_label(row, settings))
        for row in rows
    ]
    return [
        [*map(Cell, name), Cell(str(row["n"])), *metrics]
        for name, row, metrics in zip(names, rows, metric_cells(rows), strict=True)
    ]


def methods_label(row: dict[str, Any], settings: dict[str, Any]) -> str:
    return settings["methods"][row["method"]]["label"]


def metric_cells(rows: list[dict[str, Any]]) -> list[list[Cell]]:
    """Each row's metrics with their intervals, the best mean of each metric in bold."""
    # Compared as printed: a difference nobody can read makes no winner.
    best = {
        m: f"{(max if HIGHER_IS_BETTER[m] else min)(r[m] for r in rows):.{_DECIMALS[m]}f}"
        for m in METRICS
    }
    cells = []
    for row in rows:
        line = []
        for metric in METRICS:
            digits = _DECIMALS[metric]
            mean = text = f"{row[metric]:.{digits}f}"
            if row[f"{metric}_low"] is not None:
                text += f" [{row[f'{metric}_low']:.{digits}f}, {row[f'{metric}_high']:.{digits}f}]"
            line.append(Cell(text, bold=len(rows) > 1 and mean == best[metric]))
        cells.append(line)
    return cells


def _caption(name: str, rows: list[dict[str, Any]], settings: dict[str, Any]) -> str:
    evaluation = settings["evaluation"]
    level = f"{100 * evaluation['interval']:g}%"
    counts = {(row["cohort"], row["tracer"]): row["n"] for row in rows}
    cohorts = []
    for cohort in dict.fromkeys(c for c, _ in counts):
        per_tracer = {t: n for (c, t), n in counts.items() if c == cohort}
        cohorts.append(f"{cohort}, n = {same_or_listed(per_tracer)} subjects")
    ranges = data_ranges(settings, dict.fromkeys(t for _, t in counts))
    sentences = [
        f"{_TITLES.get(name, name.replace('_', ' '))}: {'; '.join(cohorts)}",
        f"Mean over test subjects [{level} bootstrap interval over subjects, "
        f"{evaluation['bootstrap']} resamples]; a subject's values are first averaged over seeds"
        + (" and over the folds' models" if name == "external" else ""),
        metrics_note(ranges),
        "Bold: best mean per cohort and tracer",
    ]
    updates = {settings["methods"][row["method"]]["updates"] for row in rows} - {None}
    if updates:  # all alike, as the configuration is checked for
        sentences.append(f"Trained for {updates.pop():,} updates each")
    smallest = min(counts.values())
    if smallest < FEW_SUBJECTS:
        sentences.append(
            f"With n = {smallest} the intervals are too rough, and no paired test can decide"
        )
    return ". ".join(sentences) + "."


def data_ranges(settings: dict[str, Any], tracers: Iterable[str]) -> dict[str, str]:
    """Width of each tracer's SUVR window, for reading."""
    return {t: f"{width(settings['tracers'][t]['suvr_window']):g}" for t in tracers}


def metrics_note(ranges: dict[str, str]) -> str:
    """How PSNR, SSIM and MAE were taken."""
    return (
        "All metrics inside the brain mask, data range "
        f"{same_or_listed(ranges)} SUVR (width of the tracer's fixed window); SSIM is 3D "
        "(Gaussian, sigma 1.5 voxels, 11 taps, population covariance), its map averaged over the "
        "mask"
    )


def same_or_listed(values: dict[str, Any]) -> str:
    """``4`` where all values agree, else ``4 (tau), 3 (amyloid)``."""
    if len(set(values.values())) == 1:
        return str(next(iter(values.values())))
    return ", ".join(f"{value} ({name})" for name, value in values.items())


def tracer_label(tracer: str, settings: dict[str, Any]) -> str:
    """The tracer's id with its ligand, ``tau (AV1451)``."""
    return f"{tracer} ({settings['tracers'][tracer]['ligand']})"


def summary(table: Table, settings: dict[str, Any]) -> Iterable[str]:
    """Lines that tell who beats the floor: mean PSNR over tracers, relative to the mean template.

    Empty where no method of the family ``floor`` stands in the table.
    """
    methods = settings["methods"]
    for cohort in dict.fromkeys(row["cohort"] for row in table.rows):
        means: dict[str, list[float]] = {}
        for row in table.rows:
            if row["cohort"] == cohort:
                means.setdefault(row["method"], []).append(row["psnr"])
        floor = next((m for m in means if methods[m]["family"] == "floor"), None)
        if floor is None:
            continue
        base = float(np.mean(means[floor]))
        yield (
            f"{cohort}: mean PSNR over tracers, relative to {methods[floor]['label']} "
            f"({base:.2f} dB)"
        )
        ranked = sorted(means.items(), key=lambda item: -float(np.mean(item[1])))
        longest = max(len(methods[m]["label"]) for m in means)
        for method, values in ranked:
            if method == floor:
                continue
            gain = float(np.mean(values)) - base
            verdict = "above" if gain > 0 else "NOT above"
            yield f"  {methods[method]['label']:<{longest}}  {gain:+.2f} dB  {verdict} the floor"
