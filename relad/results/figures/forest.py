"""Figure: every decided or undecided difference with its interval and the margin (forest plot)."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from relad.results.decisions import Verdict, decide
from relad.results.figures import style
from relad.results.study import Study
from relad.study.catalogue import Result

_LOOKS = {
    Verdict.BETTER: {"color": style.GOOD, "marker": "o"},
    Verdict.WORSE: {"color": style.BAD, "marker": "o"},
    Verdict.ALIKE: {"color": style.EVEN, "marker": "s"},
    Verdict.OPEN: {"color": style.OPEN, "marker": "o", "markerfacecolor": "white"},
    Verdict.TRAININGS: {"color": style.OPEN, "marker": "D", "markerfacecolor": "white"},
    Verdict.ONE_TRAINING: {"color": style.OPEN, "marker": "D"},
    Verdict.SAME: {"color": style.OPEN, "marker": "x"},
}


def draw(study: Study, result: Result) -> Figure | None:
    """Draw a panel per metric, a line per comparison; None where nothing can be compared."""
    decisions = decide(study, result)
    if not decisions:
        return None
    cohorts = dict.fromkeys(d.cohort for d in decisions)
    references = dict.fromkeys(d.reference for d in decisions)
    lines = list(dict.fromkeys((d.cohort, d.reference, d.method) for d in decisions))
    labels = [
        "\n".join(
            [
                *([cohort] if len(cohorts) > 1 else []),
                *([study.label(reference)] if len(references) > 1 else []),
                study.label(method),
            ]
        )
        for cohort, reference, method in lines
    ]
    rows = style.rows_of(len(result.metrics))
    height = style.FOREST[1] * sum(style.height_of(label) for label in labels)
    figure = style.new_figure((style.FOREST[0] * (rows + 1), height), rows)
    axes = style.panels(figure, len(result.metrics), sharey=True)
    for ax, metric in zip(axes, result.metrics, strict=True):
        of = [d for d in decisions if d.metric == metric]
        margin = next((d.margin for d in of), math.nan)
        if margin > 0:
            ax.axvspan(-margin, margin, **style.MARGIN)
        ax.axvline(0, **style.ZERO)
        for d in of:
            y, look = lines.index((d.cohort, d.reference, d.method)), _LOOKS[d.verdict]
            if d.comparison.interval:
                ax.plot(d.comparison.interval, [y, y], color=look["color"], **style.INTERVAL)
            ax.plot(d.comparison.difference, y, **{**style.DECISION, **look})
        ax.xaxis.set_major_locator(style.few_ticks())
        ax.set_xlabel(style.difference_label(metric))
        style.name_lines(ax, labels)
    axes[0].set_ylim(len(lines) - 0.5, -0.5)  # from the top, half a line beside the outermost
    level = f"no {100 * study.settings.evaluation.interval:g}% interval"
    n = dict.fromkeys(
        f"{d.cohort}, n = {d.comparison.n}"
        + ("" if d.comparison.interval else f" ({level} of so few)")
        for d in decisions
    )
    style.title(axes[0], f"Difference to {', '.join(map(study.label, references))}", "; ".join(n))
    shown = [v for v in Verdict if any(d.verdict is v for d in decisions)]
    legend = {v.value: {"linestyle": "", **style.DECISION, **_LOOKS[v]} for v in shown}
    if any(d.margin > 0 for d in decisions):
        legend["does not matter"] = {"linewidth": 6, **style.MARGIN}
    style.legend(figure, legend)
    style.stamp(figure, [d.data for d in decisions])
    return figure
