"""Figure: MRI, true PET, every method's synthetic PET and its difference, one subject per tracer.

The subject is not picked by eye: of the test subjects it is the one whose PSNR, averaged over the
methods shown, is the median. All PET of a row has one SUVR range, all differences another. Brain
that the true PET does not show is left blank in every image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from relad.data.window import to_suvr
from relad.imaging.nifti import load_nifti
from relad.results.figures import style
from relad.results.study import Study
from relad.study.catalogue import Result
from relad.study.paths import synthetic_pet

#: Height of the axial slice in MNI space: thalamus, basal ganglia, temporal and occipital cortex.
SLICE_Z_MM = 8.0


@dataclass
class Block:
    """One tracer of one cohort: slices (x, y) from left to right and posterior to anterior.

    Attributes
    ----------
    mri, real, synthetic
        NaN in brain that the true PET does not show.
    mask
        Brain that it shows.
    """

    cohort: str
    tracer: str
    subject: str
    z_mm: float
    mri: dict[str, np.ndarray]
    real: np.ndarray
    synthetic: dict[str, np.ndarray]
    mask: np.ndarray


def draw(study: Study, result: Result) -> Figure | None:
    """Draw one block of two rows per cohort and tracer; None where images or scores are lacking."""
    methods = [m for of in study.comparisons(result) for m in of]
    blocks = [
        block
        for cohort in study.cohorts(result)
        for tracer in study.settings.tracers
        if (block := _block(study, result, cohort, tracer, methods)) is not None
    ]
    if not blocks:
        return None
    methods = [m for m in methods if any(m in block.synthetic for block in blocks)]
    modalities = list(blocks[0].mri)
    columns = len(modalities) + 1 + len(methods)
    tall = max(b.real.shape[1] / b.real.shape[0] for b in blocks)
    panel = (style.WIDTH - style.BESIDE_PANELS) / columns
    headers = [
        style.wrapped(name, int(panel / style.HEADER_INCH))
        for name in (*modalities, "true PET", *map(study.label, methods))
    ]
    lines = max(header.count("\n") for header in headers) + 1
    height = 2 * len(blocks) * panel * tall + lines * style.HEADER_LINE
    figure = style.new_figure(style.PANELS, height)
    figure.get_layout_engine().set(**style.BETWEEN_PANELS)
    axes = figure.subplots(2 * len(blocks), columns, squeeze=False)
    for ax, text in zip(axes[0], headers, strict=True):
        ax.set_title(text, **style.HEADER)
    for k, block in enumerate(blocks):
        _draw_block(figure, axes[2 * k : 2 * k + 2], block, methods, study)
    shown = study.scores["cohort"].isin([block.cohort for block in blocks])
    style.stamp(figure, study.scores.loc[shown, "data"].unique())
    return figure


def _draw_block(
    figure: Figure, axes: np.ndarray, block: Block, methods: list[str], study: Study
) -> None:
    upper, lower = axes
    for ax in axes.flat:
        ax.set_axis_off()
    first = len(block.mri)
    for ax, values in zip(upper, block.mri.values(), strict=False):
        _show(ax, values, style.MRI, -1, 1)
    high = _round_up(np.quantile(block.real[block.mask], 0.995), 0.25)
    pet = _show(upper[first], block.real, style.PET, 0, high)
    differences = {m: values - block.real for m, values in block.synthetic.items()}
    inside = np.concatenate([d[block.mask] for d in differences.values()])
    most = _round_up(np.quantile(np.abs(inside), 0.99), 0.1)
    error = None
    for j, method in enumerate(methods, start=first + 1):
        if method in block.synthetic:
            _show(upper[j], block.synthetic[method], style.PET, 0, high)
            shown = np.where(block.mask, differences[method], np.nan)
            error = _show(lower[j], shown, style.DIFFERENCE, -most, most)

    _write(upper[0], 0.05, 0.97, "L", **style.SIDE)
    _write(upper[0], 0.95, 0.97, "R", ha="right", **style.SIDE)
    _write(lower[0], 0.0, 0.95, study.tracer_label(block.tracer), **style.TRACER)
    where = f"{block.cohort}\nsubject {block.subject}\naxial, z = {block.z_mm:.0f} mm (MNI)"
    _write(lower[0], 0.0, 0.76, where, **style.PLACE)
    _write(lower[first], 0.97, 0.6, "synthetic\nminus true", ha="right", **style.PLACE)
    bar = style.COLOUR_BAR
    figure.colorbar(pet, ax=list(upper), label="SUVR", ticks=style.few_ticks(), **bar)
    if error is not None:
        figure.colorbar(error, ax=list(lower), label="Δ SUVR", ticks=[-most, 0, most], **bar)


def _write(ax: Axes, x: float, y: float, text: str, **look: Any) -> None:
    """Write text at a place of an axes (0 to 1, from its top down) without moving the layout."""
    written = ax.text(x, y, text, va="top", transform=ax.transAxes, **look)
    written.set_in_layout(False)


def _show(ax: Axes, values: np.ndarray, colours: str, low: float, high: float) -> AxesImage:
    # Rows of an image run upwards (origin lower): anterior is up, the left hemisphere on the left.
    return ax.imshow(
        values.T, origin="lower", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )


def _round_up(value: float, step: float) -> float:
    return max(step, float(np.ceil(value / step) * step))


def _block(
    study: Study, result: Result, cohort: str, tracer: str, methods: Sequence[str]
) -> Block | None:
    """Read the slices of the median subject of one cohort and tracer."""
    dataset = study.packed.get(cohort)
    folders = _folders(study, cohort, methods)
    if dataset is None or not folders or tracer not in dataset.tracers:
        return None
    values = study.values(result, list(folders))
    values = values[(values["cohort"] == cohort) & (values["tracer"] == tracer)]
    subject = _median_subject(values, tracer, folders)
    if subject is None:
        return None
    row = next(r["index"] for r in dataset.subjects if r["subject"] == subject)
    k = dataset.tracers.index(tracer)
    compared = dataset.pair_mask(row, k)
    unseen = np.asarray(dataset.mask[row]) & ~compared
    mask = _to_ras(compared, dataset.affine)
    # The affine of the flipped grid: only its z row is needed, for the height of a slice.
    affine = nib.as_closest_canonical(
        nib.Nifti1Image(np.zeros(dataset.shape, np.uint8), dataset.affine)
    ).affine
    z = int(np.clip(round((SLICE_Z_MM - affine[2, 3]) / affine[2, 2]), 0, mask.shape[2] - 1))
    where = np.argwhere(mask[:, :, z])
    if not len(where):
        return None
    low, high = np.maximum(where.min(axis=0) - 1, 0), where.max(axis=0) + 2

    def cut(volume: np.ndarray) -> np.ndarray:
        shown = np.where(unseen, np.nan, volume)
        return _to_ras(shown, dataset.affine)[low[0] : high[0], low[1] : high[1], z]

    synthetic = {}
    for method, folder in folders.items():
        image = load_nifti(folder / synthetic_pet(subject, tracer), ndim=3, allow_constant=True)
        synthetic[method] = cut(np.asarray(image.dataobj))
    return Block(
        cohort=cohort,
        tracer=tracer,
        subject=subject,
        z_mm=float(affine[2, 3] + z * affine[2, 2]),
        mri={m: cut(np.asarray(dataset.mri[row, c])) for c, m in enumerate(dataset.modalities)},
        real=cut(to_suvr(np.asarray(dataset.pet[row, k]), dataset.windows[tracer])),
        synthetic=synthetic,
        mask=mask[low[0] : high[0], low[1] : high[1], z],
    )


def _to_ras(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Reorder a volume's axes so that they run to the right, anterior and superior."""
    return nib.orientations.apply_orientation(volume, nib.io_orientation(affine))


def _folders(study: Study, cohort: str, methods: Sequence[str]) -> dict[str, Path]:
    """Folders of synthetic PET by method, all of the first fold and seed that most methods have."""
    by_run: dict[tuple[int, int], dict[str, Path]] = {}
    for synthesis in study.synthesized:
        if synthesis.cohort == cohort and synthesis.method in methods:
            run = by_run.setdefault((synthesis.fold, synthesis.seed), {})
            run[synthesis.method] = synthesis.folder
    if not by_run:
        return {}
    run = min(by_run, key=lambda r: (-len(by_run[r]), r))
    return {m: by_run[run][m] for m in methods if m in by_run[run]}


def _median_subject(values: pd.DataFrame, tracer: str, folders: dict[str, Path]) -> str | None:
    """Subject of these folders whose PSNR, averaged over methods, is the (lower) median."""
    means = values.groupby("subject")["psnr"].mean()
    there = [
        all((folder / synthetic_pet(subject, tracer)).exists() for folder in folders.values())
        for subject in means.index
    ]
    ranked = means[there].sort_values(kind="stable").index
    return ranked[(len(ranked) - 1) // 2] if len(ranked) else None
