"""The tables of image quality: main comparison, external cohorts, ablations, groups of methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from relad.data.window import width
from relad.results.ceiling import ceiling_values, floor_of
from relad.results.decisions import Decision, Verdict, against_first, verdict_of
from relad.results.intervals import ends, with_ends
from relad.results.metrics import METRICS, metrics_in
from relad.results.scores import mean_over_tracers
from relad.results.sentences import found_at_most
from relad.results.statistics import mean_interval, too_few
from relad.results.study import Study
from relad.results.tables.ceiling import (
    HEADER,
    label,
    way_cells,
    way_columns,
    way_lines,
    way_sentences,
    with_ceiling,
)
from relad.results.tables.rendering import NOT_AVAILABLE, Cell, Table, with_interval
from relad.status import Kind, note_of
from relad.study.catalogue import BRAIN, CEILING, Result
from relad.study.sampling import described, evaluations_of
from relad.study.settings import Evaluation, ResultSettings


def accuracy_table(study: Study, result: Result) -> Table | None:
    """Build a table of the methods that a result compares; None where no value was given for it.

    Raises
    ------
    ReladError
        Where methods were tested on different subjects.
    """
    groups = []
    for methods in study.comparisons(result):
        values = study.values(result, methods)
        if result.group == "ablation" and set(values["method"]) <= {methods[0]}:
            continue  # a full method alone
        if result.of_samples and values["spread_skill"].isna().all():
            continue
        by = ["cohort", "tracer", "method", "sampler"]
        rows = summarized(values, by, study.settings.evaluation)
        own = summarized(ceiling_values(study, result, values), by, study.settings.evaluation)
        rows = with_ceiling(rows, own, study, result, methods)
        groups += [group for _, group in rows.groupby(["cohort", "tracer"], observed=True)]
    if not groups:
        return None
    rows = pd.concat(groups)
    rows["evaluations"] = rows["sampler"].map(evaluations_of).astype("Int64")
    columns = ["cohort", "tracer", "method", "sampler", "evaluations", "n"]
    return Table(
        name=result.name,
        caption=_caption(result, rows, study),
        warning=note_of(map(Kind, rows["data"])),
        rows=rows[[*columns, *metric_columns(result.metrics), *way_columns(rows)]],
        headers=(
            *("Cohort", "Tracer", "Method", "Sampling", "Evaluations", "n"),
            *(METRICS[m].label for m in result.metrics),
            *([HEADER] if way_columns(rows) else []),
        ),
        groups=[_cells(group, study) for group in groups],
        numbers_from=4,
    )


def main_table(study: Study, result: Result) -> Table | None:
    """Build the main table, as :func:`accuracy_table`, with the gain over the floor as summary.

    Raises
    ------
    ReladError
        Also where the gain is infinite for somebody.
    """
    table = accuracy_table(study, result)
    if table is not None:
        table.summary = [*_gains(study, result), *way_lines(table.rows, study)]
    return table


def metric_columns(metrics: Iterable[str]) -> list[str]:
    """Columns of a table of metrics: each with the ends of its interval, then the data's kind."""
    return [*with_ends(*metrics), "data"]


def summarized(values: pd.DataFrame, by: list[str], evaluation: Evaluation) -> pd.DataFrame:
    """One row for each ``by``: number of subjects, and mean and interval of each metric.

    Parameters
    ----------
    values
        As :func:`relad.results.scores.subject_values` gives them: one row per subject of each
        ``by``, and ``data``.
    by
        Columns.
    evaluation
        Level of the intervals; these are NaN for a single subject.
    """
    rows, metrics = [], metrics_in(values)
    for key, of in values.groupby(by, observed=True):
        row = {**dict(zip(by, key, strict=True)), "n": len(of), "data": of["data"].iloc[0]}
        for metric in metrics:
            interval = None
            if of[metric].notna().all():  # NaN is one of several samples, where there is one image
                interval = mean_interval(of[metric], level=evaluation.interval)
            row |= {metric: np.mean(of[metric]), **ends(metric, interval or (np.nan, np.nan))}
        rows.append(row)
    table = pd.DataFrame(rows, columns=[*by, "n", *metric_columns(metrics)])
    return table.astype({key: values[key].dtype for key in by})  # whose order is the settings'


def _cells(rows: pd.DataFrame, study: Study) -> list[list[Cell]]:
    """Rows of one cohort and tracer for reading."""
    return [
        [
            Cell(row.cohort),
            Cell(study.tracer_label(row.tracer)),
            Cell(label(study, row.method)),
            Cell(described(row.sampler)),
            Cell(str(evaluations_of(row.sampler) or NOT_AVAILABLE)),
            Cell(str(row.n)),
            *metrics,
            *way,
        ]
        for row, metrics, way in zip(
            rows.itertuples(), metric_cells(rows), way_cells(rows), strict=True
        )
    ]


def metric_cells(rows: pd.DataFrame) -> Iterator[list[Cell]]:
    """Yield each row's metrics with their intervals, the best mean of each metric in bold."""
    # Compared as printed: a difference nobody can read makes no winner.
    metrics = metrics_in(rows)
    competing = rows[rows["method"] != CEILING]
    best = {
        metric: _printed(metric, METRICS[metric].better.best(values))
        for metric in metrics
        if len(values := competing[metric].dropna()) > 1
    }
    for row in rows.to_dict("records"):
        line = []
        for metric in metrics:
            leads = row["method"] != CEILING and _printed(metric, row[metric]) == best.get(metric)
            line.append(Cell(with_interval(row, metric, _form(metric)), bold=leads))
        yield line


