"""Whether a difference between methods outlasts training them again.

People who were tested with one model share its luck: a paired test over people tells of the very
networks that were trained, and however many people there are, training again may turn it round.
Here the trainings are a sample too, as readers are beside cases in diagnostic imaging (Obuchowski &
Rockette, Communications in Statistics 24, 1995).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from relad.results.statistics import t_detectable

#: Up to so many trainings the sum of variances has no more degrees of freedom than these alone:
#: Satterthwaite's guess, made of so uncertain a variance, has intervals of 95 % that cover 88 % of
#: two trainings and 92 % of three.
_FEW = 3


@dataclass(frozen=True)
class OverTrainings:
    """A mean difference between two methods over their trainings.

    Attributes
    ----------
    trainings
        Trainings, at least two.
    difference
        First minus second, the mean over trainings of the mean over people.
    error
        Its standard error: of trainings, and of people where these were tested by several.
    freedom
        Degrees of freedom of that error.
    """

    trainings: int
    difference: float
    error: float
    freedom: float

    def interval(self, level: float) -> tuple[float, float]:
        """Student's t interval, as wide as a coverage of ``level`` needs."""
        half = float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.difference - half, self.difference + half

    @property
    def p(self) -> float:
        """Two-sided p value of no difference."""
        return 2 * self._tail(abs(self.difference))

    def p_within(self, margin: float) -> float:
        """P value of two one-sided tests that the difference is smaller than a margin."""
        return self._tail(margin - abs(self.difference))

    def _tail(self, above: float) -> float:
        """Chance of a mean that lies this far above what it should be."""
        if self.error == 0:
            return 0.0 if above > 0 else 0.5 if above == 0 else 1.0
        return float(stats.t.sf(above / self.error, self.freedom))

    def detectable(self, *, level: float, power: float) -> float:
        """Smallest difference that the two-sided test at a level would have shown."""
        return _detectable(self.freedom, level, power) * self.error


@cache
def _detectable(freedom: float, level: float, power: float) -> float:
    """As :meth:`OverTrainings.detectable`, in standard errors."""
    n = freedom + 1
    return t_detectable(n, level=level, power=power) * math.sqrt(n)


def over_trainings(differences: np.ndarray) -> OverTrainings | None:
    """Take the mean of paired differences over trainings, and how far it can be trusted.

    Parameters
    ----------
    differences
        (people, trainings) first method minus second; NaN where a training did not test a person.
        Each training tested somebody, and each person was tested.

    Returns
    -------
    None for fewer than two trainings, which tell no spread. Where every person was tested by one
    training, as in cross-validation, it is the t test of the trainings' means, which hold the
    people's spread. Where people were tested by several, the variance of the people's means is
    added, with the degrees of freedom of the sum (Satterthwaite, Biometrics Bulletin 2, 1946); of
    few trainings with theirs alone, which covers more than it says rather than less.
    """
    trainings = differences.shape[1]
    if trainings < 2:
        return None
    means = np.nanmean(differences, axis=0)
    parts = [(means.var(ddof=1) / trainings, trainings - 1)]
    if (np.isfinite(differences).sum(axis=1) > 1).any() and len(differences) > 1:
        people = np.nanmean(differences, axis=1)
        parts.append((people.var(ddof=1) / people.size, people.size - 1))
    variance = sum(part for part, _ in parts)
    spread = sum(part**2 / freedom for part, freedom in parts)
    few = trainings <= _FEW or not spread
    freedom = float(trainings - 1) if few else variance**2 / spread
    return OverTrainings(trainings, float(means.mean()), math.sqrt(variance), float(freedom))
