"""How every figure looks: sizes, fonts, one colour per method, the note on simulated data.

Colours are distinguishable under the common forms of colour blindness (Okabe-Ito and Paul Tol's
muted scheme) and belong to a method by its place in the configuration, in every figure alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from relad.fileio import whole_file
from relad.results.scores import main_methods, simulated
from relad.study.provenance import simulated_note

#: Text width of a two-column page, inches.
WIDTH_IN = 7.2

RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 300,
}

COLOURS = (
    "#D55E00",
    "#0072B2",
    "#009E73",
    "#E69F00",
    "#56B4E9",
    "#CC79A7",
    "#332288",
    "#999933",
    "#882255",
    "#44AA99",
)
_FLOOR = "#7F7F7F"
_TRACER_COLOURS = ("#332288", "#DDAA33", "#44AA99", "#CC6677", "#88CCEE", "#117733")
TRACER_MARKERS = ("o", "s", "^", "D", "v", "P")
FAMILY_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

AXIS_LABELS = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM (3D)",
    "mae": "MAE (SUVR)",
}


def new_figure(height_in: float, *, width_in: float = WIDTH_IN) -> Figure:
    """Return an empty figure of the common width."""
    return plt.figure(figsize=(width_in, height_in))


def method_colours(settings: dict[str, Any]) -> dict[str, str]:
    """Colour of every method that is no ablation; floors are grey."""
    colours, used = {}, 0
    for method in main_methods(settings):
        if settings["methods"][method]["family"] == "floor":
            colours[method] = _FLOOR
        else:
            colours[method] = COLOURS[used % len(COLOURS)]
            used += 1
    return colours


def tracer_colours(settings: dict[str, Any]) -> dict[str, str]:
    """Colour of every tracer."""
    return {
        tracer: _TRACER_COLOURS[i % len(_TRACER_COLOURS)]
        for i, tracer in enumerate(settings["tracers"])
    }


def family_markers(settings: dict[str, Any]) -> dict[str, str]:
    """Marker of every family of methods."""
    families = dict.fromkeys(entry["family"] for entry in settings["methods"].values())
    return {f: FAMILY_MARKERS[i % len(FAMILY_MARKERS)] for i, f in enumerate(families)}


def jitter(n: int, spread: float) -> np.ndarray:
    """Offsets (n,) in [-spread, spread] that set points apart, the same on every run."""
    golden = 0.6180339887498949
    return spread * (2 * ((np.arange(n) * golden + 0.5) % 1) - 1)


def better(higher: bool) -> str:
    """Arrow that tells in which direction an axis improves."""
    return "higher is better →" if higher else "← lower is better"


def stamp(figure: Figure, settings: dict[str, Any], cohorts: Iterable[str]) -> None:
    """Write on the figure's face that it shows simulated data, where one of its cohorts is."""
    if simulated(settings, cohorts):
        figure.suptitle(
            simulated_note(settings), fontsize=7, fontweight="bold", color="#A00000", x=0.5
        )


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write ``<name>.png`` and ``.pdf`` without dates, byte-identical for equal content."""
    paths = [folder / f"{name}.png", folder / f"{name}.pdf"]
    for path, metadata in zip(paths, ({"Software": None}, {"CreationDate": None}), strict=True):
        with whole_file(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
    plt.close(figure)
    return paths
