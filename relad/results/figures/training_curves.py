"""Figure: losses and validation PSNR of every method against updates and wall-clock time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from relad.errors import DataError, ReladError
from relad.results.figures import style
from relad.results.study import Study
from relad.study.catalogue import FLOOR, Result
from relad.study.paths import TRAINING_LOG

_AXES = {"update": "update", "seconds": "wall-clock time (s)"}
#: Columns of the log that are no losses, and their labels.
_QUALITY = {
    "validation_psnr": "validation PSNR (dB)",
    "discriminator_accuracy": "discriminator's\naccuracy",
    "adversarial_share": "adversary's share\nof the gradient",
}
#: A vertical axis spans at least this share of its values: what is constant is drawn as such.
_LEAST_SPAN = 0.1


def draw(study: Study, result: Result) -> Figure | None:
    """Draw one row per loss, one line per trained model; None without models.

    Ablations and closed-form floors are left out.
    """
    methods = study.settings.methods
    shown = [m for of in study.comparisons(result) for m in of if methods[m].family != FLOOR]
    models = [model for m in shown for model in study.models if model.method == m]
    logs = [read_log(model.folder / TRAINING_LOG) for model in models]
    losses = list(dict.fromkeys(column for log in logs for column in log if column not in _AXES))
    if not losses:
        return None
    colours = style.method_colours(study.settings)
    figure = style.new_figure(style.TRAINING_CURVES, len(losses))
    axes = figure.subplots(len(losses), len(_AXES), squeeze=False, sharex="col", sharey="row")
    for row, loss in zip(axes, losses, strict=True):
        logarithmic = loss not in _QUALITY
        for model, log in zip(models, logs, strict=True):
            if loss not in log:
                continue
            points = log.dropna(subset=loss)
            logarithmic &= bool((points[loss] > 0).all())
            for ax, column in zip(row, _AXES, strict=True):
                ax.plot(
                    points[column],
                    points[loss],
                    color=colours[model.method],
                    marker="o" if len(points) == 1 else None,
                    **style.TRAINING,
                )
        for ax in row:
            if logarithmic:
                _scale(ax)
            else:
                _widen(ax)
            ax.grid(which="major")
        unit = "" if loss.endswith("_ratio") else " loss"
        row[0].set_ylabel(_QUALITY.get(loss, f"{loss.replace('_', ' ')}{unit}"))
    for ax, label in zip(axes[-1], _AXES.values(), strict=True):
        ax.set_xlabel(label)
    figure.align_ylabels(axes[:, 0])
    named = dict.fromkeys(model.method for model in models)
    style.legend(figure, {study.label(m): {"color": colours[m]} for m in named})
    style.stamp(figure, [model.kind for model in models])
    return figure


def _widen(ax: Axes) -> None:
    """Let a linear vertical axis span more than the noise of a constant."""
    low, high = ax.get_ylim()
    middle = (low + high) / 2
    if high - low < _LEAST_SPAN * abs(middle):
        half = _LEAST_SPAN / 2 * abs(middle)
        ax.set_ylim(middle - half, middle + half)


def _scale(ax: Axes) -> None:
    """Make a vertical axis logarithmic, its labels plain numbers."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    # Over several decades 1, 2, 5 would print their labels over each other.
    subs = (1, 2, 5) if high < 100 * low else (1,)
    ax.yaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    style.plain_numbers(ax.yaxis)
    ax.yaxis.set_minor_locator(NullLocator())


def read_log(file: Path) -> pd.DataFrame:
    """Read ``log.csv`` of a training as columns of floats, NaN where a cell is empty."""
    try:
        log = pd.read_csv(file, dtype=float)
    except FileNotFoundError:
        raise ReladError("no such table", file=file) from None
    except ValueError as error:
        raise DataError(f"not a training log ({error})", file=file) from None
    lacking = [name for name in _AXES if name not in log]
    if lacking:
        raise DataError(f"lacks the columns {', '.join(lacking)}", file=file)
    return log
