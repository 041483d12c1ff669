"""Which label of a person's label image is which region: MUSE's numbers, or those of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relad.errors import ReladError
from relad.fileio import read_table
from relad.imaging import atlas

#: Values of a person's region image: those of the atlas, and what is no tissue.
VALUES = {**atlas.REGIONS, "ventricles": 18, "csf": 19}
#: Name under which a table may give the whole cerebellar cortex, which is then cut in two.
CEREBELLUM = "cerebellar_grey"
_SIDES = {"left": -1, "right": 1, None: 0}


@dataclass(frozen=True)
class Scheme:
    """Label -> region, and -> -1 (left), 1 (right) or 0 (on both sides)."""

    regions: Mapping[int, str]
    sides: Mapping[int, int]


def _twos(*firsts: int) -> list[tuple[int, int]]:
    """(left, right) of pairs whose right label is the first and whose left one follows it."""
    return [(first + 1, first) for first in firsts]


#: Labels of MUSE (Doshi et al., NeuroImage 2016), after BrainCOLOR: (left, right) pairs.
_PAIRS: dict[str, list[tuple[int, int]]] = {
    "medial_temporal": _twos(116, 170),
    "lateral_temporal": _twos(122, 132, 154, 180, 184, 200, 202, 206),
    "frontal": _twos(102, 104, 118, 120, 124, 136, 140, 142, 146, 152, 162, 164, 172, 178, 186,
                     190, 204),
    "anterior_cingulate": _twos(100, 138),
    "posterior_cingulate_precuneus": _twos(166, 168),
    "parietal": _twos(106, 174, 194, 198),
    "occipital": _twos(108, 114, 128, 134, 144, 156, 160, 196),
    "sensorimotor": _twos(112, 148, 150, 176, 182, 192),
    "hippocampus": _twos(47),
    "amygdala": _twos(31),
    "basal_ganglia": [(30, 23), (75, 76), *_twos(36, 55, 57)],
    "thalamus": _twos(59),
    "cerebral_white": _twos(81, 83, 85, 87, 89, 91, 93),
    CEREBELLUM: _twos(38),
    "cerebellar_white": _twos(40),
    "brainstem": _twos(61),
    "ventricles": _twos(49, 51),
}  # fmt: skip
#: Labels on the midline; 46 is no brain, between the ventricles and behind them.
_MIDDLE = {
    CEREBELLUM: (71, 72, 73), "brainstem": (35,), "cerebral_white": (69, 95),
    "ventricles": (4, 11), "csf": (1, 46),
}  # fmt: skip


def _muse() -> Scheme:
    regions = {label: name for name, labels in _MIDDLE.items() for label in labels}
    sides = dict.fromkeys(regions, 0)
    for name, pairs in _PAIRS.items():
        for left, right in pairs:
            regions |= {left: name, right: name}
            sides |= {left: -1, right: 1}
    return Scheme(regions, sides)


MUSE = _muse()


def read(table: Path | None) -> Scheme:
    """Scheme of a table with the columns ``index``, ``region`` and ``hemisphere``; else MUSE.

    ``region`` is a key of :data:`VALUES` or ``cerebellar_grey``, ``hemisphere`` is left, right or
    n/a.

    Raises
    ------
    ReladError
        Where the table does not say that of every region.
    """
    if table is None:
        return MUSE
    regions: dict[int, str] = {}
    sides: dict[int, int] = {}
    known = (*VALUES, CEREBELLUM)
    for number, row in enumerate(read_table(table), start=2):
        if not {"index", "region", "hemisphere"} <= row.keys():
            raise ReladError(
                "lacks a column", file=table, hint="columns: index, region, hemisphere"
            )
        index, region, side = row["index"] or "", row["region"], row["hemisphere"]
        if not index.isdecimal() or region not in known or side not in _SIDES:
            raise ReladError(
                f"line {number} is not a label, a region and a hemisphere",
                file=table,
                hint=f"regions: {', '.join(known)}; hemispheres: left, right, n/a",
            )
        regions[int(index)], sides[int(index)] = region, _SIDES[side]
    told = set(regions.values())
    told |= {n for n in VALUES if n.endswith("cerebellar_grey")} if CEREBELLUM in told else set()
    if absent := [name for name in VALUES if name not in told]:
        raise ReladError(f"names no label of {', '.join(absent)}", file=table)
    return Scheme(regions, sides)


def image(labels: np.ndarray, affine: np.ndarray, scheme: Scheme, file: Path) -> np.ndarray:
    """Region (x, y, z) uint8 of each voxel, a value of :data:`VALUES`, 0 where there is none.

    The cerebellar cortex is cut by a level plane, below which lies the share that lies below the
    atlas's cut: MNI z would need a registration, which a person's truth must not depend on.

    Raises
    ------
    ReladError
        Where the image has no labels, or a region none, or many labels that the scheme lacks.
    """
    found, counts = np.unique(labels[labels > 0], return_counts=True)
    if not found.size:
        raise ReladError("holds no labels", file=file)
    unknown = [int(label) for label in found if int(label) not in scheme.regions]
    share = counts[np.isin(found, unknown)].sum() / counts.sum()
    if share > 0.05:
        raise ReladError(
            f"{share:.0%} of its voxels have labels that are not known, such as {unknown[0]}",
            file=file,
            hint="a labels.tsv in the folder says what labels other than MUSE's are",
        )
    cut = VALUES["superior_cerebellar_grey"]
    values = {label: VALUES.get(name, cut) for label, name in scheme.regions.items()}
    lookup = np.zeros(int(max(found.max(), *values)) + 1, np.uint8)
    lookup[list(values)] = list(values.values())
    regions = lookup[labels]
    if CEREBELLUM in scheme.regions.values():
        _cut_cerebellum(regions, affine)
    present = np.unique(regions)
    if absent := [name for name, value in VALUES.items() if value not in present]:
        raise ReladError(f"holds no label of {', '.join(absent)}", file=file)
    return regions


def _cut_cerebellum(regions: np.ndarray, affine: np.ndarray) -> None:
    """Cut the cerebellar cortex of a region image into its two parts, in place."""
    upper, lower = (VALUES[f"{part}_cerebellar_grey"] for part in ("superior", "inferior"))
    template = atlas.region_labels(atlas.SHAPE, atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM))
    share = (template == lower).sum() / np.isin(template, (lower, upper)).sum()
    where = np.nonzero(regions == upper)
    if where[0].size:
        height = affine[2, :3] @ np.stack(where)
        below = height <= np.quantile(height, share)
        regions[tuple(axis[below] for axis in where)] = lower


def sides(labels: np.ndarray, scheme: Scheme) -> np.ndarray:
    """-1 (left), 1 (right) or 0 (x, y, z) int8 by the labels' hemispheres."""
    lookup = np.zeros(int(max(labels.max(), *scheme.sides)) + 1, np.int8)
    lookup[list(scheme.sides)] = list(scheme.sides.values())
    return lookup[labels]
