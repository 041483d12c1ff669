"""Figure: PSNR, SSIM and MAE of every test subject, by method and tracer."""

from __future__ import annotations

from matplotlib.figure import Figure

from relad.results.figures.study import Study
from relad.results.figures.style import (
    AXIS_LABELS,
    better,
    jitter,
    method_colours,
    new_figure,
    stamp,
)
from relad.results.metrics import HIGHER_IS_BETTER, METRICS
from relad.results.scores import cohorts_of, main_methods, subjects_of, values_of


def draw(study: Study, role: str) -> Figure | None:
    """Draw one column per cohort and tracer, one row per metric; None without values.

    Parameters
    ----------
    study
        Uses its scores.
    role
        Cohorts to show: ``train`` or ``external``.
    """
    settings, scores = study.settings, study.scores
    methods = [m for m in main_methods(settings) if any(key[2] == m for key in scores)]
    columns = [
        (cohort, tracer, subjects)
        for cohort in cohorts_of(settings, role)
        for tracer in settings["tracers"]
        if (subjects := subjects_of(scores, cohort, tracer, methods))
    ]
    if not columns:
        return None
    colours = method_colours(settings)
    figure = new_figure(0.5 + len(METRICS) * (0.45 + 0.19 * len(methods)))
    axes = figure.subplots(len(METRICS), len(columns), squeeze=False, sharey=True)
    several = len({cohort for cohort, _, _ in columns}) > 1
    for i, metric in enumerate(METRICS):
        for j, (cohort, tracer, subjects) in enumerate(columns):
            ax = axes[i, j]
            for y, method in enumerate(methods):
                values = values_of(scores, cohort, tracer, method, metric)
                if values is None:
                    continue
                ax.boxplot(
                    values,
                    positions=[y],
                    widths=0.62,
                    orientation="horizontal",
                    showfliers=False,
                    manage_ticks=False,
                    patch_artist=True,
                    boxprops={"facecolor": colours[method], "alpha": 0.25, "linewidth": 0},
                    medianprops={"color": colours[method], "linewidth": 1.4},
                    whiskerprops={"color": colours[method], "linewidth": 0.7},
                    capprops={"linewidth": 0},
                )
                ax.plot(
                    values,
                    y + jitter(len(values), 0.2),
                    "o",
                    markersize=2.6,
                    markerfacecolor=colours[method],
                    markeredgecolor="white",
                    markeredgewidth=0.3,
                )
            ax.set_ylim(len(methods) - 0.5, -0.5)
            ax.set_yticks(range(len(methods)), [study.label(m) for m in methods])
            ax.tick_params(axis="y", length=0)
            ax.grid(axis="x")
            ax.margins(x=0.08)
            ax.set_xlabel(f"{AXIS_LABELS[metric]}, {better(HIGHER_IS_BETTER[metric])}")
            if i == 0:
                ligand = settings["tracers"][tracer]["ligand"]
                where = f"{cohort}: " if several else ""
                ax.set_title(f"{where}{tracer} ({ligand}), n = {len(subjects)}")
    stamp(figure, settings, [cohort for cohort, _, _ in columns])
    return figure
