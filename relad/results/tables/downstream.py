"""The table of use: does synthetic PET tell positive people from negative ones."""

from __future__ import annotations

from typing import Any

import pandas as pd

from relad.results.downstream import MRI_ONLY, NUMBERS, P_MRI_ONLY, REAL, downstream_rows
from relad.results.regional import LEFT_OUT, averaged, left_out
from relad.results.study import Study
from relad.results.tables.rendering import NOT_AVAILABLE, Cell, Table, with_interval
from relad.status import Kind, note_of
from relad.study.catalogue import Result

#: Names of what is no method, for reading.
LABELS = {REAL: "Real PET (ceiling)", MRI_ONLY: "MRI and age alone (logistic regression)"}
_HEADERS = (
    *("Cohort", "Tracer", "Score", "n+", "n-", "AUC", "p (Holm)"),
    *("Sensitivity", "Specificity", "Sensitivity, own cut", "Specificity, own cut", "Note"),
)


def downstream_table(study: Study, result: Result) -> Table | None:
    """Build the table of positivity; None where nobody has a SUVR.

    Where no tracer has a cut, it has no rows, and its caption says so.
    """
    kinds, rows = kinds_of_suvr(study, result), downstream_rows(study, result)
    if not kinds:
        return None
    return Table(
        name=result.name,
        caption=_caption(study, result, rows),
        warning=note_of(kinds),
        rows=rows,
        headers=_HEADERS,
        groups=[
            [_line(study, row) for row in of.to_dict("records")]
            for _, of in rows.groupby(["cohort", "tracer"], sort=False)
        ],
    )


def _line(study: Study, row: dict[str, Any]) -> list[Cell]:
    method = row["method"]
    texts = (
        row["cohort"],
        study.tracer_label(row["tracer"]),
        LABELS[method] if method in LABELS else study.label(method),
        str(row["n_positive"]),
        str(row["n_negative"]),
        with_interval(row, NUMBERS[0], "z.2f"),
        NOT_AVAILABLE if pd.isna(row[P_MRI_ONLY]) else f"{row[P_MRI_ONLY]:.2g}",
        *(with_interval(row, name, "z.2f") for name in NUMBERS[1:]),
        row["note"] or "-",
    )
    return [Cell(text) for text in texts]


def cuts_told(study: Study) -> str:
    """The cut of every tracer, with where it comes from, or that there is none."""
    told = []
    for tracer, entry in study.settings.tracers.items():
        cut = entry.positivity
        told.append(
            f"{study.tracer_label(tracer)}: no cut, so no rows"
            if cut is None
            else f"{study.tracer_label(tracer)}: SUVR of {cut.region} at least {cut.suvr:g} "
            f"({cut.source.rstrip('.')})"
        )
    return "; ".join(told)


def kinds_of_suvr(study: Study, result: Result) -> list[Kind]:
    """Kinds of data of the SUVRs that a result is made of."""
    scores = study.scores
    mine = scores["cohort"].isin(study.cohorts(result)) & (scores["metric"] == "suvr")
    return sorted(map(Kind, scores.loc[mine, "data"].unique()))


def counted(study: Study, result: Result, rows: pd.DataFrame) -> list[str]:
    """First sentences of a caption: cohorts that have rows, the cuts, and who is left out."""
    cohorts = rows["cohort"].unique() if len(rows) else study.cohorts(result)
    cuts = {t: e.positivity for t, e in study.settings.tracers.items() if e.positivity}
    told = left_out(study, result, {tracer: [cut.region] for tracer, cut in cuts.items()})
    return [
        f"{result.title}: {', '.join(cohorts)}",
        f"A person is positive by their real PET. {cuts_told(study)}",
        *([f"{LEFT_OUT}: {'; '.join(told)}"] if told else []),
    ]


def _caption(study: Study, result: Result, rows: pd.DataFrame) -> str:
    level = 100 * study.settings.evaluation.interval
    models = averaged(study, rows["cohort"].unique())
    sentences = [
        *counted(study, result, rows),
        f"Score: the same SUVR of synthetic PET, held-out people alone{models}. AUC: [{level:g}% "
        f"interval, Newcombe's method 5]; p: that it is the AUC of {LABELS[MRI_ONLY]}, of the same "
        "people (their ranks exchanged, Holm's correction over the methods of a cohort and tracer)",
        f"Sensitivity and specificity at the tracer's cut, [{level:g}% interval, Wilson]. Own cut: "
        "Youden's, chosen on the held-out scores of the training cohort's people: for these, of "
        "those in other folds than the person's, so that there is none where one fold alone was "
        "tested; for people elsewhere, of all. What is so by construction has no interval",
        f"{LABELS[MRI_ONLY]}: age, brain volume, and mean T1w and FLAIR of every region of the "
        "atlas, standardised, L2 penalty and cut chosen inside the training fold, of which it is "
        "fitted on all people; methods choose their weights on some of them",
    ]
    return ". ".join(sentences) + "."
