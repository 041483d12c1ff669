"""The table of samplers: quality of one trained model against its network evaluations."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from relad.errors import ReladError
from relad.results.metrics import METRICS
from relad.results.scores import mean_over_tracers, require_tested_alike
from relad.results.statistics import too_few
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

_SAMPLING = ("sampler", "steps", "temperature", "samples", "evaluations")


def sampler_rows(study: Study, result: Result) -> pd.DataFrame:
    """One row per cohort, method and sampling.

    A subject's value is the mean over its tracers; mean and interval are over subjects.

    Raises
    ------
    ReladError
        Where values are not those of a sampling, or samplings were tested on other people, folds or
        seeds than others.
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
    _require_tested_alike(study, result)
    if not parts:
        return pd.DataFrame(columns=columns)
    order = ["cohort", "method", *_SAMPLING]
    return pd.concat(parts).sort_values(order, ignore_index=True)[columns]


def _require_tested_alike(study: Study, result: Result) -> None:
    """Hold all samplings of a comparison to one another, where tables hold methods of one."""
    scores = study.scores
    scores = scores[(scores["region"] == result.region) & scores["metric"].isin(result.metrics)]
    for methods in study.comparisons(result):
        for cohort in study.cohorts(result):
            of = scores[(scores["cohort"] == cohort) & scores["method"].isin(methods)]
            if len(of):
                require_tested_alike(of, result.metrics, cohort)


def sampling_of(row: Mapping[str, str | None]) -> str | None:
    """Name, in metric rows, of the sampling of a table's row; the table of samplers has its parts.

    ``row`` is of a CSV, of this table or another.
    """
    name = row.get("sampler")
    if name and row.get("steps") and row.get("samples"):
        parts = int(row["steps"] or 0), int(row["samples"] or 0)
        return Sampling(name, *parts, float(row.get("temperature") or 1)).name
    return name


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
    if rough := too_few(counts[0]):
        sentences.append(rough)
    return Table(
        name=result.name,
        caption=". ".join(sentences) + ".",
        warning=note_of(map(Kind, rows["data"])),
        rows=rows,
        headers=(
            *("Cohort", "Method", "Sampler", "Steps", "Temperature", "Samples", "Evaluations"),
            *(METRICS[metric].label for metric in result.metrics),
        ),
        groups=[
            [
                [
                    Cell(row["cohort"]),
                    # Its own sampling, which may be none of these, is not told beside it.
                    Cell(study.settings.methods[row["method"]].label),
                    *(Cell(_text(row[key])) for key in _SAMPLING),
                    *metrics,
                ]
                for row, metrics in zip(of.to_dict("records"), metric_cells(of), strict=True)
            ]
            for _, of in rows.groupby(["cohort", "method"], observed=True)
        ],
    )


def _text(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
