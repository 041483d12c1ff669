"""Quality control of one subject: numbers, the thresholds that gate on them, and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from relad import atlas


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice overlap of two boolean masks of one shape: 1 for equal ones, 0 for disjoint ones."""
    size = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / size if size else 0.0


def registration(
    t1w: np.ndarray, affine_mask: np.ndarray, shape: tuple[int, int, int], affine: np.ndarray
) -> dict[str, float]:
    """How well a subject came to MNI.

    Parameters
    ----------
    t1w
        (x, y, z) T1w brought to the grid by all transforms, affine and SyN.
    affine_mask
        (x, y, z) bool, the subject's brain brought to the grid by the affine alone; after SyN it
        is the template's by construction and says nothing.
    shape, affine
        Of the MNI grid, voxel index to RAS mm.

    Returns
    -------
    ``registration_correlation``: Pearson's r of T1w and template over the template's brain;
    ``brain_overlap_dice``: of the subject's and the template's brain.
    """
    brain = atlas.brain_mask(shape, affine)
    template = atlas.resample_map("t1", shape, affine)
    values = t1w[brain]
    correlation = np.corrcoef(values, template[brain])[0, 1] if values.std() > 0 else 0.0
    return {
        "registration_correlation": round(float(correlation), 4),
        "brain_overlap_dice": round(dice(affine_mask, brain), 4),
    }


def gate(numbers: Mapping[str, Any], limits: Mapping[str, Any]) -> str | None:
    """Compare the numbers with the configured limits; return why the subject fails, or None."""
    low, high = limits["brain_volume_ml"]
    volume = numbers["brain_volume_ml"]
    if not low <= volume <= high:
        return f"QC: brain volume {volume:.0f} ml is not within {low:g} to {high:g} ml"
    for name, limit in (
        ("registration_correlation", "min_registration_correlation"),
        ("brain_overlap_dice", "min_brain_overlap_dice"),
    ):
        if not numbers[name] >= limits[limit]:
            return f"QC: {name} {numbers[name]:.2f} is below {limits[limit]:g} (qc.{limit})"
    return None


def empty(images: Mapping[str, np.ndarray], mask: np.ndarray) -> str | None:
    """Return why an image holds nothing in the brain, or None."""
    if not mask.any():
        return "the brain mask is empty on the grid"
    for name, data in images.items():
        if data[mask].std() == 0:
            return f"{name} holds nothing within the brain"
    return None


def picture(
    path: Path, title: str, images: Mapping[str, np.ndarray], mask: np.ndarray, affine: np.ndarray
) -> None:
    """Draw each image in three planes with the brain mask's outline, as PNG.

    Neurological orientation: the subject's left is on the left. All images lie on one grid.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from relad.fileio import whole_file

    inside = np.argwhere(mask)
    centre = np.round((inside.min(axis=0) + inside.max(axis=0)) / 2).astype(int)
    voxel_mm = np.abs(np.diag(affine)[:3])
    figure, axes = plt.subplots(
        len(images), 3, figsize=(6.6, 2.3 * len(images)), squeeze=False, layout="constrained"
    )
    for row, (name, data) in zip(axes, images.items(), strict=True):
        suvr = "SUVR" in name
        top = float(np.percentile(data[mask], 99.5))
        for axis, panel in enumerate(row):
            across, up = (i for i in range(3) if i != axis)
            plane = np.take(data, centre[axis], axis=axis).T
            outline = np.take(mask, centre[axis], axis=axis).T
            panel.imshow(
                plane,
                origin="lower",
                cmap="inferno" if suvr else "gray",
                vmin=0,
                vmax=top,
                aspect=voxel_mm[up] / voxel_mm[across],
            )
            panel.contour(outline, [0.5], colors="cyan", linewidths=0.6)
            panel.set_xticks([])
            panel.set_yticks([])
            mm = affine[axis, 3] + affine[axis, axis] * centre[axis]
            panel.set_xlabel(f"MNI {'xyz'[axis]} = {mm:.0f} mm", fontsize=7)
        row[0].set_ylabel(f"{name}\n0 to {top:.3g}", fontsize=8)
    figure.suptitle(f"{title}: images on the MNI grid, outline of the brain mask", fontsize=9)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=90, metadata={"Software": None})
    plt.close(figure)
