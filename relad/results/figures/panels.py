"""Figure: MRI, real PET, every method's synthetic PET and its difference, one subject per tracer.

The subject is not picked by eye: of the test subjects it is the one whose PSNR, averaged over the
methods shown, is the median. All PET of a row has one SUVR range, all differences another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from relad.data.window import to_suvr
from relad.fileio import load_nifti
from relad.results.figures.study import Study
from relad.results.figures.style import WIDTH_IN, new_figure, stamp
from relad.results.records import read_synthesis
from relad.results.scores import cohorts_of, main_methods
from relad.study.paths import synthetic_pet

#: Height of the axial slice in MNI space: thalamus, basal ganglia, temporal and occipital cortex.
SLICE_Z_MM = 8.0


@dataclass
class Block:
    """One tracer of one cohort: slices (x, y) from left to right and posterior to anterior."""

    cohort: str
    tracer: str
    subject: str
    z_mm: float
    mri: dict[str, np.ndarray]
    real: np.ndarray
    synthetic: dict[str, np.ndarray]
    mask: np.ndarray


def draw(study: Study, role: str) -> Figure | None:
    """Draw one block of two rows per cohort and tracer; None where images or scores are lacking.

    Parameters
    ----------
    study
        Uses its scores, synthetic PET and packed datasets.
    role
        Cohorts to show: ``train`` or ``external``.
    """
    settings = study.settings
    blocks = [
        block
        for cohort in cohorts_of(settings, role)
        for tracer in settings["tracers"]
        if (block := _block(study, cohort, tracer)) is not None
    ]
    if not blocks:
        return None
    methods = [m for m in main_methods(settings) if any(m in b.synthetic for b in blocks)]
    modalities = list(blocks[0].mri)
    columns = len(modalities) + 1 + len(methods)
    tall = max(b.real.shape[1] / b.real.shape[0] for b in blocks)
    panel_in = (WIDTH_IN - 0.9) / columns
    figure = new_figure(0.5 + 2 * len(blocks) * panel_in * tall * 1.06)
    figure.get_layout_engine().set(w_pad=0.008, h_pad=0.008, wspace=0.0, hspace=0.0)
    axes = figure.subplots(2 * len(blocks), columns, squeeze=False)
    headers = [*modalities, "real PET", *(study.label(m) for m in methods)]
    for ax, text in zip(axes[0], headers, strict=True):
        ax.set_title(text.replace(" (", "\n("), fontsize=6.5, pad=3)
    for k, block in enumerate(blocks):
        _draw_block(figure, axes[2 * k : 2 * k + 2], block, methods, settings)
    stamp(figure, settings, [b.cohort for b in blocks])
    return figure


def _draw_block(
    figure: Figure, axes: np.ndarray, block: Block, methods: list[str], settings: dict[str, Any]
) -> None:
    upper, lower = axes
    for ax in axes.flat:
        ax.set_axis_off()
    first = len(block.mri)
    for ax, values in zip(upper, block.mri.values(), strict=False):
        _show(ax, values, "gray", -1, 1)
    high = _round_up(np.quantile(block.real[block.mask], 0.995), 0.25)
    pet = _show(upper[first], block.real, "inferno", 0, high)
    differences = {m: values - block.real for m, values in block.synthetic.items()}
    inside = np.concatenate([d[block.mask] for d in differences.values()])
    most = _round_up(np.quantile(np.abs(inside), 0.99), 0.1)
    error = None
    for j, method in enumerate(methods, start=first + 1):
        if method in block.synthetic:
            _show(upper[j], block.synthetic[method], "inferno", 0, high)
            shown = np.where(block.mask, differences[method], np.nan)
            error = _show(lower[j], shown, "RdBu_r", -most, most)

    ligand = settings["tracers"][block.tracer]["ligand"]
    _write(upper[0], 0.05, 0.97, "L", color="white")
    _write(upper[0], 0.95, 0.97, "R", color="white", ha="right")
    _write(lower[0], 0.0, 0.95, f"{block.tracer} ({ligand})", fontweight="bold")
    where = f"{block.cohort}\nsubject {block.subject}\naxial, z = {block.z_mm:.0f} mm (MNI)"
    _write(lower[0], 0.0, 0.76, where, fontsize=6, linespacing=1.35)
    _write(lower[first], 0.97, 0.6, "synthetic\nminus real", fontsize=6, ha="right")
    bars = {"aspect": 9, "pad": 0.01, "fraction": 0.03, "shrink": 0.9}
    figure.colorbar(pet, ax=list(upper), label="SUVR", ticks=MaxNLocator(4), **bars)
    if error is not None:
        figure.colorbar(error, ax=list(lower), label="Δ SUVR", ticks=[-most, 0, most], **bars)


def _write(ax: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write text at a place of an axes (0 to 1, from its top down) without moving the layout."""
    written = ax.text(x, y, text, va="top", transform=ax.transAxes, **style)
    written.set_in_layout(False)


def _show(ax: Axes, values: np.ndarray, colours: str, low: float, high: float) -> AxesImage:
    # Rows of an image run upwards (origin lower): anterior is up, the left hemisphere on the left.
    return ax.imshow(
        values.T, origin="lower", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )


def _round_up(value: float, step: float) -> float:
    return max(step, float(np.ceil(value / step) * step))


def _block(study: Study, cohort: str, tracer: str) -> Block | None:
    """Read the slices of the median subject of one cohort and tracer."""
    dataset = study.packed.get(cohort)
    folders = _folders(study, cohort)
    if dataset is None or not folders or tracer not in dataset.tracers:
        return None
    subject = _median_subject(study, cohort, tracer, folders)
    if subject is None:
        return None
    row = next(r["index"] for r in dataset.subjects if r["subject"] == subject)
    k = dataset.tracers.index(tracer)
    mask = _to_ras(np.asarray(dataset.mask[row]), dataset.affine)
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
        return _to_ras(volume, dataset.affine)[low[0] : high[0], low[1] : high[1], z]

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
        mask=cut(np.asarray(dataset.mask[row])),
    )


def _to_ras(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Reorder a volume's axes so that they run to the right, anterior and superior."""
    return nib.orientations.apply_orientation(volume, nib.io_orientation(affine))


def _folders(study: Study, cohort: str) -> dict[str, Path]:
    """Folders of synthetic PET by method, all of the first fold and seed that most methods have."""
    by_run: dict[tuple[int, int], dict[str, Path]] = {}
    for folder in study.synthesized:
        synthesis = read_synthesis(folder)
        if synthesis["cohort"] == cohort and synthesis["method"] in main_methods(study.settings):
            run = (synthesis["fold"], synthesis["seed"])
            by_run.setdefault(run, {})[synthesis["method"]] = folder
    if not by_run:
        return {}
    run = min(by_run, key=lambda r: (-len(by_run[r]), r))
    return {m: by_run[run][m] for m in main_methods(study.settings) if m in by_run[run]}


def _median_subject(study: Study, cohort: str, tracer: str, folders: dict[str, Path]) -> str | None:
    """Subject of these folders whose PSNR, averaged over methods, is the (lower) median."""
    keys = [(cohort, tracer, method, "psnr") for method in folders]
    tables = [study.scores[key] for key in keys if key in study.scores]
    subjects = [
        subject
        for subject in sorted(set.intersection(*map(set, tables)) if tables else ())
        if all((f / synthetic_pet(subject, tracer)).exists() for f in folders.values())
    ]
    if not subjects:
        return None
    ranked = sorted(subjects, key=lambda s: (float(np.mean([table[s] for table in tables])), s))
    return ranked[(len(ranked) - 1) // 2]
