"""The table of samplers: quality of one trained model against its network evaluations."""

from __future__ import annotations

from typing import Any

from relad.results.metrics import METRICS
from relad.results.scores import Scores, cohorts_of, mean_over_tracers, simulated
from relad.results.statistics import FEW_SUBJECTS
from relad.results.tables.accuracy import (
    data_ranges,
    mean_and_interval,
    methods_label,
    metric_cells,
    metrics_note,
)
from relad.results.tables.rendering import Cell, Table
from relad.study.provenance import simulated_note
from relad.study.sampling import Sampling

COLUMNS = (
    "cohort",
    "method",
    "sampler",
    "steps",
    "samples",
    "evaluations",
    "n",
    *(column for m in METRICS for column in (m, f"{m}_low", f"{m}_high")),
    "data",
)


def sampler_rows(scores: dict[Sampling, Scores], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per cohort, method and sampling.

    A subject's value is the mean over its tracers; mean and interval are over subjects.
    """
    evaluation = settings["evaluation"]
    rows = []
    for cohort in cohorts_of(settings, "train"):
        for method in settings["methods"]:
            for sampling, of_sampling in scores.items():
                row: dict[str, Any] = {
                    "cohort": cohort,
                    "method": method,
                    "sampler": sampling.sampler,
                    "steps": sampling.steps,
                    "samples": sampling.samples,
                    "evaluations": sampling.evaluations,
                }
                for metric in METRICS:
                    values = list(mean_over_tracers(of_sampling, cohort, method, metric).values())
                    if not values:
                        break
                    row |= {"n": len(values), **mean_and_interval(metric, values, evaluation)}
                else:
                    row["data"] = "simulated" if simulated(settings, [cohort]) else "real"
                    rows.append(row)
    return rows


def sampler_table(scores: dict[Sampling, Scores], settings: dict[str, Any]) -> Table | None:
    """Build the table ``samplers``, None where nothing was given for it."""
    rows = sampler_rows(scores, settings)
    if not rows:
        return None
    evaluation = settings["evaluation"]
    cohorts = list(dict.fromkeys(row["cohort"] for row in rows))
    counts = sorted({row["n"] for row in rows})
    ranges = data_ranges(settings, settings["tracers"])
    sentences = [
        f"Quality against network evaluations: {', '.join(cohorts)}, "
        f"n = {' to '.join(map(str, counts))} subjects. One trained model per method, fold and "
        "seed; only how it is sampled differs",
        "Of several samples the mean is taken (expectation approximation)",
        f"Mean over test subjects [{100 * evaluation['interval']:g}% bootstrap interval over "
        f"subjects, {evaluation['bootstrap']} resamples] of each subject's mean over tracers",
        metrics_note(ranges),
        "Bold: best mean per cohort and method",
    ]
    if counts[0] < FEW_SUBJECTS:
        sentences.append(f"With n = {counts[0]} the intervals are too rough")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["cohort"], row["method"]), []).append(row)
    return Table(
        name="samplers",
        caption=". ".join(sentences) + ".",
        warning=simulated_note(settings) if simulated(settings, cohorts) else "",
        columns=COLUMNS,
        rows=rows,
        headers=(
            *("Cohort", "Method", "Sampler", "Steps", "Samples", "Evaluations"),
            *("PSNR (dB)", "SSIM", "MAE (SUVR)"),
        ),
        groups=[
            [
                [Cell(row["cohort"]), Cell(methods_label(row, settings))]
                + [Cell(str(row[k])) for k in ("sampler", "steps", "samples", "evaluations")]
                + metrics
                for row, metrics in zip(group, metric_cells(group), strict=True)
            ]
            for group in groups.values()
        ],
    )
