"""Which differences between methods the subjects decide, and in which words.

A family of comparisons is declared before results are seen: every method of a group against the one
it is measured against, by one metric in one cohort. Each has a paired test, corrected over its
family (Holm), an effect, an estimate with interval, a test of being within a margin that does not
matter, the smallest difference that would have been found, and its spread over seeds. People tell
of the networks that were trained; of the methods a verdict is where trainings agree with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from relad.results.metrics import METRICS, Better
from relad.results.scores import mean_over_tracers
from relad.results.statistics import (
    PairedComparison,
    detectable,
    equivalence_p,
    holm,
    paired_comparison,
)
from relad.results.study import Study
from relad.results.trainings import OverTrainings, over_trainings
from relad.study.catalogue import Result
from relad.study.settings import Evaluation

#: What :func:`compared` compares where more is not simply better.
OF_RIGHT_VALUES = "of a metric with a right value, that of the distances from it"

_NONE = pd.Series(dtype=float)


class Verdict(Enum):
    """What a comparison says of a method and its reference."""

    BETTER = "better"
    WORSE = "worse"
    ALIKE = "alike"
    OPEN = "not decided"
    TRAININGS = "within the spread over trainings"
    ONE_TRAINING = "of one training alone"
    SAME = "the same"


#: What is said of the methods, not of what was made of them here.
FIRM = (Verdict.BETTER, Verdict.WORSE, Verdict.ALIKE)


@dataclass(frozen=True)
class Decision:
    """One method against its reference, by one metric in one cohort.

    Attributes
    ----------
    cohort, data, metric, method, reference
        What was compared; ``data`` is the :class:`relad.status.Kind` of the cohort.
    comparison
        Method minus reference, over subjects, of the subjects' means over tracers. Of a metric
        with a right value it is the difference of their images' distances from it.
    seeds
        Seeds with which both were trained.
    seed_spread
        Standard deviation over these of the mean difference, of the people whom all of them tested;
        NaN for fewer than two seeds, and where they tested nobody in common.
    family
        Comparisons that ``p_holm`` is corrected over.
    p_holm
        P value of a difference, corrected.
    over
        The difference over trainings: of each fold, or of each seed where there is one fold. None
        where both were trained once.
    p_trainings
        P value of a difference over trainings, corrected alike; NaN where both were trained once.
    margin
        Largest difference that does not matter; NaN where the study states none.
    p_alike
        P value of a difference within the margin, corrected alike: over people and over trainings,
        the larger.
    detectable
        Smallest difference that the study's power would have shown at Holm's first step, over
        people and over trainings.
    verdict
        What follows at the study's level.
    """

    cohort: str
    data: str
    metric: str
    method: str
    reference: str
    comparison: PairedComparison
    seeds: int
    seed_spread: float
    family: int
    p_holm: float
    over: OverTrainings | None
    p_trainings: float
    margin: float
    p_alike: float
    detectable: float
    verdict: Verdict

    @property
    def opposed(self) -> bool:
        """Whether the mean over trainings goes against most people: some carry it there."""
        return self.over is not None and self.over.difference * self.comparison.difference < 0


def decide(study: Study, result: Result) -> list[Decision]:
    """Decide every comparison that a result declares, by each of its metrics.

    Raises
    ------
    ReladError
        Where methods were tested on different subjects, or a difference is not finite.
    """
    every = (against_first(study, result, of) for of in study.comparisons(result))
    return [decision for of in every for decision in of]


def against_first(study: Study, result: Result, methods: list[str]) -> Iterator[Decision]:
    """Decide the first of some methods against each other one, by each of a result's metrics.

    Raises
    ------
    ReladError
        As :func:`decide`.
    """
    whole = compared(study, result, methods)
    parts = [
        compared(study, result, methods, scores)
        for _, scores in _tested_by_every_seed(study.scores, methods).groupby("seed")
    ] or [whole]
    for cohort, of in whole.groupby("cohort", observed=True):
        where = {"cohort": str(cohort), "seeds": _seeds(study.scores, str(cohort), methods)}
        trained, once = _by_training(study, result, methods, str(cohort))
        for metric in result.metrics:
            table = _by_method(of, metric, methods)
            if methods[0] not in table or len(table.columns) < 2:
                continue
            seeds = pd.DataFrame(
                [_by_method(p[p["cohort"] == cohort], metric, methods).mean() for p in parts]
            )
            where |= {"data": of["data"].iloc[0], "metric": metric}
            each = [_by_method(part, metric, methods) for part in trained]
            yield from _family(study.settings.evaluation, where, table, seeds, each, once)


def _seeds(scores: pd.DataFrame, cohort: str, methods: list[str]) -> int:
    """How many seeds some methods were trained with, whomever each of them tested."""
    of = scores[(scores["cohort"] == cohort) & scores["method"].isin(methods)]
    return of["seed"].nunique()


def _tested_by_every_seed(scores: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Rows of methods whose test, a subject and tracer in a fold, every seed of the cohort has.

    In a study that grows in parts a seed may have some folds alone: means over other people would
    differ by the people.
    """
    scores = scores[scores["method"].isin(methods)]
    seeds = scores.groupby("cohort", observed=True)["seed"].transform("nunique")
    test = scores.groupby(["cohort", "tracer", "subject", "fold"], observed=True)
    return scores[test["seed"].transform("nunique") == seeds]


