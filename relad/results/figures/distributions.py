"""Figure: PSNR, SSIM and MAE of every test subject, by method and tracer."""

from __future__ import annotations

import seaborn as sns
from matplotlib.figure import Figure

from relad.results.ceiling import ceiling_values
from relad.results.figures import style
from relad.results.study import Study
from relad.results.tables.ceiling import LABEL
from relad.study.catalogue import Result


def draw(study: Study, result: Result) -> Figure | None:
    """Draw one column per cohort and tracer, one row per metric; None without values.

    A line where the ceiling of a cohort is known: the mean over the same subjects.
    """
    values = study.values(result, [m for of in study.comparisons(result) for m in of])
    if values.empty:
        return None
    methods = values["method"].unique().sort_values().tolist()
    columns = list(values.groupby(["cohort", "tracer"], observed=True))
    colours = style.method_colours(study.settings)
    known = ceiling_values(study, result, values)
    best = known.groupby(["cohort", "tracer"], observed=True)[list(result.metrics)].mean()
    several = values["cohort"].nunique() > 1
    figure = style.new_figure(style.DISTRIBUTIONS, len(methods))
    axes = figure.subplots(len(result.metrics), len(columns), squeeze=False, sharey=True)
    for row, metric in zip(axes, result.metrics, strict=True):
        for ax, ((cohort, tracer), of) in zip(row, columns, strict=True):
            shared = {"data": of, "x": metric, "y": "method", "order": methods, "hue": "method"}
            shared |= {"hue_order": methods, "palette": colours, "dodge": False}
            shared |= {"legend": False, "ax": ax}
            sns.boxplot(**shared, **style.BOX)
            sns.stripplot(**shared, **style.SUBJECT)
            if (cohort, tracer) in best.index:
                ax.axvline(best.loc[(cohort, tracer), metric], **style.CEILING)
            style.name_lines(ax, map(study.label, methods))
            ax.xaxis.set_major_locator(style.few_ticks())
            ax.set_xlabel(style.metric_label(metric, apart="\n"))
            if metric == result.metrics[0]:
                where = f"{cohort}: " if several else ""
                n = of["subject"].nunique()
                ax.set_title(f"{where}{study.tracer_label(tracer)}, n = {n}")
    if not best.empty:
        style.legend(figure, {f"{LABEL}, mean": style.CEILING})
    style.stamp(figure, values["data"])
    return figure
