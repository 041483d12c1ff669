"""Figure: what each ablation changes, as paired differences to its full method; also of groups."""

from __future__ import annotations

import math

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from relad.results.decisions import with_losses
from relad.results.figures import style
from relad.results.statistics import mean_interval
from relad.results.study import Study
from relad.study.catalogue import Result


def draw(study: Study, result: Result) -> Figure | None:
    """Draw the difference to a reference per subject, with its mean and interval; None without.

    The reference of an ablation is its full method; that of any other group is its first method.
    """
    parts = [_differences(study, result, *methods) for methods in study.comparisons(result)]
    parts = [part for part in parts if len(part)]
    if not parts:
        return None
    found = pd.concat(parts)
    evaluation = study.settings.evaluation
    lines = list(dict.fromkeys(zip(found["line"], found["base"], found["method"], strict=True)))
    bases = list(dict.fromkeys(study.label(base) for _, base, _ in lines))
    labels = [
        f"{study.label(base)}\n{study.label(m)}" if len(bases) > 1 else study.label(m)
        for _, base, m in lines
    ]
    colours = style.tracer_colours(study.settings)
    shown = [tracer for tracer in colours if tracer in set(found["tracer"])]
    markers = {tracer: style.marker(list(colours).index(tracer)) for tracer in shown}

    def interval(values: pd.Series) -> tuple[float, float]:
        return mean_interval(values, level=evaluation.interval) or (math.nan, math.nan)

    figure = style.new_figure(style.ABLATION, len(lines))
    axes = figure.subplots(1, len(result.metrics), sharey=True, squeeze=False)[0]
    for ax, metric in zip(axes, result.metrics, strict=True):
        shared = {"data": found, "x": metric, "y": "line", "order": [line for line, _, _ in lines]}
        shared |= {"hue": "tracer", "hue_order": shown, "palette": colours, "legend": False}
        sns.stripplot(**shared, dodge=True, ax=ax, **style.FAINT_SUBJECT)
        sns.pointplot(
            **shared,
            dodge=style.DODGE * (1 - 1 / len(shown)),
            errorbar=interval,
            markers=list(markers.values()),
            linestyle="none",
            ax=ax,
            err_kws=style.INTERVAL,
            **style.MEAN,
        )
        style.name_lines(ax, labels)
        ax.axvline(0, **style.ZERO)
        for y in range(1, len(lines)):
            ax.axhline(y - 0.5, **style.RULE)
        ax.xaxis.set_major_locator(style.few_ticks())
        ax.set_xlabel(style.difference_label(metric))
    counts = found.groupby("cohort", observed=True)["subject"].nunique()
    interval = f"{100 * evaluation.interval:g}% interval"
    style.title(
        axes[0],
        f"Difference to {', '.join(bases)} in each subject; mean and {interval}",
        "; ".join(f"{cohort}, n = {n}" for cohort, n in counts.items()),
    )
    entries = {
        study.tracer_label(t): {"color": colours[t], "marker": markers[t], **style.MEAN}
        for t in shown
    }
    style.legend(figure, {**entries, "one subject": style.ONE_SUBJECT})
    style.stamp(figure, found["data"])
    return figure


def _differences(study: Study, result: Result, base: str, *others: str) -> pd.DataFrame:
    """Differences of methods to their base, one row per subject, tracer and ``line`` to draw.

    Of a metric with a right value, of the distances from it.
    """
    keys = ["cohort", "data", "tracer", "subject"]
    values = study.values(result, [base, *others], with_losses(study.scores, result.metrics))
    of_base = values["method"] == base
    full = values[of_base].set_index(keys)[list(result.metrics)]
    rows = values[~of_base].set_index([*keys, "method"])[list(result.metrics)]
    found = (rows - full.reindex(rows.index.droplevel("method")).to_numpy()).dropna().reset_index()
    line = found["cohort"].astype(str) + " " + base + " " + found["method"].astype(str)
    return found.assign(base=base, line=line).sort_values(["cohort", "method"], kind="stable")
