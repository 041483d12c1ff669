"""Figure: image quality against network evaluations, one curve per method and sampler."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relad.results.figures.study import Study
from relad.results.figures.style import (
    AXIS_LABELS,
    COLOURS,
    FAMILY_MARKERS,
    better,
    new_figure,
    stamp,
)
from relad.results.metrics import HIGHER_IS_BETTER, METRICS
from relad.results.tables.samplers import sampler_rows


def curves(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of one method by curve: a sampler over its steps, or K samples of one sampler."""
    averaged = {(row["sampler"], row["steps"]) for row in rows if row["samples"] > 1}
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        sampler, steps = row["sampler"], row["steps"]
        if row["samples"] == 1 and sampler != "regression":
            found.setdefault(sampler, []).append(row)
        if (sampler, steps) in averaged or sampler == "regression":
            name = sampler if sampler == "regression" else f"{sampler}, {steps} steps"
            found.setdefault(f"{name}, K samples", []).append(row)
    return {name: sorted(of, key=lambda r: r["evaluations"]) for name, of in found.items()}


def draw(study: Study) -> Figure | None:
    """Draw each metric (rows) of each method (columns); None without values."""
    settings = study.settings
    rows = sampler_rows(study.sampler_scores, settings)
    if not rows:
        return None
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure = new_figure(0.9 + 1.45 * len(METRICS))
    axes = figure.subplots(len(METRICS), len(methods), sharex=True, sharey="row", squeeze=False)
    by_method = {m: curves([row for row in rows if row["method"] == m]) for m in methods}
    names = list(dict.fromkeys(name for found in by_method.values() for name in found))
    for column, method in enumerate(methods):
        for line, metric in enumerate(METRICS):
            ax = axes[line, column]
            for name, points in by_method[method].items():
                k = names.index(name)
                x = [row["evaluations"] for row in points]
                ax.plot(
                    x,
                    [row[metric] for row in points],
                    marker=FAMILY_MARKERS[k % len(FAMILY_MARKERS)],
                    markersize=3.2,
                    color=COLOURS[k % len(COLOURS)],
                )
                if points[0][f"{metric}_low"] is not None:
                    ax.fill_between(
                        x,
                        [row[f"{metric}_low"] for row in points],
                        [row[f"{metric}_high"] for row in points],
                        color=COLOURS[k % len(COLOURS)],
                        alpha=0.07,
                        linewidth=0,
                    )
            ax.set_xscale("log")
            ax.grid(which="major")
            if column == 0:
                arrow = better(HIGHER_IS_BETTER[metric])
                ax.set_ylabel(f"{AXIS_LABELS[metric]}\n{arrow}")
        axes[0, column].set_title(study.label(method))
        axes[-1, column].set_xlabel("network evaluations per image")
    figure.align_ylabels(axes[:, 0])
    figure.legend(
        handles=[
            Line2D(
                [],
                [],
                color=COLOURS[k % len(COLOURS)],
                marker=FAMILY_MARKERS[k % len(FAMILY_MARKERS)],
                markersize=3.2,
                label=name,
            )
            for k, name in enumerate(names)
        ],
        loc="outside lower center",
        ncols=min(5, len(names)),
    )
    stamp(figure, settings, {row["cohort"] for row in rows})
    return figure
