"""How every figure looks: sizes, fonts, colours, lines and markers, the note on simulated data.

Nothing of this stands in another file. Colours are distinguishable under the common forms of colour
blindness (Okabe-Ito and Paul Tol's muted scheme) and belong to a method by its place in the
configuration, in every figure alike.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogFormatter, MaxNLocator

from relad.fileio import whole_file, write_text
from relad.results.metrics import METRICS, Better
from relad.status import Kind, note_of
from relad.study.catalogue import FIGURE, FLOOR, SUFFIXES
from relad.study.settings import ResultSettings

_RC = {
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
    "text.parse_math": False,  # a $ in a method's name is one
    "savefig.dpi": 300,
}

# --- sizes in inches ----------------------------------------------------------------------------

#: Text width of a two-column page.
WIDTH = 7.2
#: Heights of the figures: fixed part, and of each line, method, panel or row of axes.
ABLATION = (0.95, 0.42)
CALIBRATION = (2.6, 0.0)
BLAND_ALTMAN = (0.75, 0.72)
DISTRIBUTIONS = (1.85, 0.57)
#: Of the forest: fixed part of a row of panels, and each line of a name.
FOREST = (0.45, 0.17)
#: Of the images: what is above them and their headers, and below each of their rows.
PANELS = (0.2, 0.06)
PLANE = (3.6, 0.0)
RANKS = (1.3, 0.26)
REGIONS = (1.9, 0.13)
RUNTIME = (2.6, 0.0)
SAMPLERS = (0.9, 1.45)
TRAINING_CURVES = (0.75, 1.25)
#: Width beside the panels, for their colour bars.
BESIDE_PANELS = 0.6
#: Axes in a row where a figure has several of a kind.
ACROSS = 3
#: Between images, in inches; and their bar as shares of the room for it and of the images' height.
GAP = 0.015
PANEL_BAR = (0.11, 0.86)
#: From the upper edge of a slice to the letters of its sides, in inches.
SIDE_DOWN = 0.03
SIDE_BAR = {"aspect": 30, "pad": 0.01, "fraction": 0.02}
#: Characters of a legend's line, and those that the mark and the gap of an entry take.
LEGEND_LINE, LEGEND_MARK = 144, 7
#: Characters of a line of a name: in a legend, beside a category, and inches of one in a header.
LEGEND_NAME, CATEGORY_NAME, HEADER_INCH = 40, 30, 0.055
#: Characters of a line above a row of panels.
TITLE_LINE = 70
#: Characters of a line of a name below a column of cells, and beside a row of panels.
HEADER_NAME, SIDE_NAME = 34, 18
#: Height of a header's line in inches, its lines at most where it is turned, and their characters.
HEADER_LINE, TURNED_LINES, TURNED_NAME = 0.11, 3, 20
#: Inches of a character of a tracer's name and of what is said of it; height of the name's line.
TRACER_INCH, PLACE_INCH, TRACER_LINE = 0.07, 0.05, 0.15

# --- colours and markers ------------------------------------------------------------------------

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
_FLOORS = ("#7F7F7F", "#404040", "#B5B5B5")
#: Of decisions: for, against, no difference that matters, none decided.
GOOD, BAD, EVEN, OPEN = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
_TRACER_COLOURS = ("#332288", "#DDAA33", "#44AA99", "#CC6677", "#88CCEE", "#117733")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: Colour maps of MRI, PET and differences.
MRI, PET, DIFFERENCE = "gray", "inferno", "RdBu_r"
#: Of a correlation, which a bias is not to be taken for; and of a cell without one.
CORRELATION, NO_VALUE = "PuOr_r", "0.88"

# --- elements, as keyword arguments of what draws them ------------------------------------------

SUBJECT = {"marker": "o", "size": 2.6, "linewidth": 0.3, "edgecolor": "white", "jitter": 0.2}
FAINT_SUBJECT = {"marker": "o", "size": 2.8, "linewidth": 0, "alpha": 0.35, "jitter": 0.2}
BOX = {
    "width": 0.62,
    "showfliers": False,
    "showcaps": False,
    "fill": False,
    "linewidth": 0.7,
    "medianprops": {"linewidth": 1.4},
}
MEAN = {"markersize": 5.2, "markeredgecolor": "white", "markeredgewidth": 0.5}
ONE_SUBJECT = {"color": "0.5", "marker": "o", "markersize": 2, "linestyle": ""}
INTERVAL = {"linewidth": 1.3, "solid_capstyle": "butt"}
#: Share of a line's height over which tracers are spread.
DODGE = 0.8
ZERO = {"color": "0.3", "linewidth": 0.7, "zorder": 0}
RULE = {"color": "0.9", "linewidth": 0.5, "zorder": 0}
COST = {"markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.6}
FRONTIER = {"color": "0.6", "linewidth": 0.8, "linestyle": "--", "zorder": 0}
COST_INTERVAL = {"linewidth": 1, "alpha": 0.6}
CURVE = {"markersize": 3.2}
JOINED = {"linewidth": 0.8, "alpha": 0.8, "linestyle": ":"}
DECISION = {"markersize": 4.6, "markeredgewidth": 0.9}
MARGIN = {"color": "0.92", "zorder": -1}
#: Area of a blob whose rank is always reached, in points squared.
BLOB = 110
BLOBS = {"alpha": 0.75, "linewidth": 0}
MEAN_RANK = {"color": "black", "marker": "|", "markersize": 7, "linestyle": ""}
SIDE_NOTE = {"fontsize": 7}
BAND = {"alpha": 0.07, "linewidth": 0}
TRAINING = {"linewidth": 0.9, "alpha": 0.85, "markersize": 2.5}
CELL_NAME = {"fontsize": 5.2, "linespacing": 1.0}
BETWEEN_CELLS = {"color": "0.2", "linewidth": 0.8}
CELL = {"fontsize": 4.3, "ha": "center", "va": "center"}
#: Share of a colour map's range beyond which its cells are dark, and their numbers white.
DARK_CELL = 0.62
LIMITS = {"color": "0.35", "linewidth": 0.7, "linestyle": (0, (4, 2)), "zorder": 0}
CEILING = {"color": "black", "linewidth": 0.9, "linestyle": (0, (3, 2)), "zorder": 0}
BIAS = {"linewidth": 1.1, "zorder": 1}
SIDE_LABEL = {"fontsize": 7}
PERSON = {"s": 9, "linewidth": 0.3, "edgecolor": "white", "zorder": 2}
HEADER = {"fontsize": 6.5, "ha": "center", "va": "bottom"}
TURNED_HEADER = {"rotation": 90, "linespacing": 1.0}
SIDE = {"color": "white", "fontsize": 6, "fontweight": "bold", "va": "top"}
PLACE = {"fontsize": 5.5, "linespacing": 1.3, "va": "top"}
TRACER = {"fontsize": 7, "fontweight": "bold", "va": "top"}
_STAMP = {"fontsize": 7, "fontweight": "bold", "color": "#A00000", "x": 0.5}


def applied() -> AbstractContextManager[None]:
    """Context in which figures are drawn and saved."""
    return plt.rc_context(_RC)


def new_figure(height: tuple[float, float], rows: float = 1) -> Figure:
    """Return an empty figure of the common width, see :data:`ABLATION` and its like."""
    np.random.seed(0)  # seaborn sets points apart by it: the same on every run
    return plt.figure(figsize=(WIDTH, height[0] + height[1] * rows))


def marker(k: int) -> str:
    """Marker of the k-th tracer, family or curve."""
    return _MARKERS[k % len(_MARKERS)]


def method_colours(settings: ResultSettings) -> dict[str, str]:
    """Colour of every method, those of the main comparison first; floors are greys."""
    methods = settings.methods
    ordered = sorted(methods, key=lambda name: "main" not in methods[name].groups)
    colours = {}
    for palette, floor in ((COLOURS, False), (_FLOORS, True)):
        of = [name for name in ordered if (methods[name].family == FLOOR) == floor]
        colours |= {name: palette[k % len(palette)] for k, name in enumerate(of)}
    return {name: colours[name] for name in ordered}


def tracer_colours(settings: ResultSettings) -> dict[str, str]:
    """Colour of every tracer."""
    return {t: _TRACER_COLOURS[k % len(_TRACER_COLOURS)] for k, t in enumerate(settings.tracers)}


def family_markers(settings: ResultSettings) -> dict[str, str]:
    """Marker of every family of methods."""
    families = dict.fromkeys(entry.family for entry in settings.methods.values())
    return {family: marker(k) for k, family in enumerate(families)}


def wrapped(name: str, most: int) -> str:
    """A name in lines of so many characters, broken between words and at hyphens."""
    return "\n".join(textwrap.wrap(name, max(most, 1), break_long_words=False))


@dataclass(frozen=True)
class Headers:
    """Names above columns: their lines, how they are written, and the height that they take."""

    texts: list[str]
    look: dict[str, Any]
    height: float


def headers(names: Sequence[str], width: float) -> Headers:
    """Names above columns of a width in inches, turned where a word would be wider."""
    most = int(width / HEADER_INCH)
    level = [wrapped(name, most) for name in names]
    if all(len(line) <= most for text in level for line in text.split("\n")):
        return Headers(level, HEADER, HEADER_LINE * (max(t.count("\n") for t in level) + 1))
    turned = [wrapped(n, max(TURNED_NAME, -(-len(n) // TURNED_LINES) + 4)) for n in names]
    longest = max(len(line) for text in turned for line in text.split("\n"))
    return Headers(turned, HEADER | TURNED_HEADER, HEADER_INCH * longest)


def title(ax: Axes, *lines: str) -> None:
    """Head a row of panels above its first; a longer line would push them apart."""
    ax.set_title("\n".join(wrapped(line, TITLE_LINE) for line in lines), loc="left")


def metric_label(metric: str, apart: str = ", ") -> str:
    """Name of a metric with its unit, and an arrow that tells in which direction it improves."""
    return f"{METRICS[metric].label}{apart}{METRICS[metric].better.value}"


def difference_label(metric: str) -> str:
    """Name of a difference of values, or of the distances from a metric's right value."""
    target = METRICS[metric].better.target
    if target is None:
        return f"Δ {metric_label(metric, apart=chr(10))}"
    return f"Δ distance from {target:g} of\n{METRICS[metric].label}\n{Better.LOWER.value}"


