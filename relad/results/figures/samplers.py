"""Figure: image quality against network evaluations, one curve per method and sampler."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from relad.results.figures import style
from relad.results.study import Study
from relad.results.tables.samplers import sampler_rows
from relad.study.catalogue import Result


def curves(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of one method by curve: a sampler over its steps, or K samples of one sampler.

    Each temperature has its own.

    In the order of :func:`sampler_rows`, and so of their evaluations.
    """
    found = {}
    for (sampler, temperature), of in rows.groupby(["sampler", "temperature"], sort=False):
        single = sampler == "regression"  # it has one step, whatever the number of samples
        warmer = f" at temperature {temperature:g}" if temperature != 1 else ""
        if not single:
            found[f"{sampler}{warmer}"] = of[of["samples"] == 1]
        for steps, of_steps in of.groupby("steps"):
            if single or (of_steps["samples"] > 1).any():
                name = sampler if single else f"{sampler}, {steps} steps"
                found[f"{name}{warmer}, K samples"] = of_steps
    return {name: of for name, of in found.items() if len(of)}


def draw(study: Study, result: Result) -> Figure | None:
    """Draw each metric (rows) of each method (columns); None without values."""
    rows = sampler_rows(study, result)
    if rows.empty:
        return None
    methods = {method: curves(of) for method, of in rows.groupby("method", observed=True)}
    names = list(dict.fromkeys(name for found in methods.values() for name in found))
    looks = {
        name: {
            "color": style.COLOURS[k % len(style.COLOURS)],
            "marker": style.marker(k),
            **style.CURVE,
        }
        for k, name in enumerate(names)
    }
    figure = style.new_figure(style.SAMPLERS, len(result.metrics))
    axes = figure.subplots(
        len(result.metrics), len(methods), sharex=True, sharey="row", squeeze=False
    )
    for column, (method, found) in zip(axes.T, methods.items(), strict=True):
        for ax, metric in zip(column, result.metrics, strict=True):
            for name, of in found.items():
                x, look = of["evaluations"], looks[name]
                ax.plot(x, of[metric], **look)
                low, high = of[f"{metric}_low"], of[f"{metric}_high"]
                ax.fill_between(x, low, high, color=look["color"], **style.BAND)
            ax.set_xscale("log")
            style.plain_numbers(ax.xaxis)
            ax.grid(which="major")
        of = rows[rows["method"] == method]
        pairs = zip(of["cohort"], of["n"], strict=True)
        tested = "; ".join(dict.fromkeys(f"{cohort}, n = {n}" for cohort, n in pairs))
        column[0].set_title(f"{study.settings.methods[method].label}\n{tested}")
        column[-1].set_xlabel("network evaluations per image")
    for ax, metric in zip(axes[:, 0], result.metrics, strict=True):
        ax.set_ylabel(style.metric_label(metric, apart="\n"))
    figure.align_ylabels(axes[:, 0])
    style.legend(figure, looks)
    style.stamp(figure, rows["data"])
    return figure
