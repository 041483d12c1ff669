"""How much of the way from the floor to the ceiling a method goes, where the ceiling is known.

The ceiling is what anatomy, stage and lesions determine of simulated PET (`relad ceiling`); it is
compared with the PET as a method's image is, but it is no competitor: its rows are kept apart, no
test counts it. The way is told in mean squared error. With c the ceiling, y the PET and f an image,
E (y - f)^2 = E (y - c)^2 + E (c - f)^2 as far as what c leaves of y is of mean 0 given all that an
image could be made of. So

    way = (MSE_floor - MSE_method) / (MSE_floor - MSE_ceiling) = 1 - E (c - f)^2 / E (c - floor)^2

is the share of what could be known of the PET beyond the floor that the method knows: 0 for the
floor and 1 for the ceiling, and the noise of the PET, the same in all four terms, drops out of it.
In dB or SUVR there is no such sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from relad.errors import ReladError
from relad.results.intervals import with_ends
from relad.results.origin import Origin
from relad.results.scores import file_of
from relad.results.study import Study
from relad.study.catalogue import CEILING, FLOOR, Result

#: Columns of a method's way in percent, with the ends of its interval.
WAY = with_ends("way")
#: Metric whose rows tell the squared error that the way is of.
WAY_METRIC = "psnr"


def floor_of(study: Study | Origin, methods: Sequence[str]) -> str | None:
    """First method of the family :data:`FLOOR` among those that are compared."""
    known = study.settings.methods
    return next((method for method in methods if known[method].family == FLOOR), None)


def ceiling_values(study: Study, result: Result, values: pd.DataFrame) -> pd.DataFrame:
    """Values of the ceiling for the subjects of whose cohort and tracer methods have values.

    Parameters
    ----------
    values
        Of methods, as :meth:`Study.values` gives them.

    Returns
    -------
    Rows as ``values``; none of a cohort whose ceiling nobody knows, nor for a result that does not
    show it.

    Raises
    ------
    ReladError
        Where it was not measured for somebody of a cohort that has one.
    """
    if CEILING not in result.needs or study.ceiling.empty or values.empty:
        return values[:0]
    keys = ["cohort", "tracer", "subject"]
    found = study.values(result, [CEILING], study.ceiling).drop(columns="data")
    tested = values[values["cohort"].isin(found["cohort"])]
    matched = tested[[*keys, "data"]].drop_duplicates().merge(found, how="left", on=keys)
    for row in matched[matched["method"].isna()].itertuples():
        raise ReladError(
            f"methods were tested on subject {row.subject} of {row.cohort}, whose ceiling "
            f"({row.tracer}) was not measured",
            file=file_of(study.ceiling[study.ceiling["cohort"] == row.cohort]),
            hint="run `relad ceiling` again on the cohort that they were tested on",
        )
    return matched[list(values.columns)]


def ways(study: Study, result: Result, methods: Sequence[str]) -> pd.DataFrame:
    """Way of every method that is compared, by cohort with a ceiling and tracer, in percent.

    Returns
    -------
    One row each, the ceiling's last, with the columns cohort, tracer, method and :data:`WAY`. NaN
    where the ceiling is no better than the floor; without an interval for floor and ceiling, whose
    0 and 100 are no estimates, and where the subjects tell none.
    """
    floor, level = floor_of(study, methods), study.settings.evaluation.interval
    squared = replace(
        study, scores=_squared_errors(study.scores), ceiling=_squared_errors(study.ceiling)
    )
    result = replace(result, metrics=(WAY_METRIC,))
    values = squared.values(result, methods)
    rows = []
    best = ceiling_values(squared, result, values)
    for (cohort, tracer), of in best.groupby(["cohort", "tracer"], observed=True):
        here = values[(values["cohort"] == cohort) & (values["tracer"] == tracer)]
        error = here.pivot(index="subject", columns="method", values=WAY_METRIC)
        if floor not in error:
            continue
        most = error[floor] - of.set_index("subject")[WAY_METRIC].reindex(error.index)
        for method in error:
            share, interval = ratio_of_means(error[floor] - error[method], most, level=level)
            low, high = interval if interval and method != floor else (np.nan, np.nan)
            rows.append((cohort, tracer, str(method), 100 * share, 100 * low, 100 * high))
        rows.append((cohort, tracer, CEILING, 100.0, np.nan, np.nan))
    return pd.DataFrame(rows, columns=["cohort", "tracer", "method", *WAY])


def _squared_errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Rows of PSNR alone, their value the mean squared error as a share of the squared range."""
    psnr = scores[scores["metric"] == WAY_METRIC]
    return psnr.assign(value=10 ** (-psnr["value"] / 10))


def ratio_of_means(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, *, level: float
) -> tuple[float, tuple[float, float] | None]:
    """Mean of the first over that of the second, paired by subject, with Fieller's interval.

    The interval holds the ratios r for which Student's t does not tell first - r second from 0
    (Fieller, J. R. Stat. Soc. B 16, 1954).

    Parameters
    ----------
    first, second
        (n,) one value per subject, in the same order.
    level
        Coverage, e.g. 0.95.

    Returns
    -------
    The ratio, NaN where the second's mean is not above 0, and (low, high); None for fewer than two
    subjects, and where the second's mean is not told from 0, so that no ratio is ruled out.
    """
    pair = np.array([first, second], dtype=np.float64)
    a, b = pair.mean(axis=1)
    if not b > 0:
        return np.nan, None
    n = pair.shape[1]
    if n < 2:
        return float(a / b), None
    t2 = stats.t.ppf((1 + level) / 2, n - 1) ** 2
    (aa, ab), (_, bb) = np.cov(pair) / n
    # (a - r b)^2 <= t^2 (aa - 2 r ab + r^2 bb), solved for r
    square, linear, constant = b * b - t2 * bb, a * b - t2 * ab, a * a - t2 * aa
    if not square > 0:
        return float(a / b), None
    root = np.sqrt(max(linear * linear - square * constant, 0.0))
    return float(a / b), (float((linear - root) / square), float((linear + root) / square))
