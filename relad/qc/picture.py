"""One picture of a normalised subject: every image in three planes with the brain's outline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def draw(
    path: Path,
    title: str,
    images: Mapping[str, np.ndarray],
    mask: np.ndarray,
    windows: Mapping[str, tuple[float, float]],
) -> None:
    """Draw each image in three planes with the outline of a mask.

    Parameters
    ----------
    path
        PNG to write.
    title
        Above all.
    images
        Name -> (x, y, z) image on one RAS grid.
    mask
        (x, y, z) boolean; its outline is drawn.
    windows
        Name -> grey-value window; 0 to the 99.5th percentile inside the mask where not given.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    middle = [size // 2 for size in mask.shape]
    figure = Figure(figsize=(7.5, 2.3 * len(images) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(images), 3, squeeze=False)
    for row, (name, image) in zip(axes, images.items(), strict=True):
        low, high = windows.get(name, (0.0, float(np.percentile(image[mask], 99.5))))
        colours = "inferno" if name in windows else "gray"
        for axis, ax in enumerate(row):
            drawn = ax.imshow(
                image.take(middle[axis], axis).T,
                origin="lower", cmap=colours, vmin=low, vmax=high, interpolation="nearest",
            )  # fmt: skip
            outline = mask.take(middle[axis], axis).T
            if outline.any():
                ax.contour(outline, [0.5], colors="cyan", linewidths=0.6)
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
        if name in windows:
            figure.colorbar(drawn, ax=row[2], label="SUVR")
    figure.suptitle(title)
    figure.savefig(path, dpi=80, metadata={"Software": None})
