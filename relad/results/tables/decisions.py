"""The tables of decisions: each method against the one it is measured against, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from relad.results.decisions import (
    FIRM,
    OF_RIGHT_VALUES,
    Decision,
    Verdict,
    decide,
)
from relad.results.intervals import ends
from relad.results.metrics import METRICS
from relad.results.sentences import NO_SPREAD, sentence
from relad.results.study import Study
from relad.results.tables.accuracy import metrics_note
from relad.results.tables.rendering import NOT_AVAILABLE, Cell, Table, with_interval
from relad.status import Kind, note_of
from relad.study.catalogue import Result


def decisions_table(study: Study, result: Result) -> Table | None:
    """Build the table, with the sentences as summary; None where nothing can be compared.

    Raises
    ------
    ReladError
        See :func:`relad.results.decisions.decide`.
    """
    decisions = decide(study, result)
    if not decisions:
        return None
    rows = pd.DataFrame([_row(decision, study) for decision in decisions])
    families = [(decision.cohort, decision.reference, decision.metric) for decision in decisions]
    return Table(
        name=result.name,
        caption=_caption(result, decisions, study),
        warning=note_of(Kind(decision.data) for decision in decisions),
        rows=rows,
        headers=(
            *("Cohort", "Metric", "Method", "Difference", "p (Holm)", "Effect", "p alike (margin)"),
            *("Would be found", "Over trainings", "p", "Spread over seeds", "Verdict"),
        ),
        groups=[
            [_cells(d, study) for d, of in zip(decisions, families, strict=True) if of == family]
            for family in dict.fromkeys(families)
        ],
        summary=list(_summary(decisions, study)),
    )


def _summary(decisions: list[Decision], study: Study) -> Iterator[str]:
    """Lines that tell what was decided, and how much was not."""
    for d in decisions:
        if d.verdict is not Verdict.OPEN:
            yield f"{d.cohort}: {sentence(d, study)}"
    undecided = sum(d.verdict is Verdict.OPEN for d in decisions)
    yield f"{undecided} of {len(decisions)} comparisons are not decided"
    here = sum(d.verdict in (Verdict.TRAININGS, Verdict.ONE_TRAINING) for d in decisions)
    if here:
        yield f"{here} of {len(decisions)} are decided of these networks, not of the methods"


def _row(decision: Decision, study: Study) -> dict[str, object]:
    test, over, level = decision.comparison, decision.over, study.settings.evaluation.interval
    return {
        "cohort": decision.cohort,
        "metric": decision.metric,
        "method": decision.method,
        "reference": decision.reference,
        "n": test.n,
        "seeds": decision.seeds,
        "difference": test.difference,
        **ends("difference", test.interval),
        "p": test.p,
        "comparisons": decision.family,
        "p_holm": decision.p_holm,
        "effect": test.effect,
        "margin": decision.margin,
        "p_alike": decision.p_alike,
        "trainings": over.trainings if over else 1,
        "over_trainings": over.difference if over else math.nan,
        **ends("over_trainings", over.interval(level) if over else None),
        "p_trainings": decision.p_trainings,
        "detectable": decision.detectable,
        "seed_spread": decision.seed_spread,
        "verdict": decision.verdict.value,
        "sentence": sentence(decision, study),
        "data": decision.data,
    }


def _cells(decision: Decision, study: Study) -> list[Cell]:
    test, metric = decision.comparison, METRICS[decision.metric]

    def number(value: float) -> str:
        return f"{value:.{metric.decimals}f}" if math.isfinite(value) else NOT_AVAILABLE

    difference = {"difference": test.difference, **ends("difference", test.interval)}
    again, over, p_again = NOT_AVAILABLE, decision.over, NOT_AVAILABLE
    if over:
        interval = over.interval(study.settings.evaluation.interval)
        told = {"over": over.difference, **ends("over", interval)}
        again = with_interval(told, "over", f"+.{metric.decimals}f")
        p_again = f"{decision.p_trainings:.2g}"
    alike = NOT_AVAILABLE
    if decision.margin > 0:
        alike = f"{decision.p_alike:.2g} ({decision.margin:g})"
    return [
        Cell(decision.cohort),
        Cell(metric.label),
        Cell(study.label(decision.method)),
        Cell(with_interval(difference, "difference", f"+.{metric.decimals}f")),
        Cell(f"{decision.p_holm:.2g}"),
        Cell(f"{test.effect:+.2f}"),
        Cell(alike),
        Cell(number(decision.detectable)),
        Cell(again),
        Cell(p_again),
        Cell(number(decision.seed_spread)),
        Cell(decision.verdict.value, bold=decision.verdict in FIRM),
    ]


def _caption(result: Result, decisions: list[Decision], study: Study) -> str:
    settings, evaluation = study.settings, study.settings.evaluation
    counts = {d.cohort: d.comparison.n for d in decisions}
    cohorts = "; ".join(f"{cohort}, n = {n} subjects" for cohort, n in counts.items())
    references = ", ".join(dict.fromkeys(study.label(d.reference) for d in decisions))
    families = sorted({d.family for d in decisions})
    seeds = sorted({d.seeds for d in decisions})
    unknown = dict.fromkeys(
        d.cohort for d in decisions if d.seeds > 1 and math.isnan(d.seed_spread)
    )
    percent = f"{100 * evaluation.interval:g}%"
    sentences = [
        f"{result.title}: {cohorts}",
        f"Each method minus {references}, subject by subject; a subject's value is the mean over "
        "seeds and tracers" + (" and over the folds' models" if result.role == "external" else ""),
        f"Difference: Hodges-Lehmann estimate [{percent} interval]; {OF_RIGHT_VALUES}. Effect: "
        "matched-pairs rank-biserial correlation",
        "p: Wilcoxon's signed-rank test, two-sided, with Holm's correction over the "
        f"{' or '.join(map(str, families))} methods of a cohort and metric",
        "p alike: two one-sided tests, corrected alike, that the difference is smaller than the "
        "margin in brackets, which does not matter, over people and over trainings",
        f"Would be found: the smallest difference with {100 * evaluation.power:g}% power at the "
        "first step of Holm's correction, over people and over trainings",
        f"Over trainings: {_trained(decisions)}; mean [{percent} t interval], p corrected alike",
        "Spread over seeds: standard deviation of the mean difference, of the people whom all of "
        f"them tested ({_listed(seeds)}); a smaller difference is none"
        + (", and with more than the margin nothing is alike" if seeds[-1] > 1 else "")
        + (f"; {NO_SPREAD} ({', '.join(unknown)})" if unknown else ""),
        f"Verdict at {1 - evaluation.interval:.2g}; where none is bold, nothing is decided",
        metrics_note(result, settings, settings.tracers),
    ]
    return ". ".join(sentences) + "."


def _trained(decisions: list[Decision]) -> str:
    """What the trainings of a table are, and what a verdict needs of them."""
    counts = sorted({d.over.trainings if d.over else 1 for d in decisions})
    if counts == [1]:
        return "each method was trained once, which tells of these networks, not of the methods"
    told = f"those of folds, or of one fold's seeds ({' or '.join(map(str, counts))}), are a sample"
    return f"{told}, and a difference that they do not agree on is none of the methods"


def _listed(seeds: list[int]) -> str:
    """``2 seeds``, or ``1 or 2 seeds``."""
    return f"{' or '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}"
