"""Figure: error against blur, a point for every method and sampler (distortion-perception)."""

from __future__ import annotations

from matplotlib.figure import Figure

from relad.results.figures import style
from relad.results.scores import mean_over_tracers
from relad.results.study import Study
from relad.results.tables.accuracy import summarized
from relad.study.catalogue import Result
from relad.study.sampling import described, one_of


def draw(study: Study, result: Result) -> Figure | None:
    """Draw the first metric (error) against the second; None without values.

    A method whose image is a mean of samples is joined by a line to its single sample.
    """
    values = study.values(result, [m for of in study.comparisons(result) for m in of])
    if values.empty:
        return None
    by = ["cohort", "method", "sampler"]
    points = summarized(mean_over_tracers(values), by, study.settings.evaluation)
    singles = {one_of(sampler) for sampler in points["sampler"]}
    colours, markers = style.method_colours(study.settings), style.family_markers(study.settings)
    x, y = result.metrics
    cohorts = list(points.groupby("cohort", observed=True))
    figure = style.new_figure(style.PLANE)
    axes = figure.subplots(1, len(cohorts), sharey=True, squeeze=False)[0]
    legend = {}
    for ax, (cohort, of_cohort) in zip(axes, cohorts, strict=True):
        ax.axhline(0, **style.ZERO)
        for method, of in of_cohort.groupby("method", observed=True):
            entry, colour = study.settings.methods[method], colours[method]
            ax.plot(of[x], of[y], color=colour, **style.JOINED)
            for row in of.to_dict("records"):
                look = {"color": colour, "marker": markers[entry.family], **style.COST}
                if row["sampler"] in singles:
                    look |= {"markerfacecolor": "white", "markeredgecolor": colour}
                across, along = ([row[f"{m}_low"], row[f"{m}_high"]] for m in (x, y))
                ax.plot(across, [row[y]] * 2, color=colour, **style.COST_INTERVAL)
                ax.plot([row[x]] * 2, along, color=colour, **style.COST_INTERVAL)
                ax.plot(row[x], row[y], **look)
                name = study.label(method)
                if len(of) > 1:
                    name = f"{entry.label}, {described(row['sampler'])}"
                legend[name] = {"linestyle": "", **look}
        ax.set_title(f"{cohort}, n = {of_cohort['n'].max()}")
        ax.set_xlabel(style.metric_label(x))
        ax.grid()
    axes[0].set_ylabel(style.metric_label(y, apart="\n"))
    style.legend(figure, legend)
    style.stamp(figure, values["data"])
    return figure
