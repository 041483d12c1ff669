"""Rows of ``relad evaluate`` as one table, and values per subject from it.

A method's value for a subject is the mean over seeds and, in an external cohort, over the folds'
models; in the training cohort each subject is tested by one fold, so folds are concatenated.
Methods that are compared must have been tested on the same tracers, subjects, folds and seeds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from relad.data.overlap import listed
from relad.errors import DataError, ReladError
from relad.fileio import read_json
from relad.results.metrics import METRICS, metrics_in, regions, require_possible
from relad.results.pooled import ERROR, RATIO, pseudo_values
from relad.status import Kind
from relad.study.catalogue import CEILING
from relad.study.sampling import whole
from relad.study.settings import ResultSettings

#: Columns of a table of ``relad evaluate``: one value a row. ``data`` is a :class:`Kind`.
COLUMNS = (
    "cohort",
    "data",
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


def read_scores(files: Iterable[str | Path], settings: ResultSettings) -> pd.DataFrame:
    """Rows of methods, see :func:`read_all`."""
    return read_all(files, settings)[0]


def read_all(
    files: Iterable[str | Path], settings: ResultSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read tables of ``relad evaluate`` and of ``relad ceiling``.

    Parameters
    ----------
    files
        Tables of either.
    settings
        Cohorts, tracers and methods that there are.

    Returns
    -------
    Rows of methods and, kept from what compares these, rows of the ceiling. One row per value, with
    the columns :data:`COLUMNS` and ``file``, the table that it stands in. Cohort, tracer and method
    are ordered as the settings have them, ``value`` is float64, all else text.

    Raises
    ------
    ReladError
        Where a table lacks columns or rows, names something unknown, holds what is no number or
        not possible, or gives a value twice; where a cohort's data are of two kinds; where a
        subject of the training cohort was tested in two folds.
    """
    methods = [*settings.methods, CEILING]
    study = {"cohort": settings.cohorts, "tracer": settings.tracers, "method": methods}
    fixed = {
        "data": [str(kind) for kind in Kind],
        "region": regions(settings.segmentation.regions),
        "metric": METRICS,
    }
    parts = []
    for file in files:
        part = _read(Path(file))
        for column, known in {**study, **fixed}.items():
            unknown = part.loc[~part[column].isin(list(known)), column]
            if len(unknown):
                where = "in the settings" if column in study else f"one of {', '.join(known)}"
                raise ReladError(
                    f"{column} {unknown.iloc[0]!r} is not {where}",
                    file=file,
                    hint="give the study's own --settings"
                    if column in study
                    else "evaluate again with this version"
                    + (" or name it in segmentation.regions" if column == "region" else ""),
                )
        _require_counted(part, file)
        part = part.assign(value=_numbers(part["value"], file), file=str(file))
        for metric, values in part.groupby("metric")["value"]:
            for value in (values.min(), values.max()):
                require_possible(metric, value, file)
        parts.append(part)
    if not parts:
        return pd.DataFrame(columns=[*COLUMNS, "file"]), pd.DataFrame(columns=[*COLUMNS, "file"])
    scores = pd.concat(parts, ignore_index=True)
    again = scores[scores.duplicated([c for c in COLUMNS if c not in ("data", "value")])]
    for row in again.itertuples():
        raise ReladError(
            f"{row.metric} of subject {row.subject}, {row.tracer}, {row.method} fold {row.fold} "
            f"seed {row.seed} is given twice",
            file=row.file,
        )
    ceiling = scores["method"] == CEILING
    for cohort, kinds in scores[~ceiling].groupby("cohort")["data"].unique().items():
        if len(kinds) > 1:
            raise ReladError(
                f"data of cohort {cohort} are both {' and '.join(sorted(kinds))}",
                file=file_of(scores[(scores["cohort"] == cohort) & (scores["data"] == kinds[1])]),
                hint="give the metrics of one packed cohort",
            )
    _require_one_fold(scores[~ceiling], settings)
    for column, known in study.items():
        scores[column] = pd.Categorical(scores[column], list(known))
    scores["file"] = scores["file"].astype("category")
    of_methods = scores[~ceiling].reset_index(drop=True)
    of_methods["method"] = of_methods["method"].cat.set_categories(list(settings.methods))
    return of_methods, scores[ceiling]


def file_of(rows: pd.DataFrame) -> str | None:
    """The first table that some rows stand in, for errors; None where there are no rows."""
    return str(rows["file"].iloc[0]) if len(rows) else None


