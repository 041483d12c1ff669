"""Figure: what each ablation costs, as paired differences to its full method; also of groups."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from relad.results.figures.study import Study
from relad.results.figures.style import (
    AXIS_LABELS,
    TRACER_MARKERS,
    better,
    jitter,
    new_figure,
    stamp,
    tracer_colours,
)
from relad.results.metrics import HIGHER_IS_BETTER, METRICS
from relad.results.scores import ablation_groups, cohorts_of, subjects_of, values_of
from relad.results.statistics import bootstrap_interval
from relad.study.config import group_members


def draw(study: Study, group: str = "ablation") -> Figure | None:
    """Draw the difference to a reference per subject, with its mean and interval; None without.

    The reference of an ablation is its full method; that of any other group is its first method.
    """
    settings, scores = study.settings, study.scores
    cohorts = cohorts_of(settings, "train")
    tested = {(key[0], key[2]) for key in scores}
    if group == "ablation":
        families = ablation_groups(settings)
    else:
        first, *others = group_members(settings, group)
        families = {first: others}
    lines = [
        (cohort, base, method)
        for cohort in cohorts
        for base, methods in families.items()
        for method in methods
        if (cohort, base) in tested and (cohort, method) in tested
    ]
    if not lines:
        return None
    colours = tracer_colours(settings)
    tracers = list(settings["tracers"])
    figure = new_figure(0.95 + 0.42 * len(lines))
    axes = figure.subplots(1, len(METRICS), sharey=True)
    for ax, metric in zip(axes, METRICS, strict=True):
        for y, (cohort, base, method) in enumerate(lines):
            for k, tracer in enumerate(tracers):
                if not subjects_of(scores, cohort, tracer, [base, method]):
                    continue
                full = values_of(scores, cohort, tracer, base, metric)
                ablated = values_of(scores, cohort, tracer, method, metric)
                if full is None or ablated is None:
                    continue
                height = y + (k - (len(tracers) - 1) / 2) * 0.8 / len(tracers)
                _paired(ax, ablated - full, height, colours[tracer], TRACER_MARKERS[k % 6], study)
        ax.axvline(0, color="0.3", linewidth=0.7, zorder=0)
        for y in range(1, len(lines)):
            ax.axhline(y - 0.5, color="0.9", linewidth=0.5, zorder=0)
        ax.grid(axis="x")
        ax.set_ylim(len(lines) - 0.5, -0.5)
        several = len({base for _, base, _ in lines}) > 1
        labels = [
            f"{study.label(base)}\n{study.label(m)}" if several else study.label(m)
            for _, base, m in lines
        ]
        ax.set_yticks(range(len(lines)), labels)
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set_xlabel(f"Δ {AXIS_LABELS[metric]}, {better(HIGHER_IS_BETTER[metric])}")
    bases = ", ".join(dict.fromkeys(study.label(base) for _, base, _ in lines))
    level = f"{100 * settings['evaluation']['interval']:g}%"
    axes[0].set_title(
        f"Difference to {bases} in each subject; mean and {level} bootstrap interval", loc="left"
    )
    shown = [t for t in tracers if any(key[1] == t for key in scores)]
    figure.legend(
        handles=[
            Line2D(
                [],
                [],
                color=colours[t],
                marker=TRACER_MARKERS[tracers.index(t) % 6],
                markersize=4,
                label=f"{t} ({settings['tracers'][t]['ligand']})",
            )
            for t in shown
        ]
        + [
            Line2D([], [], color="0.5", marker="o", markersize=2, linestyle="", label="one subject")
        ],
        loc="outside lower center",
        ncols=len(shown) + 1,
    )
    stamp(figure, settings, [cohort for cohort, _, _ in lines])
    return figure


def _paired(
    ax: Axes, difference: np.ndarray, y: float, colour: str, marker: str, study: Study
) -> None:
    """Draw subjects as faint points, their mean as a marker, its interval as a bar."""
    evaluation = study.settings["evaluation"]
    ax.plot(
        difference, y + jitter(len(difference), 0.07), "o", color=colour, alpha=0.35, markersize=2
    )
    interval = bootstrap_interval(
        difference, level=evaluation["interval"], resamples=evaluation["bootstrap"]
    )
    if interval is not None:
        ax.plot(interval, [y, y], color=colour, linewidth=1.3, solid_capstyle="butt")
    ax.plot(
        difference.mean(),
        y,
        marker,
        color=colour,
        markersize=4.2,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )
