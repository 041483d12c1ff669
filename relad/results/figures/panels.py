"""Figure: MRI, true PET, every method's synthetic PET and its difference, one subject per tracer.

The subject is not picked by eye: of the test subjects it is the one whose PSNR, averaged over the
methods shown, is the median. Nor are the slices: an axial, a coronal and a sagittal one, at fixed
places in MNI space. All PET of a block has one SUVR range, all differences another; where values
lie beyond it, the colour bar has a pointed end. Brain that the true PET does not show is left blank
in every image.
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

#: Both ends of the axes x, y and z of a volume in RAS+.
_ENDS = ("LR", "PA", "IS")


@dataclass(frozen=True)
class Plane:
    """Slices of one orientation through volumes in RAS+.

    Attributes
    ----------
    name
        Of the orientation.
    axis
        Across the slice: 0 (x), 1 (y) or 2 (z). Of the other two the first one runs to the right of
        the slice, and the second one upwards.
    mm
        Where the slice lies along it, in MNI space.
    """

    name: str
    axis: int
    mm: float

    @property
    def sides(self) -> str:
        """What is on the left and on the right of a slice, as letters."""
        return _ENDS[0 if self.axis else 1]


#: Thalamus, basal ganglia and occipital cortex; both hippocampi; the left one along its length.
PLANES = (Plane("axial", 2, 8.0), Plane("coronal", 1, -20.0), Plane("sagittal", 0, -26.0))
#: Arrays (to the right, upwards), one for each of :data:`PLANES`.
Slices = tuple[np.ndarray, ...]


@dataclass
class Block:
    """Slices of one tracer of one cohort.

    Attributes
    ----------
    cohort, tracer, subject
        What they are of.
    n
        Subjects, of whom this one is the median.
    run
        Fold and seed whose models made the images, where there are several; else empty.
    mm
        Where they lie along the axis of their plane.
    mri, real, synthetic
        By modality; SUVR; SUVR by method. NaN in brain that the true PET does not show.
    mask
        Brain that it shows.
    """

    cohort: str
    tracer: str
    subject: str
    n: int
    run: str
    mm: tuple[float, ...]
    mri: dict[str, Slices]
    real: Slices
    synthetic: dict[str, Slices]
    mask: Slices

    @property
    def differences(self) -> dict[str, Slices]:
        """Synthetic minus real SUVR by method, NaN where they cannot be compared."""
        return {
            method: tuple(map(lambda s, r, m: np.where(m, s - r, np.nan), of, self.real, self.mask))
            for method, of in self.synthetic.items()
        }


def draw(study: Study, result: Result) -> Figure | None:
    """Draw a block of two rows per plane, for each cohort and tracer.

    None where images or scores are lacking. All images lie in one axes, whose unit is the inch:
    hundreds of axes would take a layout engine minutes.
    """
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
    names = [*blocks[0].mri, "true PET", *map(study.label, methods)]
    panel = (style.WIDTH - style.BESIDE_PANELS) / len(names)
    headers = style.headers(names, panel)
    tall = [max(np.divide(*b.real[k].shape[::-1]) for b in blocks) for k in range(len(PLANES))]
    rows = panel * np.array(tall)
    above, between = style.PANELS
    top = 2 * len(blocks) * (rows.sum() + between)
    figure = style.new_figure((top + headers.height + above, 0.0))
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    sheet = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    sheet.set_axis_off()
    for column, text in enumerate(headers.texts):
        sheet.text((column + 0.5) * panel, top + between, text, **headers.look)
    for block in blocks:
        _draw_block(sheet, block, top, panel, rows, methods, study)
        top -= 2 * (rows.sum() + between)
    shown = study.scores["cohort"].isin([block.cohort for block in blocks])
    style.stamp(figure, study.scores.loc[shown, "data"].unique(), y=1 - style.GAP / height)
    return figure


def _draw_block(
    sheet: Axes,
    block: Block,
    top: float,
    panel: float,
    rows: np.ndarray,
    methods: Sequence[str],
    study: Study,
) -> None:
    """Draw a block below a height: images in rows of these heights, then differences in others."""
    first, below = len(block.mri), top - rows.sum() - style.PANELS[1]

    def column(number: int, y: float, slices: Slices, *look: Any) -> list[AxesImage]:
        places = [(number * panel, y - down, panel, row) for down, row in _downwards(rows)]
        return [_show(sheet, s, place, *look) for s, place in zip(slices, places, strict=True)]

    for number, slices in enumerate(block.mri.values()):
        column(number, top, slices, style.MRI, -1, 1)
    differences = block.differences
    high = _high(block, study.settings.tracers[block.tracer].suvr_window[1])
    most = _round_up(
        max(_quantile(np.abs(s), 0.99) for of in differences.values() for s in of), 0.1
    )
    pet, errors = column(first, top, block.real, style.PET, 0, high), []
    for number, method in enumerate(methods, start=first + 1):
        if method in block.synthetic:
            pet += column(number, top, block.synthetic[method], style.PET, 0, high)
            errors += column(number, below, differences[method], style.DIFFERENCE, -most, most)

    for plane, (down, row) in zip(PLANES, _downwards(rows), strict=True):
        for x, letter in zip((0, panel), plane.sides, strict=True):
            look = style.SIDE | {"ha": "right" if x else "left"}
            sheet.text(x, top - down + row - style.SIDE_DOWN, f" {letter} ", **look)
    _tell(sheet, block, below, (first + 1) * panel, study)
    _bar(sheet, pet, top, rows.sum(), "SUVR", style.few_ticks())
    _bar(sheet, errors, below, rows.sum(), "synthetic - true SUVR", [-most, 0, most])


def _tell(sheet: Axes, block: Block, top: float, width: float, study: Study) -> None:
    """Write what the images are of, into the room below MRI and true PET."""
    name = style.wrapped(study.tracer_label(block.tracer), int(width / style.TRACER_INCH))
    sheet.text(0, top, name, **style.TRACER)
    where = [
        f"{plane.name} {'xyz'[plane.axis]} = {mm:.0f} mm"
        for plane, mm in zip(PLANES, block.mm, strict=True)
    ]
    whose = [block.cohort, f"subject {block.subject},", f"median PSNR of n = {block.n}"]
    lines = [*whose, *([f"({block.run})"] if block.run else []), *where, "(MNI)"]
    told = [style.wrapped(line, int(width / style.PLACE_INCH)) for line in lines]
    down = style.TRACER_LINE * (name.count("\n") + 1)
    sheet.text(0, top - down, "\n".join(told), **style.PLACE)


def _bar(
    sheet: Axes, images: Sequence[AxesImage], top: float, height: float, label: str, ticks: Any
) -> None:
    """Draw the colour bar of images of one range, with a pointed end where one goes beyond it."""
    low, high = images[0].get_clim()
    arrays = [np.asarray(image.get_array(), dtype=float) for image in images]
    beyond = (any((a < low).any() for a in arrays), any((a > high).any() for a in arrays))
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    width = style.BESIDE_PANELS
    place = np.array([style.WIDTH - width, top - height, *style.PANEL_BAR]) * (1, 1, width, height)
    place[:2] += (width * style.GAP, height * (1 - style.PANEL_BAR[1]) / 2)
    cax = sheet.inset_axes(place, transform=sheet.transData)
    sheet.figure.colorbar(
        images[0], cax=cax, label=label, ticks=ticks, extend=extend.get(beyond, "both")
    )


def _show(
    sheet: Axes,
    values: np.ndarray,
    place: tuple[float, float, float, float],
    colours: str,
    low: float,
    high: float,
) -> AxesImage:
    """Draw a slice (to the right, upwards) as large as a place (left, bottom, width, height)."""
    left, bottom, *room = place
    scale = min((side - style.GAP) / n for side, n in zip(room, values.shape, strict=True))
    x, y = (side / 2 - n * scale / 2 for side, n in zip(room, values.shape, strict=True))
    return sheet.imshow(
        values.T,  # rows of an image run upwards
        extent=(left + x, left + room[0] - x, bottom + y, bottom + room[1] - y),
        origin="lower",
        cmap=colours,
        vmin=low,
        vmax=high,
        interpolation="none",  # voxels stay voxels, and a PDF holds them as they are
        aspect="auto",
    )


def _downwards(rows: np.ndarray) -> list[tuple[float, float]]:
    """How far below the first row's top each ends, and its height."""
    return list(zip(np.cumsum(rows), rows, strict=True))


def _high(block: Block, most: float) -> float:
    """Upper end of the SUVR range: most of all PET shown, but no more than the tracer's window."""
    images = [block.real, *block.synthetic.values()]
    inside = [s[m] for of in images for s, m in zip(of, block.mask, strict=True)]
    return min(_round_up(_quantile(np.concatenate(inside), 0.995), 0.25), most)


def _quantile(values: np.ndarray, q: float) -> float:
    """Quantile of what is known; 0 where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.quantile(known, q)) if known.size else 0.0


def _round_up(value: float, step: float) -> float:
    return max(step, float(np.ceil(value / step) * step))


def _block(
    study: Study, result: Result, cohort: str, tracer: str, methods: Sequence[str]
) -> Block | None:
    """Read the slices of the median subject of one cohort and tracer."""
    dataset = study.packed.get(cohort)
    folders, run = _folders(study, cohort, methods)
    if dataset is None or not folders or tracer not in dataset.tracers:
        return None
    values = study.values(result, list(folders))
    values = values[(values["cohort"] == cohort) & (values["tracer"] == tracer)]
    subject, n = _median_subject(values, tracer, folders)
    if subject is None:
        return None
    row = next(r["index"] for r in dataset.subjects if r["subject"] == subject)
    k = dataset.tracers.index(tracer)
    compared = dataset.pair_mask(row, k)
    unseen = np.asarray(dataset.mask[row]) & ~compared
    mask = _to_ras(compared, dataset.affine)
    # Of the grid in RAS+; only what lies along its axes is needed.
    turned = nib.as_closest_canonical(
        nib.Nifti1Image(np.zeros(dataset.shape, np.uint8), dataset.affine)
    ).affine
    cuts = [_cut(mask, turned, plane) for plane in PLANES]

    def slices(in_ras: np.ndarray) -> Slices:
        return tuple(in_ras[at].squeeze(p.axis) for at, p in zip(cuts, PLANES, strict=True))

    def cut(volume: np.ndarray) -> Slices:
        return slices(_to_ras(np.where(unseen, np.nan, volume), dataset.affine))

    synthetic = {}
    for method, folder in folders.items():
        image = load_nifti(folder / synthetic_pet(subject, tracer), ndim=3, allow_constant=True)
        synthetic[method] = cut(np.asarray(image.dataobj))
    return Block(
        cohort=cohort,
        tracer=tracer,
        subject=subject,
        n=n,
        run=run,
        mm=tuple(
            float(turned[p.axis, 3] + at[p.axis].start * turned[p.axis, p.axis])
            for at, p in zip(cuts, PLANES, strict=True)
        ),
        mri={m: cut(np.asarray(dataset.mri[row, c])) for c, m in enumerate(dataset.modalities)},
        real=cut(to_suvr(np.asarray(dataset.pet[row, k]), dataset.windows[tracer])),
        synthetic=synthetic,
        mask=slices(mask),
    )


def _cut(mask: np.ndarray, affine: np.ndarray, plane: Plane) -> tuple[slice, ...]:
    """Where a plane's slice lies in a volume in RAS+: one voxel thick, around the brain (mask).

    Of the slices with brain it is the one nearest to the plane's place.
    """
    a = plane.axis
    wanted = (plane.mm - affine[a, 3]) / affine[a, a]
    others = tuple(b for b in range(3) if b != a)
    at = min(np.flatnonzero(mask.any(axis=others)), key=lambda k: abs(k - wanted))
    found = np.argwhere(mask.take([at], axis=a))
    low, high = np.maximum(found.min(axis=0) - 1, 0), found.max(axis=0) + 2
    low[a], high[a] = at, at + 1
    return tuple(map(slice, low, high))


def _to_ras(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Reorder a volume's axes so that they run to the right, anterior and superior."""
    return nib.orientations.apply_orientation(volume, nib.io_orientation(affine))


def _folders(study: Study, cohort: str, methods: Sequence[str]) -> tuple[dict[str, Path], str]:
    """Folders of synthetic PET by method, all of the first fold and seed that most methods have.

    And which these are, where there are others.
    """
    by_run: dict[tuple[int, int], dict[str, Path]] = {}
    for synthesis in study.synthesized:
        if synthesis.cohort == cohort and synthesis.method in methods:
            run = by_run.setdefault((synthesis.fold, synthesis.seed), {})
            run[synthesis.method] = synthesis.folder
    if not by_run:
        return {}, ""
    run = min(by_run, key=lambda r: (-len(by_run[r]), r))
    told = "fold {}, seed {}".format(*run) if len(by_run) > 1 else ""
    return {m: by_run[run][m] for m in methods if m in by_run[run]}, told


def _median_subject(
    values: pd.DataFrame, tracer: str, folders: dict[str, Path]
) -> tuple[str | None, int]:
    """Subject of these folders whose PSNR, averaged over methods, is the (lower) median, of n."""
    means = values.groupby("subject")["psnr"].mean()
    there = [
        all((folder / synthetic_pet(subject, tracer)).exists() for folder in folders.values())
        for subject in means.index
    ]
    ranked = means[there].sort_values(kind="stable").index
    return (ranked[(len(ranked) - 1) // 2] if len(ranked) else None), len(ranked)