def _read(file: Path) -> pd.DataFrame:
    """Read one table as text."""
    try:
        # As text, and "NA" too: an id such as 007 or 1e5 is a name. The header is read as a row, so
        # that longer rows are an error.
        table = pd.read_csv(
            file, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except FileNotFoundError:
        raise ReladError("no such table", file=file) from None
    except ValueError as error:  # of the encoding, and those of pandas
        raise DataError(
            f"not a readable table ({' '.join(str(error).split())})", file=file
        ) from None
    part = table[1:].set_axis(table.iloc[0], axis=1)
    if twice := [column for column in COLUMNS if list(part.columns).count(column) > 1]:
        raise DataError(f"has the columns {', '.join(twice)} twice", file=file)
    lacking = [column for column in COLUMNS if column not in part]
    if lacking:
        raise DataError(
            f"lacks the columns {', '.join(lacking)}",
            file=file,
            hint="give tables of `relad evaluate` of this version",
        )
    if part.empty and not _explained(file):
        raise DataError("has no rows", file=file, hint="run `relad evaluate` again")
    return part[list(COLUMNS)]


def _explained(file: Path) -> bool:
    """Whether the record beside a table says why nobody is in it."""
    record = file.with_suffix(".json")
    told = read_json(record) if record.exists() else {}
    return bool(told.get("left_out") or told.get("untrained"))


def _require_counted(part: pd.DataFrame, file: str | Path) -> None:
    """Refuse folds and seeds of methods that are no whole numbers: "00" would be another seed."""
    of_methods = part[part["method"] != CEILING]
    for column in ("fold", "seed"):
        for text in of_methods[column].unique():
            if not re.fullmatch("0|[1-9][0-9]*", text):
                raise DataError(
                    f"{column} {text!r} is not a whole number",
                    file=file,
                    hint="run `relad evaluate` again",
                )


def _require_one_fold(scores: pd.DataFrame, settings: ResultSettings) -> None:
    """Refuse subjects of the training cohort who were tested in two folds.

    All but one of these models were trained or chosen with them.
    """
    home = [cohort for cohort, entry in settings.cohorts.items() if entry.role == "train"]
    tested = scores[scores["cohort"].isin(home)].drop_duplicates(["cohort", "subject", "fold"])
    twice = tested[tested.duplicated(["cohort", "subject"])]
    for row in twice.itertuples():
        other = tested[(tested["cohort"] == row.cohort) & (tested["subject"] == row.subject)]
        raise ReladError(
            f"subject {row.subject} of {row.cohort} is tested in fold {row.fold} and, in "
            f"{other['file'].iloc[0]}, in fold {other['fold'].iloc[0]}: not both models can have "
            "been trained without them",
            file=row.file,
            hint="give the metrics of one division into folds",
        )


def _numbers(texts: pd.Series, file: str | Path) -> np.ndarray:
    """:func:`number_of` each, as float64, at once where all are numbers."""
    try:
        numbers = texts.to_numpy(object).astype(np.float64)
    except ValueError:
        numbers = np.array([np.nan])
    if np.isnan(numbers).any():
        numbers = np.array([number_of(text, file) for text in texts])
    return numbers


def number_of(text: str, file: str | Path) -> float:
    """Value of a row of `relad evaluate`, which may be infinite.

    Raises
    ------
    DataError
        Where it is not a number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        hint = "run `relad evaluate` again"
        raise DataError(f"value {text!r} is not a number", file=file, hint=hint)
    return value


def subject_values(
    scores: pd.DataFrame,
    cohorts: Sequence[str],
    methods: Sequence[str],
    metrics: Sequence[str],
    region: str,
    *,
    single_samples: bool = False,
) -> pd.DataFrame:
    """Values of every subject for methods that are compared.

    Parameters
    ----------
    scores
        As :func:`read_scores` gives them.
    cohorts, methods
        Those to compare; what has no values is left out.
    metrics, region
        What to compare them by, and where it was measured.
    single_samples
        Whether a method whose image is the mean of several samples also has rows of one of them.

    Returns
    -------
    One row per subject, with the columns cohort, data, tracer, method, sampler, subject and the
    metrics, in the settings' order and by subject. A metric of several samples is NaN for a method
    that has one image. Of spread over error they are pseudo-values, see
    :mod:`relad.results.pooled`.

    Raises
    ------
    ReladError
        Where one method was sampled in two ways, or was tested on other tracers, subjects, folds or
        seeds than another: their means cannot be compared; or where a value is infinite.
    """
    chosen = scores[scores["cohort"].isin(cohorts) & scores["method"].isin(methods)]
    chosen = chosen[chosen["region"] == region]
    errors = chosen[chosen["metric"] == ERROR]
    chosen = chosen[chosen["metric"].isin(metrics)]
    for (cohort, method), of in chosen.groupby(["cohort", "method"], observed=True):
        samplers = whole(of["sampler"])
        if len(samplers) > 1:
            raise ReladError(
                f"{method} was sampled with {' and '.join(samplers)} in cohort {cohort}",
                file=file_of(of[of["sampler"] == samplers[1]]),
                hint="give the tables of one sampler",
            )
        if not single_samples:
            chosen = chosen.drop(of.index[of["sampler"] != samplers[0]])
    for cohort, of in chosen.groupby("cohort", observed=True):
        require_tested_alike(of, metrics, str(cohort))
    _require_finite(chosen)
    keys = ["cohort", "data", "tracer", "method", "sampler", "subject"]
    means = chosen.groupby([*keys, "metric"], observed=True)["value"].mean()
    table = means.unstack("metric")
    if RATIO in table:
        ratios = chosen[chosen["metric"] == RATIO]
        table[RATIO] = pseudo_values(pd.concat([ratios, errors]), keys)
    return table.reindex(columns=list(metrics)).reset_index()


def _require_finite(scores: pd.DataFrame) -> None:
    """Refuse rows of which one is infinite: no mean over subjects has a meaning with it.

    Raises
    ------
    ReladError
        Naming the method, the person and the table.
    """
    for row in scores[~np.isfinite(scores["value"].astype(float))].head(1).itertuples():
        raise ReladError(
            f"{row.metric} of {row.method} is infinite for subject {row.subject} of {row.cohort} "
            f"({row.tracer}), so that it cannot be compared",
            file=row.file,
            hint="look at its image: is it the true one, or without any structure?",
        )


def require_tested_alike(scores: pd.DataFrame, metrics: Sequence[str], cohort: str) -> None:
    """Refuse methods, or samplings, of which one has values of a test that another has none of.

    Parameters
    ----------
    scores
        Rows of one cohort and region, of these metrics.

    Raises
    ------
    ReladError
        Naming both and the tracers, subjects, or folds and seeds.
    """
    tests = ["tracer", "subject", "fold", "seed"]
    # Numbers of tests compare more quickly than what they stand for.
    number = scores.groupby(tests, sort=False, observed=True).ngroup()
    tested = {}
    for (method, sampler), of in scores.groupby(["method", "sampler"], observed=True):
        by_metric = {
            metric: set(rows.tolist()) for metric, rows in number[of.index].groupby(of["metric"])
        }
        for metric in metrics:
            if metric not in by_metric and METRICS[metric].of_single:
                raise ReladError(
                    f"no {metric} of {method} in cohort {cohort}, though other metrics",
                    file=file_of(of),
                    hint="run `relad evaluate` of this version again for it",
                )
            if metric in by_metric:
                tested[method, sampler, metric] = by_metric[metric]
    (first, sampling, of), expected = next(iter(tested.items()))
    for (method, sampler, metric), found in tested.items():
        if found != expected:
            one, other = method, first
            if method == first:
                one, other = f"{method} by {sampler}", f"by {sampling}"
                if sampler == sampling:
                    one, other = method, f"{method} ({of})"
            test = min(found ^ expected)
            without = (first, sampling) if test in found else (method, sampler)
            known = list(scores[tests].drop_duplicates().itertuples(index=False, name=None))
            odd = _odd({known[n] for n in found}, {known[n] for n in expected}, cohort)
            raise ReladError(
                f"{one} ({metric}) and {other} were not tested {odd}",
                file=_should_hold(scores, number == test, without),
                hint="give the metrics of the same tracers, folds and seeds for every method",
            )


def _should_hold(scores: pd.DataFrame, test: pd.Series, run: tuple[str, str]) -> str | None:
    """The table of a method and sampler in which a test is lacking: that of its fold and seed."""
    mine = scores[(scores["method"] == run[0]) & (scores["sampler"] == run[1])]
    wanted = scores[test].iloc[0]
    of_model = mine[(mine["fold"] == wanted["fold"]) & (mine["seed"] == wanted["seed"])]
    return file_of(of_model if len(of_model) else mine)


def _odd(first: set[tuple[str, ...]], second: set[tuple[str, ...]], cohort: str) -> str:
    """What of two sets of tests, each a tracer, subject, fold and seed, is in one of them alone."""
    tracers = {tracer for tracer, *_ in first} ^ {tracer for tracer, *_ in second}
    if tracers:
        return f"for the same tracers of {cohort}: {', '.join(sorted(tracers))}"
    subjects = {test[:2] for test in first} ^ {test[:2] for test in second}
    if subjects:
        tracer = min(subjects)[0]
        odd = sorted(subject for of, subject in subjects if of == tracer)
        return f"on the same subjects of {cohort} ({tracer}): {listed(odd)}"
    models = {test[2:] for test in first} ^ {test[2:] for test in second}
    if models:
        told = listed([f"fold {fold} seed {seed}" for fold, seed in sorted(models)])
        return f"with the same folds and seeds in {cohort}: {told}"
    tracer, _, fold, seed = min(first ^ second, key=lambda test: (test[2:], test))
    odd = sorted(test[1] for test in first ^ second if (test[0], *test[2:]) == (tracer, fold, seed))
    return (
        f"on the same subjects of {cohort} with fold {fold} seed {seed} ({tracer}): {listed(odd)}"
    )


def mean_over_tracers(values: pd.DataFrame) -> pd.DataFrame:
    """Mean of each subject's tracers: rows as :func:`subject_values`, without ``tracer``.

    Of a method with several samplings, a row of each.
    """
    keys = ["cohort", "data", "method", "sampler", "subject"]
    return values.groupby(keys, observed=True)[metrics_in(values)].mean().reset_index()