def _form(metric: str) -> str:
    return f".{METRICS[metric].decimals}f"


def _printed(metric: str, value: float) -> str:
    return format(value, _form(metric))


def _caption(result: Result, rows: pd.DataFrame, study: Study) -> str:
    settings = study.settings
    counts = rows.groupby(["cohort", "tracer"], observed=True)["n"].first()
    cohorts = [
        f"{cohort}, n = {same_or_listed(counts[cohort].to_dict())} subjects"
        for cohort in counts.index.unique("cohort")
    ]
    sentences = [
        f"{result.title}: {'; '.join(cohorts)}",
        f"Mean over test subjects {interval_note(settings.evaluation)}; a subject's values are "
        "first averaged over seeds"
        + (" and over the folds' models" if result.role == "external" else ""),
        metrics_note(result, settings, counts.index.unique("tracer")),
        "Evaluations: passes through the network for one image",
        "Bold: best mean per cohort and tracer",
        *way_sentences(rows, study),
    ]
    entries = [settings.methods[m] for m in rows["method"].unique() if m != CEILING]
    of_group = any(entry.updates for entry in entries)
    trained = {entry.trained_as for entry in entries}
    updates = {
        m.counts["updates"] for m in study.models if m.method in trained and not m.single_pass
    }
    if of_group and updates:  # all alike, or they would not be compared
        sentences.append(f"Trained for {updates.pop():,} updates each")
    if rough := too_few(counts.min()):
        sentences.append(rough)
    return ". ".join(sentences) + "."


def interval_note(evaluation: Evaluation) -> str:
    """What stands in brackets."""
    return f"[{100 * evaluation.interval:g}% interval over subjects, Student's t]"


def metrics_note(result: Result, settings: ResultSettings, tracers: Iterable[str]) -> str:
    """How and where the metrics of a result were taken."""
    ranges = {t: f"{width(settings.tracers[t].suvr_window):g}" for t in tracers}
    where = "the brain mask" if result.region == BRAIN else f"{result.region} in the brain mask"
    voxel_mm = settings.grid.voxel_mm
    ranged = (
        f"All metrics inside {where}, voxels of {voxel_mm:g} mm, data range "
        f"{same_or_listed(ranges)} SUVR (width of the tracer's fixed window)"
    )
    notes = dict.fromkeys(METRICS[metric].said(voxel_mm) for metric in result.metrics)
    return "; ".join([ranged, *filter(None, notes)])


def same_or_listed(values: dict[str, object]) -> str:
    """``4`` where all values agree, else ``4 (tau), 3 (amyloid)``."""
    if len(set(values.values())) == 1:
        return str(next(iter(values.values())))
    return ", ".join(f"{value} ({name})" for name, value in values.items())


#: What a decision says of a method that is measured against the floor.
_AGAINST_FLOOR = {
    Verdict.BETTER: "above the floor",
    Verdict.WORSE: "BELOW the floor",
    Verdict.ALIKE: "level with the floor",
    Verdict.SAME: "the same as the floor",
    Verdict.OPEN: "not told from the floor",
    Verdict.TRAININGS: "not told from the floor by its trainings",
}


def _against_floor(decision: Decision, level: float) -> str:
    """Verdict of the table of decisions on a method and the floor, with its p value."""
    of_one = decision.verdict is Verdict.ONE_TRAINING
    verdict = verdict_of(decision, level) if of_one else decision.verdict
    p = decision.p_alike if verdict is Verdict.ALIKE else decision.p_holm
    return f"{_AGAINST_FLOOR[verdict]}{', of one training' if of_one else ''} (p = {p:.2g})"


def _gains(study: Study, result: Result) -> Iterator[str]:
    """Lines that tell who beats the floor: PSNR over tracers, against the first of its family.

    Subject by subject, by Wilcoxon's signed-rank test, Holm's correction over the methods of a
    cohort. Empty where no method of that family was tested.
    """
    level = 1 - study.settings.evaluation.interval
    psnr = replace(result, metrics=("psnr",))
    for methods in study.comparisons(result):
        values = mean_over_tracers(study.values(psnr, methods))
        floor = floor_of(study, list(values["method"].unique()))
        if floor is None:
            continue
        others = [method for method in methods if method != floor]
        found = list(against_first(study, psnr, [floor, *others]))
        for cohort in dict.fromkeys(d.cohort for d in found):
            of = {d.method: d for d in found if d.cohort == cohort}
            base = values.loc[(values["cohort"] == cohort) & (values["method"] == floor), "psnr"]
            trainings = sorted({d.over.trainings if d.over else 1 for d in of.values()})
            counted = " or ".join(map(str, trainings))
            yield (
                f"{cohort}: mean PSNR over tracers, Hodges-Lehmann difference relative to "
                f"{study.label(floor)} ({base.mean():.2f} dB), n = {len(base)} subjects and "
                f"{counted} training{'s' if trainings != [1] else ''} of each, "
                f"Wilcoxon's test with Holm's correction, level {level:.2g}"
            )
            longest = max(len(study.label(method)) for method in of)
            for method, d in sorted(of.items(), key=lambda each: -each[1].comparison.difference):
                gain, told = f"{d.comparison.difference:+.2f} dB", _against_floor(d, level)
                yield f"  {study.label(method):<{longest}}  {gain}  {told}"
            smallest_p = min(d.comparison.smallest_p for d in of.values())
            if len(of) * smallest_p > level:
                yield f"  With n = {len(base)} {found_at_most(smallest_p, len(of))}"
