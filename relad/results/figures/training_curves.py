"""Figure: losses and validation PSNR of every method against updates and wall-clock time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from relad.errors import DataError
from relad.fileio import read_json, read_table
from relad.results.figures.study import Study
from relad.results.figures.style import method_colours, new_figure, stamp
from relad.results.scores import cohorts_of

_AXES = {"update": "update", "seconds": "wall-clock time (s)"}
#: Columns of the log that are no losses, and their labels.
_QUALITY = {"validation_psnr": "validation PSNR (dB)"}


def draw(study: Study) -> Figure | None:
    """Draw one row per loss, one line per trained model; None without models.

    Ablations and closed-form floors are left out.
    """
    settings = study.settings
    colours = method_colours(settings)
    runs = []
    for folder in study.models:
        method = read_json(folder / "train.json").get("method")
        if method in colours and settings["methods"][method]["family"] != "floor":
            runs.append((method, read_log(folder / "log.csv")))
    runs.sort(key=lambda run: list(colours).index(run[0]))
    losses = list(dict.fromkeys(column for _, log in runs for column in log if column not in _AXES))
    if not losses:
        return None
    figure = new_figure(0.75 + 1.25 * len(losses))
    axes = figure.subplots(len(losses), len(_AXES), squeeze=False, sharex="col", sharey="row")
    for i, loss in enumerate(losses):
        logarithmic = True
        for method, log in runs:
            points = [k for k, value in enumerate(log.get(loss, [])) if value is not None]
            if not points:
                continue
            y = [log[loss][k] for k in points]
            logarithmic &= min(y) > 0 and loss not in _QUALITY
            for ax, column in zip(axes[i], _AXES, strict=True):
                ax.plot(
                    [log[column][k] for k in points],
                    y,
                    color=colours[method],
                    linewidth=0.9,
                    alpha=0.85,
                    marker="o" if len(points) == 1 else None,
                    markersize=2.5,
                )
        for ax in axes[i]:
            if logarithmic:
                ax.set_yscale("log")
                low, high = ax.get_ylim()
                # Over several decades 1, 2, 5 would print their labels over each other.
                subs = (1, 2, 5) if high < 100 * low else (1,)
                ax.yaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
                ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                ax.yaxis.set_minor_locator(NullLocator())
            ax.grid(which="major")
        unit = "" if loss.endswith("_ratio") else " loss"
        axes[i, 0].set_ylabel(_QUALITY.get(loss, f"{loss.replace('_', ' ')}{unit}"))
    for ax, label in zip(axes[-1], _AXES.values(), strict=True):
        ax.set_xlabel(label)
    figure.align_ylabels(axes[:, 0])
    shown = [m for m in colours if any(method == m for method, _ in runs)]
    figure.legend(
        handles=[Line2D([], [], color=colours[m], label=study.label(m)) for m in shown],
        loc="outside lower center",
        ncols=min(6, len(shown)),
    )
    stamp(figure, settings, cohorts_of(settings, "train"))
    return figure


def read_log(file: Path) -> dict[str, list[Any]]:
    """Read ``log.csv`` of a training as columns of floats, None where a cell is empty."""
    rows = read_table(file)
    columns: dict[str, list[Any]] = {name: [] for row in rows[:1] for name in row}
    lacking = [name for name in _AXES if name not in columns]
    if lacking:
        raise DataError(f"lacks the columns {', '.join(lacking)}", file=file)
    try:
        for row in rows:
            for name, values in columns.items():
                values.append(None if row[name] is None else float(row[name]))
    except (TypeError, ValueError) as error:
        raise DataError(f"not a training log ({error})", file=file) from None
    return columns
