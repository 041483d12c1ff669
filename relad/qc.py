"""Quality control of a normalised subject: numbers, thresholds and one picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

#: Least share of the brain that each image must cover.
MIN_COVERAGE = 0.95
_BINS = 32
#: Rim around the brain, and blur of its outline, with which PET is compared.
RIM_MM, OUTLINE_FWHM_MM = 16.0, 8.0


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation of two sets of values (n,); 0 where one is constant."""
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def correlation_ratio(values: np.ndarray, given: np.ndarray) -> float:
    """How well one image is a function of another, whatever the function.

    Parameters
    ----------
    values
        (n,) voxels of the image that is explained.
    given
        (n,) voxels of the image that explains, cut into 32 classes of equal count.

    Returns
    -------
    Square root of the share of variance between the classes, 0 to 1. For a linear relation it is
    the absolute correlation.

    References
    ----------
    Roche et al., The correlation ratio as a new similarity measure, MICCAI 1998.
    """
    edges = np.unique(np.quantile(given, np.linspace(0, 1, _BINS + 1)[1:-1]))
    label = np.digitize(given, edges)
    count = np.bincount(label, minlength=_BINS)
    total = np.bincount(label, weights=values, minlength=_BINS)
    means = total / np.maximum(count, 1)
    between = float((count * (means - values.mean()) ** 2).sum())
    within = float(((values - values.mean()) ** 2).sum())
    return float(np.sqrt(between / within)) if within > 0 else 0.0


def outline_correlation(image: np.ndarray, mask: np.ndarray, voxel_mm: float) -> float:
    """How well PET fills the brain's outline, whatever its pattern inside.

    Parameters
    ----------
    image
        (x, y, z) SUVR.
    mask
        (x, y, z) boolean, brain.
    voxel_mm
        Edge of the isotropic voxel in mm.

    Returns
    -------
    Pearson correlation of the image with the mask, blurred like PET, over the brain and a rim of
    :data:`RIM_MM`. On phantoms it is 0.8 to 0.95 for registered PET, 0.5 to 0.7 for PET that is
    16 mm off and below 0.5 for 30 mm.
    """
    rim = ndimage.distance_transform_edt(~mask, sampling=voxel_mm) < RIM_MM
    outline = ndimage.gaussian_filter(mask.astype(np.float32), OUTLINE_FWHM_MM / 2.3548 / voxel_mm)
    return correlation(image[rim], outline[rim])


def judge_subject(qc: Mapping[str, Any], limits: Mapping[str, Any]) -> str | None:
    """Say why a subject's MRI is not good enough, or None.

    Parameters
    ----------
    qc
        Numbers of the subject (``brain_volume_ml``, ``brain_overlap_dice``,
        ``T1w_registration``, ``FLAIR_registration``, ``T1w_coverage``, ``FLAIR_coverage``).
    limits
        Section ``qc`` of the configuration.
    """
    low, high = limits["brain_volume_ml"]
    volume = qc["brain_volume_ml"]
    if not low <= volume <= high:
        return f"brain volume {volume:.0f} ml is outside {low:g} to {high:g} ml"
    overlap = qc["brain_overlap_dice"]
    if overlap < limits["min_brain_overlap_dice"]:
        return (
            f"brain mask overlaps the template's by Dice {overlap:.2f}, "
            f"less than {limits['min_brain_overlap_dice']:g}"
        )
    for image, target in (("T1w", "MNI"), ("FLAIR", "T1w")):
        reason = judge_image(f"{image} to {target}", qc[f"{image}_registration"],
                             qc[f"{image}_coverage"], limits)  # fmt: skip
        if reason:
            return reason
    return None


def judge_image(
    name: str, registration: float, coverage: float, limits: Mapping[str, Any]
) -> str | None:
    """Say why one image is not good enough, or None."""
    if coverage < MIN_COVERAGE:
        return f"{name}: the scan covers {coverage:.0%} of the brain, less than {MIN_COVERAGE:.0%}"
    least = limits["min_registration_correlation"]
    if registration < least:
        return f"{name}: correlation after registration is {registration:.2f}, less than {least:g}"
    return None


def picture(
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
