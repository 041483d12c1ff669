"""What is measured of a synthetic image against the real one, and in which regions.

A new metric is an entry of :data:`METRICS` and its function; `relad evaluate` then writes it, and a
table or figure shows it whose entry of :mod:`relad.study.catalogue` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd

from relad.errors import DataError
from relad.imaging import atlas
from relad.results.metrics import voxelwise
from relad.study.catalogue import BRAIN


class Better(Enum):
    """Which of two values is the better one, as an axis tells it."""

    HIGHER = "higher is better →"
    LOWER = "← lower is better"
    NEARER_0 = "→ 0 is best ←"

    def best(self, values: pd.Series) -> float:
        """Best of some values."""
        if self is Better.NEARER_0:
            return values.loc[values.abs().idxmin()]
        return values.max() if self is Better.HIGHER else values.min()


@dataclass(frozen=True)
class Metric:
    """One number that compares two images.

    Attributes
    ----------
    label
        Its name and unit, in tables and figures.
    function
        Takes prediction, truth, mask and data range, see :mod:`relad.results.metrics.voxelwise`.
    better
        Which of two values is the better one.
    decimals
        In tables for reading.
    note
        What a caption must say of it.
    regions
        Where it is taken: :data:`BRAIN`, the subject's brain mask, or regions of
        :data:`relad.imaging.atlas.REGIONS` inside it.
    in_own_regions
        Whether it is also taken in every region of people's own segmentations.
    """

    label: str
    function: Callable[[np.ndarray, np.ndarray, np.ndarray, float], float]
    better: Better
    decimals: int
    note: str = ""
    regions: tuple[str, ...] = (BRAIN,)
    in_own_regions: bool = False

    def taken_in(self, own: Sequence[str]) -> list[str]:
        """List the regions it is taken in where people have regions ``own``."""
        return list(dict.fromkeys([*self.regions, *(own if self.in_own_regions else ())]))


METRICS = {
    "psnr": Metric("PSNR (dB)", voxelwise.psnr, Better.HIGHER, decimals=2, in_own_regions=True),
    "ssim": Metric(
        "SSIM (3D)",
        voxelwise.ssim,
        Better.HIGHER,
        decimals=3,
        note=(
            "SSIM is 3D (Gaussian, sigma 1.5 voxels, 11 taps, population covariance), its map "
            "averaged over the mask"
        ),
    ),
    "mae": Metric("MAE (SUVR)", voxelwise.mae, Better.LOWER, decimals=3, in_own_regions=True),
}


def regions(own: Iterable[str] = ()) -> tuple[str, ...]:
    """Every region that something is measured in; ``own`` are those of people's segmentations."""
    of_metrics = (r for metric in METRICS.values() for r in metric.regions)
    return tuple(dict.fromkeys([*of_metrics, *own]))


def mask_of(
    region: str, brain: np.ndarray, affine: np.ndarray, own: Mapping[str, np.ndarray] | None = None
) -> np.ndarray:
    """Part of a subject's brain mask that lies in a region.

    Parameters
    ----------
    region
        One of :func:`regions`.
    brain
        (x, y, z) boolean mask on a grid in MNI space.
    affine
        (4, 4) of that grid, in mm.
    own
        Region -> (x, y, z) boolean mask of the subject's own; the atlas has the others.

    Raises
    ------
    DataError
        Where no voxel is left.
    """
    if own and region in own:
        brain = brain & own[region]
    elif region != BRAIN:
        brain = brain & atlas.region_mask(region, brain.shape, affine)
    if not brain.any():
        raise DataError(f"the mask of the region {region} is empty")
    return brain


def compare(
    prediction: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    data_range: float,
    region: str = BRAIN,
    *,
    own: bool = False,
) -> dict[str, float]:
    """All metrics that are taken in a region, for one pair of images.

    Arguments as in :func:`relad.results.metrics.voxelwise.psnr`; ``mask`` is the region's, and
    ``own`` says that it is one of the subject's own segmentation.
    """
    return {
        name: metric.function(prediction, truth, mask, data_range)
        for name, metric in METRICS.items()
        if region in metric.regions or (own and metric.in_own_regions)
    }


def metrics_in(values: pd.DataFrame) -> list[str]:
    """Metrics that a table has columns of, in its order."""
    return [column for column in values.columns if column in METRICS]
