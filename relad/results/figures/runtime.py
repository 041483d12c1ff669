"""Figure: image quality against what it costs: evaluations, time per volume, training time."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.figure import Figure

from relad.results.figures import style
from relad.results.records import loads_of
from relad.results.scores import mean_over_tracers
from relad.results.study import Study
from relad.results.tables.accuracy import summarized
from relad.results.tables.runtime import costs
from relad.study.catalogue import Result

#: Shortest time that is drawn (s): closed-form methods take less than the clock resolves.
SHORTEST_S = 1e-3
#: Cost -> its label.
_COSTS = {
    "evaluations": "network evaluations per volume",
    "seconds_per_volume": "time per synthesised volume (s)",
    "train_seconds": "training time (s)",
}


def draw(study: Study, result: Result) -> Figure | None:
    """Draw PSNR (mean over tracers, then subjects) against each cost; None without costs.

    The line is the frontier: no method is both cheaper and better than one on it.
    """
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
    axes = figure.subplots(1, len(_COSTS), sharey=True)
    for ax, (cost, label) in zip(axes, _COSTS.items(), strict=True):
        shown = []
        for point in points.itertuples():
            paid = getattr(found[point.method], cost)
            if paid is None:
                continue
            x = max(paid, SHORTEST_S)
            ends = [point.psnr_low, point.psnr_high]
            ax.plot([x, x], ends, color=colours[point.method], **style.COST_INTERVAL)
            ax.plot(x, point.psnr, **looks[point.method])
            shown.append((x, point.psnr))
        best = frontier(shown)
        if len(best) > 1:
            ax.step(*zip(*best, strict=True), where="post", **style.FRONTIER)
        ax.set(xscale="log", xlabel=f"{label}, ← cheaper")
        style.plain_numbers(ax.xaxis)
        ax.margins(x=0.1)
        ax.grid(which="major")
    axes[0].set_ylabel("PSNR (dB),\nmean over tracers")
    axes[1].set_title(f"times under {loads_of(found.values())}", loc="left")
    style.legend(
        figure,
        {
            f"{study.label(m)}, {methods[m].family}": {"linestyle": "", **look}
            for m, look in looks.items()
        },
    )
    style.stamp(figure, values["data"])
    return figure


def frontier(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (cost, quality) that no other one is cheaper and better than, by cost."""
    found: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or quality > found[-1][1]:
            found.append((cost, quality))
    return found
