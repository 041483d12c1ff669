"""Decisions in words, with the numbers that they rest on."""

from __future__ import annotations

import math
from dataclasses import replace

from relad.results.decisions import Decision, Verdict, verdict_of
from relad.results.metrics import METRICS
from relad.results.study import Study

#: Why the spread over several seeds is not known.
NO_SPREAD = "their spread is not known, since nobody was tested with all"


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

    def estimate(difference: float, interval: tuple[float, float] | None) -> str:
        told = f"{difference:+.{metric.decimals}f}"
        return told + (f" [{number(interval[0])}, {number(interval[1])}]" if interval else "")

    level = 1 - evaluation.interval
    if decision.verdict is Verdict.ONE_TRAINING:
        here = sentence(replace(decision, verdict=verdict_of(decision, level)), study)
        here = here.removesuffix(".")
        return f"In the one training of each, {here}; of the methods this tells nothing."
    target = metric.better.target
    of = "difference" if target is None else f"difference of the distances from {target:g}"
    shown = f"{of} {estimate(test.difference, test.interval)}, n = {test.n}, "
    shown += f"p = {decision.p_holm:.2g}"
    shown += f" corrected over {decision.family}" if decision.family > 1 else ""
    over, trained = decision.over, ""
    if over:
        told = estimate(over.difference, over.interval(evaluation.interval))
        trained = f"over {over.trainings} trainings {told}, p = {decision.p_trainings:.2g}"
    within = f"{decision.margin:g} (p = {decision.p_alike:.2g}; {shown}"
    how = ", ".join(filter(None, [trained, _seeds_told(decision)]))
    if decision.verdict is Verdict.ALIKE:
        alike = f"are alike in {metric.label}: they differ"
        if target is not None:
            alike = f"are alike in their distance from {target:g} in {metric.label}: it differs"
        return f"{method} and {reference} {alike} by less than {within}, {how})."
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
    if decision.verdict is Verdict.TRAININGS:
        spread = f"{number(decision.seed_spread)} over {decision.seeds}"
        if decision.p_alike <= level:
            return (
                f"{method} and {reference} differ in {metric.label} by less than {within}), but "
                f"seeds by more ({spread})."
            )
        differ = f"{method} differs from {reference} in {metric.label} ({shown}), but "
        if decision.opposed:
            return f"{differ}on average the other way ({trained})."
        if decision.p_trainings > level:
            return f"{differ}not by more than trainings do ({trained})."
        return f"{differ}by less than seeds do ({spread})."
    return (
        f"{method} is {decision.verdict.value} than {reference} in {metric.label} ({shown}, {how})."
    )


def _seeds_told(decision: Decision) -> str:
    """How many seeds, and that their spread is not known where it is not."""
    if decision.seeds < 2:
        return "one seed"
    known = "" if math.isfinite(decision.seed_spread) else f" ({NO_SPREAD})"
    return f"{decision.seeds} seeds{known}"
