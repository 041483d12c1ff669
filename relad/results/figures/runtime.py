"""Figure: image quality against time per synthesised volume and against training time."""

from __future__ import annotations

from matplotlib.figure import Figure

from relad.results.figures import style
from relad.results.scores import mean_over_tracers
from relad.results.study import Study
from relad.results.tables.accuracy import summarized
from relad.results.tables.runtime import costs
from relad.study.catalogue import Result

#: Shortest time that is drawn (s): closed-form methods take less than the clock resolves.
SHORTEST_S = 1e-3
_TIMES = {
    "seconds_per_volume": "time per synthesised volume (s), ← faster",
    "train_seconds": "training time (s), ← faster",
}


def draw(study: Study, result: Result) -> Figure | None:
    """Draw PSNR (mean over tracers, then subjects) against both times; None without costs."""
    found, methods = costs(study, result), study.settings.methods
    values = study.values(result, [m for of in study.comparisons(result) for m in of if m in found])
    if values.empty:
        return None
    by = ["method", "cohort"]
    points = summarized(mean_over_tracers(values), by, study.settings.evaluation)
    colours, markers = style.method_colours(study.settings), style.family_markers(study.settings)
    looks = {
        m: {"color": colours[m], "marker": markers[methods[m].family], **style.COST}
        for m in points["method"]
    }
    figure = style.new_figure(style.RUNTIME)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, (time, label) in zip(axes, _TIMES.items(), strict=True):
        for point in points.itertuples():
            seconds = getattr(found[point.method], time)
            if seconds is None:
                continue
            x = max(seconds, SHORTEST_S)
            ends = [point.psnr_low, point.psnr_high]
            ax.plot([x, x], ends, color=colours[point.method], **style.COST_INTERVAL)
            ax.plot(x, point.psnr, **looks[point.method])
        ax.set(xscale="log", xlabel=label)
        ax.margins(x=0.1)
        ax.grid(which="major")
    axes[0].set_ylabel("PSNR (dB),\nmean over tracers")
    style.legend(
        figure,
        {
            f"{study.label(m)}, {methods[m].family}": {"linestyle": "", **look}
            for m, look in looks.items()
        },
    )
    style.stamp(figure, values["data"])
    return figure
