"""The ceiling in a table of methods: its rows, everybody's way to it, and what a caption says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from relad.results.ceiling import WAY, floor_of, ways
from relad.results.study import Study
from relad.results.tables.rendering import Cell, with_interval
from relad.study.catalogue import CEILING, Result

#: Name of the ceiling, and head of the column of ways.
LABEL, HEADER = "Oracle (ceiling)", "Of the way (%)"


def with_ceiling(
    rows: pd.DataFrame, own: pd.DataFrame, study: Study, result: Result, methods: Sequence[str]
) -> pd.DataFrame:
    """Rows of methods with those of the ceiling below them, ``own``, and everybody's way to it.

    As they are where no ceiling is known or no floor has rows.
    """
    methods = [method for method in methods if method in set(rows["method"])]
    if own.empty or floor_of(study, methods) is None:
        return rows
    text, keys = {"method": object}, ["cohort", "tracer"]
    way = ways(study, result, methods).astype({key: rows[key].dtype for key in keys})
    return pd.concat([rows.astype(text), own.astype(text)]).merge(
        way, how="left", on=[*keys, "method"]
    )


def label(study: Study, method: str) -> str:
    """Name of a row for reading."""
    return LABEL if method == CEILING else study.settings.methods[method].label


def way_columns(rows: pd.DataFrame) -> list[str]:
    """Columns of ways that rows have."""
    return [column for column in WAY if column in rows]


def way_cells(rows: pd.DataFrame) -> list[list[Cell]]:
    """Of each row the cell of its way; none where no ceiling is known."""
    if not way_columns(rows):
        return [[] for _ in range(len(rows))]
    return [[Cell(with_interval(row, WAY[0], "z.0f"))] for row in rows.to_dict("records")]


def way_lines(rows: pd.DataFrame, study: Study) -> Iterator[str]:
    """Lines that tell how far methods go, by tracer."""
    if not way_columns(rows):
        return
    known = rows[rows["way"].notna() & ~rows["method"].isin([CEILING, _floor(rows, study)])]
    for cohort, of in known.groupby("cohort", observed=True):
        yield f"{cohort}: of the way from the floor to the ceiling, in mean squared error"
        for method, each in of.groupby("method", sort=False):
            told = (f"{row.way:.0f}% {row.tracer}" for row in each.itertuples())
            yield f"  {study.label(method)}: {', '.join(told)}"


def _floor(rows: pd.DataFrame, study: Study) -> str:
    """What everybody's way begins at."""
    floor = floor_of(study, [method for method in rows["method"].unique() if method != CEILING])
    assert floor is not None  # or there would be no ways
    return floor


def way_sentences(rows: pd.DataFrame, study: Study) -> list[str]:
    """What a caption says of the ceiling and the way to it; nothing where none is known."""
    if not way_columns(rows):
        return []
    floor = _floor(rows, study)
    percent = f"{100 * study.settings.evaluation.interval:g}%"
    return [
        f"{LABEL}: what anatomy, stage and lesions determine of the simulated PET, by the same "
        "tomograph, transforms and reference region; it is no method, and no test counts it",
        "Of the way: (E_floor - E) / (E_floor - E_oracle), where E is the mean squared error over "
        f"subjects and the floor is {study.label(floor)} [Fieller's {percent} interval over "
        "subjects]; the PET's own noise drops out of it",
    ]
