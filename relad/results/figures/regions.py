"""Figure: bias and correlation of regional SUVR, a cell for every region and method."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from relad.results.figures import style
from relad.results.regional import known_regions
from relad.results.study import Study
from relad.results.tables.regions import region_rows
from relad.study.catalogue import BRAIN, Result
from relad.study.regions import REGIONS

#: Bias in % at which the colours end, at least and at most; larger ones are drawn as overflow.
_LEAST, _MOST = 5.0, 40.0


def draw(study: Study, result: Result) -> Figure | None:
    """Draw a column per cohort and tracer, bias above correlation; None without values."""
    rows = region_rows(study, result)
    if rows.empty:
        return None
    regions = [region for region in known_regions(study) if region in set(rows["region"])]
    methods = list(dict.fromkeys(rows["method"]))
    columns = list(rows.groupby(["cohort", "tracer"], sort=False, observed=True))
    figure = style.new_figure(style.REGIONS, 2 * len(regions))
    axes = figure.subplots(2, len(columns), squeeze=False, sharex=True, sharey=True)
    bias = rows["bias_percent"].astype(float).fillna(0).abs()
    limit = float(np.clip(5 * np.ceil(bias.quantile(0.9) / 5), _LEAST, _MOST))
    beyond = "both" if (bias > limit).any() else "neither"
    for number, ((cohort, tracer), of) in enumerate(columns):
        above, below = axes[:, number]
        biases = _cells(above, of, "bias_percent", regions, methods, limit, style.DIFFERENCE)
        rs = _cells(below, of, "r", regions, methods, 1.0, style.CORRELATION)
        n = of.loc[of["region"] == BRAIN, "n"].max()
        above.set_title(f"{cohort}\n{study.tracer_label(tracer)}, n = {n}")
        names = [style.wrapped(study.label(method), style.HEADER_NAME) for method in methods]
        below.set_xticks(range(len(methods)), names, rotation=90, **style.CELL_NAME)
        below.set_yticks(range(len(regions)), regions)
    figure.colorbar(
        biases, ax=axes[0], label="Bias (%), 0 is best", extend=beyond, **style.SIDE_BAR
    )
    figure.colorbar(rs, ax=axes[1], label="r over subjects, 1 is best", **style.SIDE_BAR)
    style.stamp(figure, rows["data"])
    return figure


def _cells(
    ax: Axes,
    of: pd.DataFrame,
    key: str,
    regions: list[str],
    methods: list[str],
    limit: float,
    colours: str,
) -> AxesImage:
    """Draw one map, with every number in its cell."""
    table = of.pivot(index="region", columns="method", values=key).reindex(regions)
    values = table.reindex(columns=methods).to_numpy(dtype=float)
    ax.set_facecolor(style.NO_VALUE)
    drawn = ax.imshow(values, cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = "-" if np.isnan(value) else f"{value:z.0f}" if limit > 1 else f"{value:z.1f}"
        dark = abs(value) > style.DARK_CELL * limit
        ax.text(column, row, text, color="white" if dark else "black", **style.CELL)
    parts = [region in REGIONS for region in regions]
    for row in np.flatnonzero(np.diff(parts)):  # the brain, the atlas, its unions and others
        ax.axhline(row + 0.5, **style.BETWEEN_CELLS)
    ax.tick_params(length=0)
    return drawn
