"""Rows of ``relad evaluate`` as values per subject, ready for tables and figures.

A method's value for a subject is the mean over seeds and, in an external cohort, over the folds'
models; in the training cohort each subject is tested by one fold, so folds are concatenated.
Methods that are compared must have been tested on the same subjects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relad.errors import DataError, ReladError
from relad.fileio import read_table
from relad.results.metrics import METRICS
from relad.study.config import group_members
from relad.study.sampling import Sampling

#: Columns of a table of ``relad evaluate``: one value a row.
COLUMNS = (
    "cohort",
    "method",
    "sampler",
    "fold",
    "seed",
    "subject",
    "tracer",
    "region",
    "metric",
    "value",
)

#: Region of the values that tables and figures show: the subject's brain mask.
REGION = "brain"

#: (cohort, tracer, method, metric) -> subject -> value.
Scores = dict[tuple[str, str, str, str], dict[str, float]]


def read_scores(files: Iterable[str | Path], settings: dict[str, Any]) -> Scores:
    """Read metric tables and average each subject's values over seeds and models.

    Parameters
    ----------
    files
        Tables of ``relad evaluate``.
    settings
        With the sections ``cohorts``, ``tracers`` and ``methods``.

    Returns
    -------
    Values per cohort, tracer, method and metric; only the region "brain".

    Raises
    ------
    ReladError
        Where a table lacks columns, names what the settings do not know, gives a value twice, or
        mixes samplers within one method.
    """
    known = {"cohort": settings["cohorts"], "tracer": settings["tracers"]}
    known["method"] = settings["methods"]
    values: dict[tuple[str, str, str, str], dict[str, list[float]]] = {}
    samplers: dict[tuple[str, str], str | None] = {}
    seen: set[tuple[Any, ...]] = set()
    for file in files:
        for row in read_table(file):
            lacking = [column for column in COLUMNS if column not in row]
            if lacking:
                raise DataError(
                    f"lacks the columns {', '.join(lacking)}",
                    file=file,
                    hint="give tables of `relad evaluate`",
                )
            if row["region"] != REGION or row["metric"] not in METRICS:
                continue
            for column, names in known.items():
                if row[column] not in names:
                    raise ReladError(
                        f"{column} {row[column]!r} is not in the settings",
                        file=file,
                        hint="give the study's own --settings",
                    )
            identity = tuple(row[column] for column in COLUMNS if column != "value")
            if identity in seen:
                raise ReladError(
                    f"{row['metric']} of subject {row['subject']}, {row['tracer']}, "
                    f"{row['method']} fold {row['fold']} seed {row['seed']} is given twice",
                    file=file,
                )
            seen.add(identity)
            run = (row["cohort"], row["method"])
            if samplers.setdefault(run, row["sampler"]) != row["sampler"]:
                raise ReladError(
                    f"{row['method']} was sampled with {samplers[run]} and {row['sampler']}",
                    file=file,
                    hint="give the tables of one sampler",
                )
            key = (row["cohort"], row["tracer"], row["method"], row["metric"])
            by_subject = values.setdefault(key, defaultdict(list))
            by_subject[row["subject"]].append(_number(row["value"], file))
    return {
        key: {subject: float(np.mean(by_subject[subject])) for subject in sorted(by_subject)}
        for key, by_subject in values.items()
    }


def read_sampler_scores(
    files: Iterable[str | Path], settings: dict[str, Any]
) -> dict[Sampling, Scores]:
    """Read metric tables of several samplings, each file of one, as :func:`read_scores` does.

    Returns
    -------
    Scores by sampling, ordered by sampler, steps and samples.
    """
    by_sampling: dict[Sampling, list[str | Path]] = defaultdict(list)
    for file in files:
        rows = read_table(file)
        try:
            by_sampling[Sampling.parse(rows[0]["sampler"])].append(file)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"is no table of a diffusion method's metrics ({error})",
                file=file,
                hint="give tables of `relad evaluate` of the sampler study",
            ) from None
    order = sorted(by_sampling, key=lambda s: (s.sampler, s.steps, s.samples))
    return {sampling: read_scores(by_sampling[sampling], settings) for sampling in order}


def _number(text: str | None, file: str | Path) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if np.isnan(value):
        raise DataError(f"value {text!r} is not a number", file=file)
    return value


def subjects_of(scores: Scores, cohort: str, tracer: str, methods: Sequence[str]) -> list[str]:
    """List the test subjects that all ``methods`` with values for this cohort and tracer share.

    Raises
    ------
    ReladError
        Where one method was tested on other subjects than another: their means cannot be compared.
    """
    first: tuple[str, set[str]] | None = None
    for method in methods:
        for metric in METRICS:
            subjects = set(scores.get((cohort, tracer, method, metric), ()))
            if not subjects:
                continue
            if first is None:
                first = (method, subjects)
            elif subjects != first[1]:
                odd = sorted(subjects ^ first[1])
                raise ReladError(
                    f"{method} and {first[0]} were not tested on the same subjects of {cohort} "
                    f"({tracer}): {', '.join(odd[:5])}{', ...' if len(odd) > 5 else ''}",
                    hint="give the metrics of the same folds for every method",
                )
    return sorted(first[1]) if first else []


def values_of(
    scores: Scores, cohort: str, tracer: str, method: str, metric: str
) -> np.ndarray | None:
    """Values (n,) of one method in the order of :func:`subjects_of`; None if it has none."""
    by_subject = scores.get((cohort, tracer, method, metric))
    return np.array([by_subject[s] for s in sorted(by_subject)]) if by_subject else None


def mean_over_tracers(scores: Scores, cohort: str, method: str, metric: str) -> dict[str, float]:
    """Mean over each subject's tracers, by subject."""
    collected: dict[str, list[float]] = defaultdict(list)
    for key in sorted(scores):
        if (key[0], key[2], key[3]) == (cohort, method, metric):
            for subject, value in scores[key].items():
                collected[subject].append(value)
    return {subject: float(np.mean(collected[subject])) for subject in sorted(collected)}


# --- what the settings say about cohorts and methods --------------------------------------------


def cohorts_of(settings: dict[str, Any], role: str) -> list[str]:
    """Cohorts with role ``train`` or ``external``, in the configuration's order."""
    return [name for name, cohort in settings["cohorts"].items() if cohort["role"] == role]


def main_methods(settings: dict[str, Any]) -> list[str]:
    """Methods of the main comparison, in the configuration's order."""
    return group_members(settings, "main")


def ablation_groups(settings: dict[str, Any]) -> dict[str, list[str]]:
    """Each ablated method with its ablations, in the configuration's order."""
    groups: dict[str, list[str]] = {}
    for name in group_members(settings, "ablation"):
        groups.setdefault(settings["methods"][name]["ablates"], []).append(name)
    return groups


def simulated(settings: dict[str, Any], cohorts: Iterable[str]) -> bool:
    """Whether one of these cohorts is a phantom."""
    return any(settings["cohorts"][name]["source"] == "phantom" for name in cohorts)
