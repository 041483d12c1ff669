"""Figure: image quality against time per synthesised volume and against training time."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relad.results.figures.study import Study
from relad.results.figures.style import family_markers, method_colours, new_figure, stamp
from relad.results.records import read_costs
from relad.results.scores import cohorts_of, main_methods, mean_over_tracers
from relad.results.statistics import bootstrap_interval

#: Shortest time that is drawn (s): closed-form methods take less than the clock resolves.
SHORTEST_S = 1e-3


def draw(study: Study) -> Figure | None:
    """Draw PSNR (mean over tracers, then subjects) against both times; None without costs."""
    settings = study.settings
    evaluation = settings["evaluation"]
    costs = read_costs(study.models, study.synthesized, settings)
    cohorts = cohorts_of(settings, "train")
    points = []
    for method in main_methods(settings):
        for cohort in cohorts:
            values = mean_over_tracers(study.scores, cohort, method, "psnr")
            if values and method in costs:
                points.append((method, np.array(list(values.values())), costs[method]))
    if not points:
        return None
    colours, markers = method_colours(settings), family_markers(settings)
    figure = new_figure(2.6)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, time in zip(axes, ("seconds_per_volume", "train_seconds"), strict=True):
        for method, values, cost in points:
            seconds = getattr(cost, time)
            if seconds is None:
                continue
            x = max(seconds, SHORTEST_S)
            interval = bootstrap_interval(
                values, level=evaluation["interval"], resamples=evaluation["bootstrap"]
            )
            if interval is not None:
                ax.plot([x, x], interval, color=colours[method], linewidth=1, alpha=0.6)
            ax.plot(
                x,
                values.mean(),
                markers[settings["methods"][method]["family"]],
                color=colours[method],
                markersize=6,
                markeredgecolor="white",
                markeredgewidth=0.6,
            )
        ax.set_xscale("log")
        ax.margins(x=0.1)
        ax.grid(which="major")
    axes[0].set_ylabel("PSNR (dB), mean over tracers")
    axes[0].set_xlabel("time per synthesised volume (s), ← faster")
    axes[1].set_xlabel("training time (s), ← faster")
    figure.legend(
        handles=[
            Line2D(
                [],
                [],
                linestyle="",
                color=colours[m],
                marker=markers[settings["methods"][m]["family"]],
                markersize=5,
                label=f"{study.label(m)}, {settings['methods'][m]['family']}",
            )
            for m, _, _ in points
        ],
        loc="outside lower center",
        ncols=min(4, len(points)),
    )
    stamp(figure, settings, cohorts)
    return figure
