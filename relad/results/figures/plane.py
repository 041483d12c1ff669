"""Figure: error against blur, a point for every method and sampler (distortion-perception)."""

from __future__ import annotations

from matplotlib.figure import Figure

from relad.results.figures import style
from relad.results.scores import mean_over_tracers
from relad.results.study import Study
from relad.results.tables.accuracy import summarized
from relad.study.catalogue import Result
from relad.study.sampling import described


def draw(study: Study, result: Result) -> Figure | None:
    """Draw the first metric (error) against the second; None without values.

    A method whose image is a mean of samples is joined by a line to its single sample.
    """
    methods = [m for of in study.comparisons(result) for m in of]
    values = study.values(result, methods)
    if values.empty:
        return None
    parts = [
        mean_over_tracers(of).assign(sampler=sampler)
        for sampler, of in values.groupby("sampler", observed=True)
    ]
    by = ["cohort", "method", "sampler"]
    points = [summarized(part, by, study.settings.evaluation) for part in parts]
    rows = {}
    for part in points:
        for row in part.to_dict("records"):
            rows.setdefault((row["cohort"], row["method"]), []).append(row)
    cohorts = list(dict.fromkeys(cohort for cohort, _ in rows))
    colours, markers = style.method_colours(study.settings), style.family_markers(study.settings)
    x, y = result.metrics
    figure = style.new_figure(style.PLANE)
    axes = figure.subplots(1, len(cohorts), sharey=True, squeeze=False)[0]
    legend = {}
    for ax, cohort in zip(axes, cohorts, strict=True):
        ax.axhline(0, **style.ZERO)
        for (where, method), of in rows.items():
            if where != cohort:
                continue
            look = {
                "color": colours[method],
                "marker": markers[study.settings.methods[method].family],
                **style.COST,
            }
            ax.plot([r[x] for r in of], [r[y] for r in of], color=colours[method], **style.JOINED)
            for row in of:
                single = len(of) > 1 and row is min(of, key=lambda r: len(r["sampler"]))
                face = {"markerfacecolor": "white", "markeredgecolor": colours[method]}
                shown = {**look, **face} if single else look
                for along, ends in ((x, y), (y, x)):
                    span = [row[f"{along}_low"], row[f"{along}_high"]]
                    fixed = [row[ends]] * 2
                    pair = (span, fixed) if along == x else (fixed, span)
                    ax.plot(*pair, color=colours[method], **style.COST_INTERVAL)
                ax.plot(row[x], row[y], **shown)
                name = study.label(method)
                if len(of) > 1 and not name.endswith(described(row["sampler"])):
                    name = f"{name.split(',')[0]}, {described(row['sampler'])}"
                legend[name] = {"linestyle": "", **shown}
        n = max(r["n"] for (where, _), of in rows.items() if where == cohort for r in of)
        ax.set_title(f"{cohort}, n = {n}")
        ax.set_xlabel(style.metric_label(x))
        ax.grid()
    axes[0].set_ylabel(style.metric_label(y, apart="\n"))
    style.legend(figure, legend)
    style.stamp(figure, values["data"])
    return figure
