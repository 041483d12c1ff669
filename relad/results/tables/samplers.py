"""The table of samplers: quality of one trained model against its network evaluations."""

from __future__ import annotations

import pandas as pd

from relad.errors import ReladError
from relad.results.metrics import METRICS
from relad.results.scores import mean_over_tracers
from relad.results.statistics import FEW_SUBJECTS
from relad.results.study import Study
from relad.results.tables.accuracy import (
    interval_note,
    metric_cells,
    metric_columns,
    metrics_note,
    summarized,
)
from relad.results.tables.rendering import Cell, Table
from relad.status import Kind, note_of
from relad.study.catalogue import Result
from relad.study.sampling import Sampling

_SAMPLING = ("sampler", "steps", "samples", "evaluations")


def sampler_rows(study: Study, result: Result) -> pd.DataFrame:
    """One row per cohort, method and sampling.

    A subject's value is the mean over its tracers; mean and interval are over subjects.

    Raises
    ------
    ReladError
        Where values are not those of a sampling.
    """
    columns = ["cohort", "method", *_SAMPLING, "n", *metric_columns(result.metrics)]
    parts = []
    for name, scores in study.scores.groupby("sampler"):
        try:
            sampling = Sampling.parse(name)
        except ValueError as error:
            raise ReladError(
                f"{scores['method'].iloc[0]}: {error}",
                hint="give the METRICS.csv of the sampler study alone",
            ) from None
        for methods in study.comparisons(result):
            values = study.values(result, methods, scores)
            if values.empty:
                continue
            by = ["cohort", "method"]
            rows = summarized(mean_over_tracers(values), by, study.settings.evaluation)
            parts.append(rows.assign(**{key: getattr(sampling, key) for key in _SAMPLING}))
    if not parts:
        return pd.DataFrame(columns=columns)
    order = ["cohort", "method", "sampler", "steps", "samples"]
    return pd.concat(parts).sort_values(order, ignore_index=True)[columns]


def sampler_table(study: Study, result: Result) -> Table | None:
    """Build the table, None where nothing was given for it."""
    rows = sampler_rows(study, result)
    if rows.empty:
        return None
    counts = sorted(rows["n"].unique())
    sentences = [
        f"{result.title}: {', '.join(rows['cohort'].unique())}, "
        f"n = {' to '.join(map(str, counts))} subjects. One trained model per method, fold and "
        "seed; only how it is sampled differs",
        "Of several samples the mean is taken (expectation approximation)",
        f"Mean over test subjects {interval_note(study.settings.evaluation)} of each subject's "
        "mean over tracers",
        metrics_note(result, study.settings, study.settings.tracers),
        "Bold: best mean per cohort and method",
    ]
    if counts[0] < FEW_SUBJECTS:
        sentences.append(f"With n = {counts[0]} the intervals are too rough")
    return Table(
        name=result.name,
        caption=". ".join(sentences) + ".",
        warning=note_of(map(Kind, rows["data"])),
        rows=rows,
        headers=(
            *("Cohort", "Method", "Sampler", "Steps", "Samples", "Evaluations"),
            *(METRICS[metric].label for metric in result.metrics),
        ),
        groups=[
            [
                [
                    Cell(row["cohort"]),
                    Cell(study.label(row["method"])),
                    *(Cell(str(row[key])) for key in _SAMPLING),
                    *metrics,
                ]
                for row, metrics in zip(of.to_dict("records"), metric_cells(of), strict=True)
            ]
            for _, of in rows.groupby(["cohort", "method"], observed=True)
        ],
    )
