"""Figure: whether the spread of a method's samples is as large as its error."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from relad.results.figures import style
from relad.results.metrics import METRICS
from relad.results.scores import mean_over_tracers
from relad.results.study import Study
from relad.results.tables.accuracy import summarized
from relad.study.catalogue import Result


def draw(study: Study, result: Result) -> Figure | None:
    """Draw coverage against its level and the ratio of spread and error; None without samples."""
    levels = {m: METRICS[m].better.target for m in result.metrics if m.startswith("coverage")}
    ratio = next(m for m in result.metrics if m not in levels)
    methods = [m for of in study.comparisons(result) for m in of]
    values = study.values(result, methods)
    if values.empty:
        return None
    rows = summarized(mean_over_tracers(values), ["cohort", "method"], study.settings.evaluation)
    colours = style.method_colours(study.settings)
    looks = {
        (row["cohort"], row["method"]): {
            "color": colours[row["method"]],
            "marker": style.marker(k),
            **style.CURVE,
        }
        for k, row in enumerate(rows.to_dict("records"))
    }
    figure = style.new_figure(style.CALIBRATION)
    covered, ratios = figure.subplots(1, 2)
    covered.plot([0, 1], [0, 1], **style.ZERO)
    ratios.axvline(1, **style.ZERO)
    legend = {}
    for k, row in enumerate(rows.to_dict("records")):
        look = looks[row["cohort"], row["method"]]
        at = pd.Series(levels).sort_values()
        covered.plot(at, [row[m] for m in at.index], **look)
        for m, level in at.items():
            ends = [row[f"{m}_low"], row[f"{m}_high"]]
            covered.plot([level, level], ends, color=look["color"], **style.COST_INTERVAL)
        ends = [row[f"{ratio}_low"], row[f"{ratio}_high"]]
        ratios.plot(ends, [k, k], color=look["color"], **style.INTERVAL)
        ratios.plot(row[ratio], k, **look)
        legend[f"{study.label(row['method'])} ({row['cohort']}, n = {row['n']})"] = look
    covered.set(
        xlim=(0.4, 1), ylim=(0, 1), xlabel="level of the interval", ylabel="voxels inside it"
    )
    covered.grid()
    ratios.set_xlabel(style.metric_label(ratio))
    ratios.set_yticks([])
    ratios.margins(y=0.3)
    ratios.set_xlim(left=0)
    ratios.grid(axis="x")
    style.legend(figure, legend)
    style.stamp(figure, rows["data"])
    return figure
