"""Figure: ranks of the methods over resamples of the subjects (blobs, after challengeR)."""

from __future__ import annotations

from matplotlib.figure import Figure

from relad.results.figures import style
from relad.results.metrics import METRICS
from relad.results.study import Study
from relad.results.tables.ranks import ranks
from relad.study.catalogue import Result


def draw(study: Study, result: Result) -> Figure | None:
    """Draw a panel per cohort and metric, a line of blobs per method; None without values."""
    found = ranks(study, result)
    if found.empty:
        return None
    methods = list(dict.fromkeys(found["method"]))
    colours = style.method_colours(study.settings)
    panels = list(found.groupby(["cohort", "metric"], sort=False, observed=True))
    several = found["cohort"].nunique() > 1
    figure = style.new_figure(style.RANKS, style.rows_of(len(panels)) * len(methods))
    axes = style.panels(figure, len(panels), sharex=True, sharey=True)
    for ax, ((cohort, metric), of) in zip(axes, panels, strict=True):
        y = of["method"].map(methods.index)
        ax.scatter(
            of["rank"], y, style.BLOB * of["share"], of["method"].map(colours), **style.BLOBS
        )
        mean = (of["rank"] * of["share"]).groupby(y).sum()
        ax.plot(mean, mean.index, **style.MEAN_RANK)
        style.name_lines(ax, map(study.label, methods))
        where = f"{cohort}, n = {of['n'].iloc[0]}\n" if several else ""
        ax.set_title(where + METRICS[metric].label)
        ax.set_xticks(range(1, len(methods) + 1))
    axes[0].invert_yaxis()
    for ax in axes[-style.ACROSS :]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("rank, ← better")
    if not several:
        figure.supylabel(f"{found['cohort'].iloc[0]}, n = {found['n'].iloc[0]}", **style.SIDE_NOTE)
    style.legend(figure, {"mean rank": {"linestyle": "", **style.MEAN_RANK}})
    style.stamp(figure, found["data"])
    return figure