def compared(
    study: Study, result: Result, methods: list[str], scores: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Values of :meth:`Study.values`, the mean over each subject's tracers.

    Of a metric that has a right value they are what is lost by missing it, image by image: too much
    with one seed does not make up for too little with another.
    """
    scores = with_losses(study.scores if scores is None else scores, result.metrics)
    return mean_over_tracers(study.values(result, methods, scores))


def _by_training(
    study: Study, result: Result, methods: list[str], cohort: str
) -> tuple[list[pd.DataFrame], set[str]]:
    """What :func:`compared` gives of one cohort by each training alone, and who is trained once.

    Trainings are those of the folds, the mean over their seeds, since these are trained and tested
    on the same people; where there is one fold, those of its seeds. Of these all but one say
    nothing new of methods that the fold alone determines.
    """
    scores = study.scores[study.scores["method"].isin(methods)]
    scores = scores[scores["cohort"] == cohort]
    by_fold = scores["fold"].nunique() > 1
    parts = scores.groupby("fold" if by_fold else "seed")
    once = set() if by_fold else {method for method in methods if study.determined(method)}
    return [compared(study, result, methods, of) for _, of in parts], once


def _over(
    each: Iterable[pd.DataFrame], once: set[str], method: str, reference: str
) -> OverTrainings | None:
    """Take a method minus its reference over trainings, each subjects (rows) by methods."""
    pair = {method, reference}
    differences = [t[method] - t[reference] for t in each if pair <= {*t}]
    if pair <= once:
        del differences[1:]
    return over_trainings(pd.concat(differences, axis=1).to_numpy()) if differences else None


def with_losses(scores: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """Metric rows with what is lost in place of values that miss a right one, image by image."""
    scores = scores.copy()
    for metric in metrics:
        if METRICS[metric].better.target is not None:
            of = scores["metric"] == metric
            scores.loc[of, "value"] = METRICS[metric].better.loss(scores.loc[of, "value"])
    return scores


def _by_method(values: pd.DataFrame, metric: str, methods: list[str]) -> pd.DataFrame:
    """Subjects (rows) by those methods that have the metric, in the order given."""
    table = values.pivot(index="subject", columns="method", values=metric)
    return table[[method for method in methods if method in table]].dropna(axis=1)


def _family(
    evaluation: Evaluation,
    where: dict[str, Any],
    table: pd.DataFrame,
    seeds: pd.DataFrame,
    each: list[pd.DataFrame],
    once: set[str],
) -> Iterator[Decision]:
    """Decide one family: the first column of ``table`` against each other one.

    ``seeds`` has the means over the subjects whom all seeds tested, a row per seed; none are there
    where nobody was tested by all. ``each`` are tables such as ``table`` by training; two methods
    of ``once`` have one training alone.
    """
    reference, *others = table.columns
    level, margin = 1 - evaluation.interval, evaluation.margins.get(where["metric"], math.nan)
    tests = [
        paired_comparison(table[m], table[reference], level=evaluation.interval) for m in others
    ]
    p_holm = holm([test.p for test in tests])
    trained = [_over(each, once, method, reference) for method in others]
    p_trainings = holm([of.p if of else 1.0 for of in trained])
    p_alike = np.full(len(others), math.nan)
    if margin > 0:
        people = [equivalence_p(table[m], table[reference], margin=margin) for m in others]
        p_alike = holm(
            [
                max(p, of.p_within(margin)) if of else p
                for p, of in zip(people, trained, strict=True)
            ]
        )
    step = {"level": level / len(others), "power": evaluation.power}
    for k, (method, test) in enumerate(zip(others, tests, strict=True)):
        of = trained[k]
        over_seeds = (seeds.get(method, _NONE) - seeds.get(reference, _NONE)).dropna()
        decision = Decision(
            **where,
            method=method,
            reference=reference,
            comparison=test,
            seed_spread=float(over_seeds.std(ddof=1)),
            family=len(others),
            p_holm=float(p_holm[k]),
            over=of,
            p_trainings=float(p_trainings[k]) if of else math.nan,
            margin=margin,
            p_alike=float(p_alike[k]),
            detectable=max(
                detectable(test.spread, test.n, **step), of.detectable(**step) if of else 0.0
            ),
            verdict=Verdict.OPEN,
        )
        verdict = verdict_of(decision, level)
        if verdict in FIRM and of is None:
            verdict = Verdict.ONE_TRAINING
        yield replace(decision, verdict=verdict)


def verdict_of(decision: Decision, level: float) -> Verdict:
    """What follows from the tests at a level; of these networks, where both were trained once."""
    test = decision.comparison
    if test.spread == 0 and test.difference == 0:
        return Verdict.SAME
    if decision.p_alike <= level:
        return Verdict.TRAININGS if decision.seed_spread > decision.margin else Verdict.ALIKE
    if decision.p_holm > level:
        return Verdict.OPEN
    if (
        decision.opposed
        or decision.p_trainings > level
        or abs(test.difference) < decision.seed_spread
    ):
        return Verdict.TRAININGS
    higher_is_better = METRICS[decision.metric].better is Better.HIGHER
    return Verdict.BETTER if (test.effect > 0) == higher_is_better else Verdict.WORSE
