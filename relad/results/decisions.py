"""Which differences between methods the subjects decide, and in which words.

A family of comparisons is declared before results are seen: every method of a group against the one
it is measured against, by one metric in one cohort. Each has a paired test, corrected over its
family (Holm), an effect, an estimate with interval, a test of being within a margin that does not
matter, the smallest difference that would have been found, and its spread over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from relad.errors import ReladError
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
from relad.study.catalogue import Result
from relad.study.settings import Evaluation

#: What :func:`compared` compares where more is not simply better.
OF_RIGHT_VALUES = "of a metric with a right value, that of the distances from it"
#: Why the spread over several seeds is not known.
NO_SPREAD = "their spread is not known, since nobody was tested with all"

_NONE = pd.Series(dtype=float)


class Verdict(Enum):
    """What a comparison says of a method and its reference."""

    BETTER = "better"
    WORSE = "worse"
    ALIKE = "alike"
    OPEN = "not decided"
    SEEDS = "within the spread over seeds"
    SAME = "the same"


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
    margin
        Largest difference that does not matter; NaN where the study states none.
    p_alike
        P value of a difference within the margin, corrected alike.
    detectable
        Smallest difference that the study's power would have shown at Holm's first step.
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
    margin: float
    p_alike: float
    detectable: float
    verdict: Verdict


def decide(study: Study, result: Result) -> list[Decision]:
    """Decide every comparison that a result declares, by each of its metrics.

    Raises
    ------
    ReladError
        Where methods were tested on different subjects, or a difference is not finite.
    """
    found = []
    for methods in study.comparisons(result):
        whole = compared(study, result, methods)
        parts = [
            compared(study, result, methods, scores)
            for _, scores in _tested_by_every_seed(study.scores, methods).groupby("seed")
        ] or [whole]
        for cohort, of in whole.groupby("cohort", observed=True):
            where = {"cohort": str(cohort), "seeds": _seeds(study.scores, str(cohort), methods)}
            for metric in result.metrics:
                table = _by_method(of, metric, methods)
                if methods[0] not in table or len(table.columns) < 2:
                    continue
                seeds = pd.DataFrame(
                    [_by_method(p[p["cohort"] == cohort], metric, methods).mean() for p in parts]
                )
                where |= {"data": of["data"].iloc[0], "metric": metric}
                found += _family(study.settings.evaluation, where, table, seeds)
    return found


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
    evaluation: Evaluation, where: dict[str, Any], table: pd.DataFrame, seeds: pd.DataFrame
) -> Iterator[Decision]:
    """Decide one family: the first column of ``table`` against each other one.

    ``seeds`` has the means over the subjects whom all seeds tested, a row per seed; none are there
    where nobody was tested by all.
    """
    reference, *others = table.columns
    level, margin = 1 - evaluation.interval, evaluation.margins.get(where["metric"], math.nan)
    require_finite(table, where["metric"], where["cohort"])
    tests = [
        paired_comparison(table[m], table[reference], level=evaluation.interval) for m in others
    ]
    p_holm = holm([test.p for test in tests])
    p_alike = np.full(len(others), math.nan)
    if margin > 0:
        p_alike = holm([equivalence_p(table[m], table[reference], margin=margin) for m in others])
    for k, (method, test) in enumerate(zip(others, tests, strict=True)):
        over_seeds = (seeds.get(method, _NONE) - seeds.get(reference, _NONE)).dropna()
        decision = Decision(
            **where,
            method=method,
            reference=reference,
            comparison=test,
            seed_spread=float(over_seeds.std(ddof=1)),
            family=len(others),
            p_holm=float(p_holm[k]),
            margin=margin,
            p_alike=float(p_alike[k]),
            detectable=detectable(
                test.spread, test.n, level=level / len(others), power=evaluation.power
            ),
            verdict=Verdict.OPEN,
        )
        yield replace(decision, verdict=_verdict(decision, level))


def require_finite(table: pd.DataFrame, metric: str, cohort: str) -> None:
    """Refuse to compare methods, of subjects (rows) by methods, of which one has no finite value.

    Raises
    ------
    ReladError
        Naming the method and the first such subject.
    """
    for method in table:
        if not np.isfinite(table[method]).all():
            subject = table.index[~np.isfinite(table[method])][0]
            raise ReladError(
                f"{metric} of {method} is infinite for subject {subject} of {cohort}, so that it "
                "cannot be compared",
                hint="look at its image: is it the true one, or without any structure?",
            )


def _verdict(decision: Decision, level: float) -> Verdict:
    """What follows from the tests at a level."""
    test = decision.comparison
    if test.spread == 0 and test.difference == 0:
        return Verdict.SAME
    if decision.p_alike <= level:
        return Verdict.SEEDS if decision.seed_spread > decision.margin else Verdict.ALIKE
    if decision.p_holm > level:
        return Verdict.OPEN
    if abs(test.difference) < decision.seed_spread:
        return Verdict.SEEDS
    higher_is_better = METRICS[decision.metric].better is Better.HIGHER
    return Verdict.BETTER if (test.effect > 0) == higher_is_better else Verdict.WORSE


def found_at_most(smallest_p: float, family: int) -> str:
    """What can be found at all, by the smallest p value that there is and Holm's first step."""
    least = min(1.0, family * smallest_p)
    return f"no p below {least:.2g} can be reached" if least < 1 else "no difference can be found"


