"""The table of positivity: errors of positive and of negative people apart."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from relad.errors import ReladError
from relad.results.intervals import ends, with_ends
from relad.results.metrics import METRICS
from relad.results.regional import GROUPS, positive, regional_values
from relad.results.scores import file_of
from relad.results.statistics import mean_interval
from relad.results.study import Study
from relad.results.tables.downstream import counted, kinds_of_suvr
from relad.results.tables.rendering import Cell, Table, with_interval
from relad.status import note_of
from relad.study.catalogue import Result

_BRAIN = ("psnr", "mae")
_OF_GROUP = (*_BRAIN, "bias")
COLUMNS = (
    *("cohort", "tracer", "region", "group", "method", "n"),
    *with_ends(*_OF_GROUP),
    *("note", "data"),
)


def positivity_rows(study: Study, result: Result) -> pd.DataFrame:
    """One row per cohort, tracer with a cut, group (positive or negative) and method.

    With the columns :data:`COLUMNS`: PSNR and MAE of the brain, and the bias of the SUVR in
    the region of the cut, which ``region`` names. A group without people has a row that says so.
    """
    level, rows = study.settings.evaluation.interval, []
    for methods in study.comparisons(result):
        found = regional_values(study, result, methods)
        if found.empty:
            continue
        brain = study.values(replace(result, metrics=_BRAIN), methods)
        keys = ["cohort", "tracer", "method", "subject"]
        for tracer in study.settings.tracers:
            chosen = positive(study, found, tracer)
            if chosen is None:
                continue
            of = chosen[0].merge(brain[[*keys, *_BRAIN]], on=keys, how="left", validate="1:1")
            if (lacking := of[list(_BRAIN)].isna().any(axis=1)).any():
                first = of[lacking].iloc[0]
                raise ReladError(
                    f"no {' and '.join(_BRAIN)} of {first['method']} for subject "
                    f"{first['subject']}, {tracer}, though a SUVR",
                    file=file_of(study.scores[study.scores["method"] == first["method"]]),
                    hint="run `relad evaluate` again for it",
                )
            of["bias"] = of["suvr"] - of["suvr_true"]
            by = of.groupby(["cohort", "method"], observed=True, sort=False)
            for (cohort, method), each in by:
                for group, member in GROUPS.items():
                    mine = each[each["positive"] == member]
                    row = {"cohort": cohort, "tracer": tracer, "group": group, "method": method}
                    row |= {"region": chosen[1].positivity.region}
                    row |= {"n": len(mine), "data": each["data"].iloc[0]}
                    row["note"] = "" if len(mine) > 1 else ("one person", "nobody")[not len(mine)]
                    for name in _OF_GROUP if len(mine) else ():
                        row[name] = float(mine[name].mean())
                        interval = mean_interval(mine[name], level=level)
                        row |= ends(name, interval)
                    rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = {name: k for k, name in enumerate(dict.fromkeys(table["method"]))}
    return table.sort_values(
        ["cohort", "tracer", "group", "method"],
        key=lambda column: column.map(
            order if column.name == "method" else {v: k for k, v in enumerate(column.unique())}
        ),
        ignore_index=True,
    )


def positivity_table(study: Study, result: Result) -> Table | None:
    """Build the table of errors by positivity; None, or without rows, as that of use."""
    kinds, rows = kinds_of_suvr(study, result), positivity_rows(study, result)
    if not kinds:
        return None
    forms = {"psnr": "z.2f", "mae": "z.3f", "bias": "+z.3f"}
    level = 100 * study.settings.evaluation.interval
    caption = [
        *counted(study, result, rows),
        f"Mean over test subjects, [{level:g}% interval, Student's t]: PSNR and MAE inside the "
        "brain mask; bias of the mean SUVR in the cut's region, synthetic minus real. A method "
        "that has fallen back on the mean is too low in positive and too high in negative people",
    ]
    return Table(
        name=result.name,
        caption=". ".join(caption) + ".",
        warning=note_of(kinds),
        rows=rows,
        headers=(
            *("Cohort", "Tracer", "Group", "Method", "n"),
            *(METRICS[name].label for name in _BRAIN),
            "Bias (SUVR)",
        ),
        groups=[
            [
                [
                    Cell(row["cohort"]),
                    Cell(study.tracer_label(row["tracer"])),
                    Cell(row["group"]),
                    Cell(study.label(row["method"])),
                    Cell(f"{row['n']} ({row['note']})" if row["note"] else str(row["n"])),
                    *(Cell(with_interval(row, name, forms[name])) for name in _OF_GROUP),
                ]
                for row in of.to_dict("records")
            ]
            for _, of in rows.groupby(["cohort", "tracer", "group"], sort=False)
        ],
        numbers_from=4,
    )