def panels(figure: Figure, count: int, **shared: bool) -> list[Axes]:
    """So many axes, a few in a row; ``shared`` are sharex and sharey."""
    rows = rows_of(count)
    every = figure.subplots(rows, ACROSS, squeeze=False, **shared).ravel()
    for ax in every[count:]:
        ax.remove()
    return list(every[:count])


def rows_of(count: int) -> int:
    """Rows of :func:`panels`."""
    return -(-count // ACROSS)


def height_of(label: str) -> int:
    """Lines that the name of a category takes, at least two."""
    return max(2, _each(label, CATEGORY_NAME).count("\n") + 1)


def name_lines(ax: Axes, labels: Iterable[str]) -> None:
    """Name the categories of seaborn's vertical axis."""
    labels = list(labels)
    ax.set_ylabel("")
    ax.set_yticks(range(len(labels)), [_each(label, CATEGORY_NAME) for label in labels])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


def _each(label: str, most: int) -> str:
    """Every line of a label wrapped."""
    return "\n".join(wrapped(line, most) for line in label.split("\n"))


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis with numbers as they are; powers of ten would need mathtext."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(LogFormatter())  # labels some where there is no decade


def few_ticks() -> MaxNLocator:
    return MaxNLocator(4)


def legend(figure: Figure, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Put a legend below a figure: label -> style of its line."""
    labels = [wrapped(label, LEGEND_NAME) for label in entries]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    figure.legend(
        handles=[
            Line2D([], [], label=label, **style)
            for label, style in zip(labels, entries.values(), strict=True)
        ],
        loc="outside lower center",
        ncols=max(min(LEGEND_LINE // (longest + LEGEND_MARK), len(entries)), 1),
    )


def stamp(figure: Figure, kinds: Iterable[str], **place: float) -> None:
    """Write on the figure's face what must not be overlooked of the kinds of data it shows.

    ``place``: where its top is, if no layout sees to it.
    """
    if note := note_of(map(Kind, kinds)):
        figure.suptitle(note, **_STAMP, **place)


def save(figure: Figure, path: Path, caption: str) -> list[Path]:
    """Write ``.png`` and ``.pdf`` without dates, and ``.txt`` with the stamp and the caption.

    Byte-identical for equal content.
    """
    paths = [path.with_suffix(f".{suffix}") for suffix in SUFFIXES[FIGURE]]
    for file, metadata in zip(paths, ({"Software": None}, {"CreationDate": None}), strict=False):
        with whole_file(file) as temporary:
            figure.savefig(temporary, metadata=metadata)
        with plt.rc_context({"figure.constrained_layout.use": False}):
            figure.set_layout_engine(None)  # it is laid out: no draft of it for the next file
    note = figure.get_suptitle()
    write_text(paths[-1], f"**{note}**\n\n{caption}\n" if note else f"{caption}\n")
    plt.close(figure)
    return paths