def sentence(decision: Decision, study: Study) -> str:
    """A decision in words, with the numbers it rests on."""
    test, metric = decision.comparison, METRICS[decision.metric]
    evaluation = study.settings.evaluation
    method, reference = study.label(decision.method), study.label(decision.reference)

    def number(value: float) -> str:
        return f"{value:.{metric.decimals}f}"

    if decision.verdict is Verdict.SAME:
        return (
            f"{method} and {reference} have the same {metric.label} in each of {test.n} subjects: "
            "are they one method?"
        )
    size = f"{test.difference:+.{metric.decimals}f}"
    if test.interval:
        low, high = test.interval
        size += f" [{number(low)}, {number(high)}]"
    shown = f"difference {size}, n = {test.n}, p = {decision.p_holm:.2g}"
    shown += f" corrected over {decision.family}" if decision.family > 1 else ""
    within = f"{decision.margin:g} (p = {decision.p_alike:.2g}; {shown}"
    if decision.verdict is Verdict.ALIKE:
        over = f", {_trained(decision)}" if decision.seeds > 1 else ""
        return (
            f"{method} and {reference} are alike in {metric.label}: they differ by less than "
            f"{within}{over})."
        )
    if decision.verdict is Verdict.OPEN:
        could = (
            f"with so few subjects {found_at_most(test.smallest_p, decision.family)}"
            if math.isinf(decision.detectable)
            else f"{number(decision.detectable)} would have been found with "
            f"{100 * evaluation.power:g}% power"
        )
        return (
            f"{method} and {reference} cannot be told apart by {metric.label} ({shown}; {could})."
        )
    if decision.verdict is Verdict.SEEDS:
        spread = f"{number(decision.seed_spread)} over {decision.seeds}"
        if decision.p_alike <= 1 - evaluation.interval:
            return (
                f"{method} and {reference} differ in {metric.label} by less than {within}), but "
                f"seeds by more ({spread})."
            )
        return (
            f"{method} differs from {reference} in {metric.label} ({shown}), but by less than "
            f"seeds do ({spread})."
        )
    return (
        f"{method} is {decision.verdict.value} than {reference} in {metric.label} ({shown}, "
        f"{_trained(decision)})."
    )


def _trained(decision: Decision) -> str:
    """How many seeds, and that their spread is not known where it is not."""
    if decision.seeds < 2:
        return "one seed"
    known = "" if math.isfinite(decision.seed_spread) else f" ({NO_SPREAD})"
    return f"{decision.seeds} seeds{known}"
