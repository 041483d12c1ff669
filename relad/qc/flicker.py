"""Pairs of pictures to flip between: two images in the same planes, at the same size.

An eye sees a shift of a millimetre when one picture takes the place of the other, and none when
they lie side by side. All views of a subject are one file, a column of equal tiles, so that the
page flips without loading; outlines of the brain are another, laid over it. ``views`` and ``pairs``
of the JSON file beside them say what is where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from relad.fileio import write_json
from relad.study import paths

PIXEL_MM = 1.5
#: Box in MNI mm that the planes show, and the planes: axis and place in mm, row by row.
BOX_MM = ((-82.5, 82.5), (-117.0, 82.5), (-82.5, 88.5))
PLANES = (
    ((0, 6.0), (1, -20.0), (2, 8.0)),
    ((2, -40.0), (2, -16.0), (2, 40.0)),
)
#: Height in pixels of the strip above each tile with its name.
STRIP = 16
QUALITY = 70


def _canvas() -> np.ndarray:
    """MNI points (height, width, 3) of the pixels of a tile, top row first; NaN between planes."""
    ticks = [np.arange(low, high + 1e-6, PIXEL_MM) for low, high in BOX_MM]
    rows = []
    for row in PLANES:
        drawn = []
        for axis, place in row:
            across, up = (a for a in range(3) if a != axis)
            plane = np.full((len(ticks[up]), len(ticks[across]), 3), place)
            plane[..., across] = ticks[across]
            plane[..., up] = ticks[up][::-1, None]
            drawn.append(plane)
        height, width = max(len(p) for p in drawn), sum(p.shape[1] for p in drawn)
        canvas, at = np.full((height, width, 3), np.nan), 0
        for plane in drawn:
            canvas[: len(plane), at : at + plane.shape[1]] = plane
            at += plane.shape[1]
        rows.append(canvas)
    width = max(row.shape[1] for row in rows)
    wide = [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=np.nan)
            for r in rows]  # fmt: skip
    return np.concatenate(wide)


@dataclass(frozen=True)
class Pair:
    """Two views of one list, and the outline that goes with them, by name."""

    name: str
    first: str
    second: str
    outline: str = "brain"


@dataclass
class Flicker:
    """Views of one subject, gathered one by one and written together.

    Attributes
    ----------
    points
        (n, 3) in MNI mm, at which every view and outline is to be sampled.
    views
        Name -> (values (n,), grey value that is white).
    outlines
        Name -> (n,) boolean mask whose edge is drawn.
    """

    canvas: np.ndarray = field(default_factory=_canvas)
    views: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)
    outlines: dict[str, np.ndarray] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._drawn = np.isfinite(self.canvas[..., 0])
        self.points = self.canvas[self._drawn]

    def outline(self, name: str, mask: np.ndarray) -> None:
        self.outlines[name] = mask

    def view(self, name: str, values: np.ndarray, *, like: str | None = None) -> str:
        """Add a view; returns its name.

        ``like`` names a view with whose grey values it is shown, else its own brightest in the
        brain are white.
        """
        brain = values[self.outlines["brain"]]
        white = self.views[like][1] if like else float(np.percentile(brain, 99.5))
        self.views[name] = (values, white)
        return name

    def write(self, folder: Path, subject: str, title: str) -> None:
        """Write the tiles (JPEG), the outlines (PNG) and what they are (JSON).

        ``title`` stands before each view's name, with what the data are.
        """
        tiles = [
            np.clip(self._tile(values) / (white or 1.0), 0, 1)
            for values, white in self.views.values()
        ]
        _write_tiles(folder / paths.flicker_picture(subject), tiles,
                     [f"{title}   {name}" for name in self.views])  # fmt: skip
        edges = [self._edge(mask) for mask in self.outlines.values()]
        _write_edges(folder / paths.flicker_outline(subject), edges)
        height, width = self.canvas.shape[:2]
        told = {
            "size": [width, height + STRIP],
            "views": list(self.views),
            "outlines": list(self.outlines),
            "pairs": [asdict(pair) for pair in self.pairs],
        }
        write_json(folder / paths.flicker_views(subject), told)

    def _tile(self, values: np.ndarray) -> np.ndarray:
        tile = np.zeros(self._drawn.shape, np.float32)
        tile[self._drawn] = values
        return tile

    def _edge(self, mask: np.ndarray) -> np.ndarray:
        """Outermost pixels of a mask, (height, width) boolean."""
        tile = self._tile(mask) > 0
        return tile & ~ndimage.binary_erosion(tile)


def _write_tiles(path: Path, tiles: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Write grey tiles (height, width) in 0..1 below each other, each under its name."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = tiles[0].shape
    step = height + STRIP
    figure = Figure(figsize=(width / 100, step * len(tiles) / 100), dpi=100, facecolor="black")
    FigureCanvasAgg(figure)
    for index, (tile, name) in enumerate(zip(tiles, names, strict=True)):
        bottom = step * (len(tiles) - 1 - index)
        figure.figimage(tile[::-1], 0, bottom, cmap="gray", vmin=0, vmax=1, origin="lower")
        at = (3 / width, (bottom + height + STRIP / 2) / (step * len(tiles)))
        figure.text(*at, name, color="white", fontsize=6.5, verticalalignment="center")
    figure.savefig(path, format="jpg", pil_kwargs={"quality": QUALITY, "optimize": True})


def _write_edges(path: Path, edges: Sequence[np.ndarray]) -> None:
    """Write edges (height, width) below each other, cyan on nothing, to lie over the tiles."""
    from matplotlib.image import imsave

    strip = np.zeros((STRIP, edges[0].shape[1]), bool)
    drawn = np.concatenate([part for edge in edges for part in (strip, edge)])
    image = np.zeros((*drawn.shape, 4), np.uint8)
    image[drawn] = (0, 255, 255, 255)
    imsave(path, image, metadata={"Software": None})
