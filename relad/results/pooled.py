"""Spread over error of several people: the ratio of sums, not the mean of ratios.

One scan's error is one draw, and it is divided by: the mean of a calibrated method's ratios is
above 1 (of eight samples whose errors go together over the image, 1.2). The ratio of sums over
people is not (Fortin et al., Journal of Hydrometeorology 15, 2014).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from relad.errors import ReladError

#: The metric that is pooled, and that which tells the mean squared error of the same image.
RATIO, ERROR = "spread_skill", "psnr"


def ratio_of_sums(ratios: np.ndarray, psnr: np.ndarray) -> float:
    """Root of the summed variance over the summed squared error.

    Parameters
    ----------
    ratios, psnr
        (n,) of each scan: spread over error, and PSNR of the samples' mean in dB, all of one data
        range.
    """
    error = 10 ** (-np.asarray(psnr) / 10)
    return float(np.sqrt((np.asarray(ratios) ** 2 * error).sum() / error.sum()))


def pseudo_values(scores: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """What each subject adds to the ratio of sums over subjects, by the jackknife.

    Its pseudo-values (Miller, Biometrika 61, 1974), moved so that their mean is the ratio itself,
    which is above 0; their interval is the jackknife's. They go where means over subjects are
    taken.

    Parameters
    ----------
    scores
        Rows of both metrics, of one region, and the ``file`` that they stand in.
    keys
        Columns that tell a subject's value, ``subject`` last. Rows of other folds and seeds are of
        other models: their sums are taken.

    Returns
    -------
    By ``keys``; the ratio itself for a single subject.

    Raises
    ------
    ReladError
        Where rows of PSNR are lacking, or a value is infinite.
    """
    run = [*keys, "fold", "seed"]
    both = scores.pivot_table(index=run, columns="metric", values="value", observed=True)
    both = both.reindex(columns=[RATIO, ERROR]).dropna(subset=[RATIO])
    for wrong, what, hint in (
        (
            both[ERROR].isna(),
            f"no {ERROR} beside {RATIO}, which is averaged by it",
            "give the whole METRICS.csv of `relad evaluate`",
        ),
        (
            ~np.isfinite(both).all(axis=1),
            f"{RATIO} or {ERROR} is infinite and cannot be averaged",
            "the mean of that person's samples is the true image: look at both",
        ),
    ):
        for odd in both.index[wrong][:1]:
            told = ", ".join(f"{key} {value}" for key, value in zip(run, odd, strict=True))
            mine = scores[(scores[run] == list(odd)).all(axis=1)]
            raise ReladError(f"{what}: {told}", file=mine["file"].iloc[0], hint=hint)
    error = 10 ** (-both[ERROR] / 10)
    parts = pd.DataFrame({"spread": both[RATIO] ** 2 * error, "error": error})
    of = parts.groupby(level=list(keys), observed=True).sum()
    group = of.groupby(level=list(keys[:-1]), observed=True)
    n, total = group["error"].transform("size"), group.transform("sum")
    others = total - of
    without = np.sqrt(others["spread"] / others["error"].where(n > 1))
    whole = np.sqrt(total["spread"] / total["error"])
    usual = without.groupby(level=list(keys[:-1]), observed=True).transform("mean")
    return (whole - (n - 1) * (without - usual)).where(n > 1, whole).rename(RATIO)
