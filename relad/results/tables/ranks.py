"""The table of ranks: how firmly the subjects place each method."""

from __future__ import annotations

import numpy as np
import pandas as pd

from relad.results.decisions import OF_RIGHT_VALUES, compared
from relad.results.intervals import ends
from relad.results.metrics import METRICS
from relad.results.statistics import bootstrap_ranks, too_few
from relad.results.study import Study
from relad.results.tables.accuracy import metrics_note
from relad.results.tables.rendering import Cell, Table, with_interval
from relad.status import Kind, note_of
from relad.study.catalogue import OF_THESE_TRAININGS, Result

#: Resamples of the subjects, and the seed of their draws.
REPEATS, SEED = 2000, 0


def ranks(study: Study, result: Result) -> pd.DataFrame:
    """Rank of each method by each metric, over resamples of the subjects.

    Returns
    -------
    One row per cohort, metric, method and rank that was reached: ``share`` of the resamples. Equal
    methods share the mean of their ranks.
    """
    columns = ["cohort", "data", "n", "metric", "method", "rank", "share"]
    parts = []
    for methods in study.comparisons(result):
        values = compared(study, result, methods)
        for (cohort, data), of in values.groupby(["cohort", "data"], observed=True):
            for metric in result.metrics:
                table = of.pivot(index="method", columns="subject", values=metric)
                table = table.loc[[m for m in methods if m in table.index]].dropna()
                better = METRICS[metric].better
                losses = table if better.target is not None else better.loss(table)
                drawn = bootstrap_ranks(losses.to_numpy(), repeats=REPEATS, seed=SEED)
                for method, reached in zip(table.index, drawn.T, strict=True):
                    rank, count = np.unique(reached, return_counts=True)
                    parts.append(
                        pd.DataFrame({"rank": rank, "share": count / REPEATS}).assign(
                            cohort=cohort, data=data, n=table.shape[1], metric=metric, method=method
                        )
                    )
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def ranks_table(study: Study, result: Result) -> Table | None:
    """Build the table, None where nothing was given for it."""
    found = ranks(study, result)
    if found.empty:
        return None
    level = study.settings.evaluation.interval
    keys = ["cohort", "metric", "method"]
    rows = pd.DataFrame(
        [
            {
                **dict(zip(keys, key, strict=True)),
                "n": of["n"].iloc[0],
                "rank": (of["rank"] * of["share"]).sum(),
                **ends("rank", tuple(_quantile(of, (1 + side * level) / 2) for side in (-1, 1))),
                "first": of.loc[of["rank"] == 1, "share"].sum(),
                "data": of["data"].iloc[0],
            }
            for key, of in found.groupby(keys, sort=False, observed=True)
        ]
    )
    cohorts = rows.groupby("cohort", sort=False)["n"].first()
    rough = f" {told}." if (told := too_few(cohorts.min())) else ""
    return Table(
        name=result.name,
        caption=(
            f"{result.title}: {'; '.join(f'{c}, n = {n} subjects' for c, n in cohorts.items())}. "
            f"Mean rank [{100 * level:g}% of {REPEATS:,} resamples of the subjects] and the share "
            "of them in which the method is first; a subject's value is the mean over seeds and "
            f"tracers; {OF_RIGHT_VALUES}. {OF_THESE_TRAININGS}. "
            f"{metrics_note(result, study.settings, study.settings.tracers)}." + rough
        ),
        warning=note_of(map(Kind, rows["data"])),
        rows=rows,
        headers=("Cohort", "Metric", "Method", "Rank", "First"),
        groups=[
            [
                [
                    Cell(row["cohort"]),
                    Cell(METRICS[row["metric"]].label),
                    Cell(study.label(row["method"])),
                    Cell(with_interval(row, "rank", ".1f")),
                    Cell(f"{100 * row['first']:.0f}%"),
                ]
                for row in of.to_dict("records")
            ]
            for _, of in rows.groupby(["cohort", "metric"], sort=False)
        ],
    )


def _quantile(of: pd.DataFrame, share: float) -> float:
    """Smallest rank that at least this share of the resamples does not exceed."""
    of = of.sort_values("rank")
    return float(of["rank"].iloc[np.searchsorted(of["share"].cumsum() + 1e-9, share)])
