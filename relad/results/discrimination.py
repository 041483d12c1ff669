"""How well a score tells positive people from negative ones.

Every function takes one score per subject and whether the subject is positive, in the same order; a
higher score speaks for positive.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats

_TINY = 1e-9
_EXCHANGES = 1999


def auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve; ties count half. None where one class is empty."""
    from sklearn.metrics import roc_auc_score

    if not 0 < positive.sum() < len(positive):
        return None
    return float(roc_auc_score(positive, scores))


def auc_interval(
    area: float, n_positive: int, n_negative: int, *, level: float
) -> tuple[float, float]:
    """Interval of an AUC by inverting its score test (Newcombe, Statistics in Medicine 25, 2006).

    Method 5 there: all areas A within z standard errors of the one found, the error at A being that
    of Hanley & McNeil (Radiology 143, 1982) with the mean number of people in both classes. It has
    a width where nobody is ranked wrongly, and covers what it says from about ten people on, where
    DeLong's and the bootstrap's collapse (docs/evaluation.md).
    """
    z = stats.norm.ppf((1 + level) / 2)
    most = (n_positive + n_negative) / 2 - 1

    def beyond(at: float) -> float:
        more = most * ((1 - at) / (2 - at) + at / (1 + at))
        variance = at * (1 - at) * (1 + more) / (n_positive * n_negative)
        return abs(at - area) - z * math.sqrt(max(variance, 0.0))

    inside = min(max(area, _TINY), 1 - _TINY)  # at 0 and 1 themselves there is no error
    low = 0.0 if area == 0 else optimize.brentq(beyond, 0.0, inside)
    high = 1.0 if area == 1 else optimize.brentq(beyond, inside, 1.0)
    return float(low), float(high)


def paired_auc_p(first: np.ndarray, second: np.ndarray, positive: np.ndarray) -> float:
    """Two-sided p value of no difference between the AUCs of two scores of the same people.

    A permutation test (Bandos, Rockette & Gur, Statistics in Medicine 24, 2005): where neither
    score tells more, a person's ranks by the one and by the other may be exchanged. Of
    :data:`_EXCHANGES` random exchanges, from a fixed seed, and that of nobody.
    """
    ranks = np.stack([stats.rankdata(first), stats.rankdata(second)])
    draws = np.random.default_rng(len(positive)).random((_EXCHANGES, len(positive))) < 0.5
    exchanged = np.concatenate([np.zeros((1, len(positive)), dtype=bool), draws])
    one, other = (np.where(exchanged, ranks[1 - k], ranks[k]) for k in (0, 1))
    difference = np.abs(_areas(one, positive) - _areas(other, positive))
    return float((difference >= difference[0] - _TINY).mean())


def _areas(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """AUCs (r,) of scores (r, n)."""
    of = scores[:, ~positive]
    won = sum((s[:, None] > of).mean(axis=1) + (s[:, None] == of).mean(axis=1) / 2
              for s in scores[:, positive].T)  # fmt: skip
    return won / positive.sum()


def share_interval(hits: int, of: int, *, level: float) -> tuple[float, float]:
    """Interval of a share, such as a sensitivity (Wilson, JASA 22, 1927)."""
    found = stats.binomtest(hits, of).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def smallest_p(n_positive: int, n_negative: int) -> float:
    """Smallest two-sided p of the exact rank-sum test: that of people who are ranked perfectly.

    Where it is above the level, so few people cannot tell any score from chance.
    """
    return min(1.0, 2 / math.comb(n_positive + n_negative, n_positive))


def youden_cut(scores: np.ndarray, positive: np.ndarray, near: float) -> float | None:
    """Cut with the greatest sensitivity + specificity for "score >= cut is positive".

    Candidates lie midway between neighbouring scores; of equally good ones that nearest to ``near``
    is taken. None where one class is empty or all scores are the same.
    """
    known = np.unique(scores)
    if not 0 < positive.sum() < len(positive) or len(known) < 2:
        return None
    cuts = (known[1:] + known[:-1]) / 2
    above = scores[:, None] >= cuts
    gain = above[positive].mean(axis=0) - above[~positive].mean(axis=0)
    best = cuts[gain >= gain.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - near))])
