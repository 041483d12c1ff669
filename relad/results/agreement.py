"""Agreement of two measurements of the same people: here of synthetic with real SUVR.

Every function takes one value per subject, in the same order and unit, and no NaN. What cannot be
told from so few people, or of values that are all the same, is None.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Bland and Altman's limits hold 95 % of the differences, where these are about normal.
LIMITS_SD = 1.96
#: Fewest subjects whose correlation has an interval: Fisher's z has the variance 1 / (n - 3).
MIN_CORRELATED = 4
#: Spread of values, as a share of the largest, that is the rounding of images alone.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Agreement:
    """How well synthetic values agree with real ones.

    Attributes
    ----------
    n
        Subjects.
    bias, bias_percent
        Mean of synthetic minus real, in the unit of the values; mean of the same relative to each
        subject's real value, in %, None where one of these is not above 0.
    limits
        Limits of agreement, bias -/+ 1.96 standard deviations of the differences (Bland & Altman,
        Lancet 327, 1986).
    ccc, icc
        See :func:`concordance` and :func:`icc_a1`.
    r, r_interval
        Pearson's correlation over subjects, and its interval by Fisher's z.
    """

    n: int
    bias: float
    bias_percent: float | None
    limits: tuple[float, float] | None
    ccc: float | None
    icc: float | None
    r: float | None
    r_interval: tuple[float, float] | None


def agreement(synthetic: np.ndarray, real: np.ndarray, *, level: float) -> Agreement:
    """All of it; ``level`` is the coverage of the correlation's interval.

    Raises
    ------
    ValueError
        Where the two are not (n,) finite values each.
    """
    synthetic, real = np.asarray(synthetic, np.float64), np.asarray(real, np.float64)
    if synthetic.ndim != 1 or synthetic.shape != real.shape or synthetic.size == 0:
        raise ValueError(f"cannot pair values of shapes {synthetic.shape} and {real.shape}")
    if not (np.isfinite(synthetic).all() and np.isfinite(real).all()):
        raise ValueError("a value is not finite")
    difference = synthetic - real
    bias, n = float(difference.mean()), len(difference)
    limits = None
    if n > 1:
        wide = LIMITS_SD * float(difference.std(ddof=1))
        limits = (bias - wide, bias + wide)
    r, interval = correlation(synthetic, real, level=level)
    return Agreement(
        n=n,
        bias=bias,
        bias_percent=float(100 * np.mean(difference / real)) if (real > 0).all() else None,
        limits=limits,
        ccc=concordance(synthetic, real),
        icc=icc_a1(np.stack([synthetic, real], axis=1)),
        r=r,
        r_interval=interval,
    )


def concordance(first: np.ndarray, second: np.ndarray) -> float | None:
    """Concordance correlation coefficient (Lin, Biometrics 45, 1989), moments over n.

    2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2): 1 where both are the same in everybody.
    """
    apart = (first.mean() - second.mean()) ** 2
    total = first.var() + second.var() + apart
    if len(first) < 2 or total == 0:
        return None
    covariance = np.mean((first - first.mean()) * (second - second.mean()))
    return float(2 * covariance / total)


def icc_a1(ratings: np.ndarray) -> float | None:
    """Intraclass correlation ICC(A,1): two-way, absolute agreement, one measurement.

    McGraw & Wong, Psychological Methods 1, 1996; the ICC(2,1) of Shrout & Fleiss, Psychological
    Bulletin 86, 1979.

    Parameters
    ----------
    ratings
        (n, k) values of n subjects by k measurements.
    """
    n, k = ratings.shape
    if n < 2 or k < 2:
        return None
    mean = ratings.mean()
    rows, columns = ratings.mean(axis=1), ratings.mean(axis=0)
    of_rows = k * np.sum((rows - mean) ** 2) / (n - 1)
    of_columns = n * np.sum((columns - mean) ** 2) / (k - 1)
    error = np.sum((ratings - rows[:, None] - columns + mean) ** 2) / ((n - 1) * (k - 1))
    total = of_rows + (k - 1) * error + k * (of_columns - error) / n
    return float((of_rows - error) / total) if total else None


def correlation(
    first: np.ndarray, second: np.ndarray, *, level: float
) -> tuple[float | None, tuple[float, float] | None]:
    """Pearson's r and its interval; without spread there is none, of few subjects no interval."""
    if len(first) < 3 or any(np.ptp(of) <= ROUNDING * np.abs(of).max() for of in (first, second)):
        return None, None
    found = stats.pearsonr(first, second)
    if len(first) < MIN_CORRELATED:
        return float(found.statistic), None
    low, high = found.confidence_interval(level)
    return float(found.statistic), (float(low), float(high))
