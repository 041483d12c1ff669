"""Figure: difference of synthetic and real SUVR of every subject against their mean."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from relad.results.agreement import agreement
from relad.results.figures import style
from relad.results.regional import models_of_one, regional_values, shown_regions
from relad.results.study import Study
from relad.study.catalogue import BRAIN, Result


def draw(study: Study, result: Result) -> Figure | None:
    """Draw a column per cohort and tracer, a row per method; None without values.

    The region is the first of the tracer's in the configuration that anybody of the cohort has, or
    the brain.
    """
    parts = [regional_values(study, result, methods) for methods in study.comparisons(result)]
    values = pd.concat(parts) if parts else pd.DataFrame()
    if values.empty:
        return None
    first = {
        (cohort, tracer): next(
            region
            for region in (*shown_regions(study, tracer), BRAIN)
            if region in set(of["region"])
        )
        for (cohort, tracer), of in values.groupby(["cohort", "tracer"], observed=True)
    }
    wanted = [first[place] for place in zip(values["cohort"], values["tracer"], strict=True)]
    values = values[values["region"] == wanted]
    methods = list(values["method"].unique().sort_values())
    columns = list(values.groupby(["cohort", "tracer"], observed=True))
    colours = style.method_colours(study.settings)
    level = study.settings.evaluation.interval
    figure = style.new_figure(style.BLAND_ALTMAN, len(methods))
    axes = figure.subplots(len(methods), len(columns), squeeze=False, sharex="col", sharey="col")
    for number, ((cohort, tracer), of) in enumerate(columns):
        for ax, method in zip(axes[:, number], methods, strict=True):
            mine = of[of["method"] == method]
            if mine.empty:
                ax.set_axis_off()
                continue
            synthetic, real = mine["suvr"].to_numpy(), mine["suvr_true"].to_numpy()
            told = agreement(synthetic, real, level=level)
            colour = {"color": colours[method]}
            ax.axhline(0, **style.ZERO)
            ax.axhline(told.bias, **colour, **style.BIAS)
            for end in told.limits or ():
                ax.axhline(end, **style.LIMITS)
            ax.scatter((synthetic + real) / 2, synthetic - real, **colour, **style.PERSON)
            ax.xaxis.set_major_locator(style.few_ticks())
            ax.yaxis.set_major_locator(style.few_ticks())
            if number == 0:
                name = style.wrapped(study.label(method), style.SIDE_NAME)
                ax.set_ylabel(name, rotation=0, ha="right", va="center")
        n = of["subject"].nunique()
        title = f"{cohort}\n{study.tracer_label(tracer)}, n = {n}\n{first[cohort, tracer]}"
        if (models := models_of_one(study, cohort)) > 1:
            title += f"\nmean of {models} models"
        axes[0, number].set_title(title)
        axes[-1, number].set_xlabel("Mean of both (SUVR)")
    figure.supylabel("Synthetic minus real (SUVR)", **style.SIDE_LABEL)
    style.stamp(figure, values["data"])
    return figure
