"""What is measured of a synthetic image against the real one, and in which regions.

A new metric is an entry of :data:`METRICS` and its function; `relad evaluate` then writes it, and a
table or figure shows it whose entry of :mod:`relad.study.catalogue` names it.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from relad.errors import DataError
from relad.results.metrics import detail, ensemble, regional, voxelwise
from relad.study.catalogue import BRAIN
from relad.study.regions import COMPOSITES, REGIONS


class Better(Enum):
    """Which of two values is the better one, as an axis tells it."""

    HIGHER = "higher is better →"
    LOWER = "← lower is better"
    NEARER_0 = "→ 0 is best ←"
    NEARER_1 = "→ 1 is best ←"
    NEARER_50 = "→ 0.5 is best ←"
    NEARER_80 = "→ 0.8 is best ←"
    NEARER_90 = "→ 0.9 is best ←"
    NEITHER = "no better and no worse"

    @property
    def target(self) -> float | None:
        """The right value, where there is one between too little and too much."""
        found = re.fullmatch(r"→ (\S+) is best ←", self.value)
        return float(found[1]) if found else None

    def loss(self, values: pd.Series) -> pd.Series:
        """What is lost by values: less is better, 0 at a target.

        From a target of 0 it is the distance; from another, of which a value is a share, the
        factor between them, as its logarithm.
        """
        if self.target is None:
            return -values if self is Better.HIGHER else values
        if self.target == 0:
            return values.abs()
        with np.errstate(divide="ignore"):
            return np.log(values / self.target).abs()

    def best(self, values: pd.Series) -> float:
        """Best of some values; NaN where none is better than another."""
        if self is Better.NEITHER:
            return np.nan
        return values.loc[self.loss(values).idxmin()]


@dataclass(frozen=True)
class Metric:
    """One number that compares an image, or several samples of it, with the true one.

    Attributes
    ----------
    label
        Its name and unit, in tables and figures.
    function
        Takes prediction, truth, mask and data range, see :mod:`relad.results.metrics.voxelwise`;
        one of samples takes these and the truth, see :mod:`relad.results.metrics.ensemble`.
    better
        Which of two values is the better one.
    decimals
        In tables for reading.
    note
        What a caption must say of it, see :meth:`said`.
    regions
        Where it is taken: :data:`BRAIN`, the subject's brain mask, or regions of
        :data:`relad.study.regions.REGIONS` and :data:`relad.study.regions.COMPOSITES` inside it.
    in_own_regions
        Whether it is also taken in every region of people's own segmentations.
    in_mm
        Whether its function is also given ``voxel_mm``.
    least_samples
        Of a metric of samples, the fewest that have a value; None for a metric of one image.
    possible
        Least and largest value that there can be.
    """

    label: str
    function: Callable[..., float]
    better: Better
    decimals: int
    note: str = ""
    regions: tuple[str, ...] = (BRAIN,)
    in_own_regions: bool = False
    in_mm: bool = False
    least_samples: int | None = None
    possible: tuple[float, float] = (-math.inf, math.inf)

    @property
    def of_single(self) -> bool:
        """Whether a single image has a value."""
        return self.least_samples is None or self.least_samples < 2

    def said(self, voxel_mm: float) -> str:
        """Its note for voxels of this size; ``{sigma_mm}`` in it is HFEN's sigma in mm."""
        return self.note.format(sigma_mm=f"{detail.HFEN_SIGMA * voxel_mm:g}")

    def taken_in(self, own: Sequence[str]) -> list[str]:
        """List the regions it is taken in where people have regions ``own``."""
        return list(dict.fromkeys([*self.regions, *(own if self.in_own_regions else ())]))


#: Ranges of values: of a correlation, of an error of finite images, of a ratio, and of a share.
_SIGNED, _ERROR = (-1.0, 1.0), (0.0, sys.float_info.max)
_RATIO, _SHARE = (0.0, math.inf), (0.0, 1.0)
#: Of the mean of an image, whose values are finite.
_FINITE = (-sys.float_info.max, sys.float_info.max)
#: What rounding may add to a value at the end of its range.
_ROUNDING = 1e-6

#: Where the mean SUVR is taken beside the brain, in everybody.
ANATOMY = (*REGIONS, *COMPOSITES)
#: Least share of a region, of the atlas or their own, that must lie in a person's brain mask; below
#: it, the person does not have the region: a mean over what is left would be that of another one.
MIN_COVERED = 0.5

_EDGES = list(dict.fromkeys(edge for band in detail.BANDS.values() for edge in band))
_SPECTRAL = (
    "spectral power: that of the image over that of the truth between two wavelengths, below 0 dB "
    "is blurred "
    f"({', '.join(f'{1 / k:g}' for k in _EDGES)} mm are {', '.join(f'{k:g}' for k in _EDGES)} "
    "cycles/mm)"
)

METRICS = {
    "psnr": Metric(
        "PSNR (dB)",
        voxelwise.psnr,
        Better.HIGHER,
        decimals=2,
        in_own_regions=True,
        possible=(-sys.float_info.max, math.inf),
    ),
    "ssim": Metric(
        "SSIM (3D)",
        voxelwise.ssim,
        Better.HIGHER,
        decimals=3,
        note=(
            "SSIM is 3D (Gaussian, sigma 1.5 voxels, 11 taps, population covariance), its windows "
            "confined to the mask"
        ),
        possible=_SIGNED,
    ),
    "ssim_open": Metric(
        "SSIM, open (3D)",
        voxelwise.ssim_open,
        Better.HIGHER,
        decimals=3,
        note=(
            "open SSIM: the map of the whole volume averaged over the mask, as papers mostly have "
            "it, whose windows see the edge of the mask"
        ),
        possible=_SIGNED,
    ),
    "mae": Metric(
        "MAE (SUVR)",
        voxelwise.mae,
        Better.LOWER,
        decimals=3,
        in_own_regions=True,
        possible=_ERROR,
    ),
    "hfen": Metric(
        "HFEN",
        detail.hfen,
        Better.LOWER,
        decimals=3,
        note=(
            f"HFEN: norm of the error over that of the truth, both under the Laplacian of a "
            f"Gaussian (sigma {detail.HFEN_SIGMA:g} voxels, {{sigma_mm}} mm)"
        ),
        possible=_ERROR,
    ),
    **{
        f"spectral_{name}": Metric(
            f"Spectral power ({1 / low:g} to {1 / high:g} mm, dB)",
            partial(detail.spectral_power, band=(low, high)),
            Better.NEARER_0,
            decimals=2,
            note=_SPECTRAL,
            in_mm=True,
        )
        for name, (low, high) in detail.BANDS.items()
    },
    "crps": Metric(
        "CRPS (SUVR)",
        ensemble.crps,
        Better.LOWER,
        decimals=3,
        note="CRPS (fair form) of the samples, of a single image the MAE",
        in_own_regions=True,
        least_samples=1,
        possible=_ERROR,
    ),
    "spread_skill": Metric(
        "Spread/skill",
        ensemble.spread_skill,
        Better.NEARER_1,
        decimals=2,
        note=(
            "spread/skill: root of the samples' variance over the squared error of their mean, "
            "each summed over subjects (interval: jackknife), below 1 too sure"
        ),
        least_samples=2,
        possible=_RATIO,
    ),
    **{
        f"coverage_{percent}": Metric(
            f"Coverage of {percent}%",
            partial(ensemble.coverage, level=percent / 100),
            better,
            decimals=2,
            note=(
                "coverage: voxels whose truth lies in the central interval of the samples (normal, "
                "Student's t)"
            ),
            least_samples=2,
            possible=_SHARE,
        )
        for percent, better in (
            (50, Better.NEARER_50),
            (80, Better.NEARER_80),
            (90, Better.NEARER_90),
        )
    },
    **{
        name: Metric(
            label,
            function,
            Better.NEITHER,
            decimals=3,
            regions=(BRAIN, *ANATOMY),
            in_own_regions=True,
            possible=_FINITE,
        )
        for name, label, function in (
            ("suvr", "Mean SUVR, synthetic", regional.suvr),
            ("suvr_true", "Mean SUVR, real", regional.suvr_true),
        )
    },
}


def require_possible(metric: str, value: float, file: str | Path | None = None) -> None:
    """Refuse a value, read from a file, that a metric cannot have, see :attr:`Metric.possible`.

    Raises
    ------
    DataError
        Where it is outside by more than rounding, or NaN.
    """
    low, high = METRICS[metric].possible
    if not low - _ROUNDING <= value <= high + _ROUNDING:
        allowed = f"{low:g} to {high:g}" if high <= 1 else f"{low:g} and more"
        of_finite = sys.float_info.max in (-low, high) and not math.isfinite(value)
        why = "images are finite" if of_finite else f"it lies outside of {allowed}"
        raise DataError(
            f"{metric} of {value:g} cannot be, {why}",
            file=file,
            hint="run `relad evaluate` again",
        )


def regions(own: Iterable[str] = ()) -> tuple[str, ...]:
    """Every region that something is measured in; ``own`` are those of people's segmentations."""
    of_metrics = (r for metric in METRICS.values() for r in metric.regions)
    return tuple(dict.fromkeys([*of_metrics, *own]))


def is_covered(
    region: str, brain: np.ndarray, affine: np.ndarray, own: Mapping[str, np.ndarray] | None = None
) -> bool:
    """Whether a person has a region: at least :data:`MIN_COVERED` of it lies in their brain mask.

    False too where the grid is too coarse for the region. Arguments as in :func:`mask_of`.
    """
    if region == BRAIN:
        return True
    mask = _whole(region, brain, affine, own)
    size = np.count_nonzero(mask)
    return bool(size and np.count_nonzero(mask & brain) / size >= MIN_COVERED)


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
    if region != BRAIN:
        brain = brain & _whole(region, brain, affine, own)
    if not brain.any():
        raise DataError(f"the mask of the region {region} is empty")
    return brain


def _whole(
    region: str, brain: np.ndarray, affine: np.ndarray, own: Mapping[str, np.ndarray] | None
) -> np.ndarray:
    """A region wherever it lies, see :func:`mask_of`."""
    if own and region in own:
        return own[region]
    from relad.imaging import atlas  # tables need the names of metrics alone

    return atlas.region_mask(region, brain.shape, affine)


def compare(
    prediction: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    data_range: float,
    region: str = BRAIN,
    *,
    own: bool = False,
    voxel_mm: Sequence[float] | None = None,
    samples: np.ndarray | None = None,
) -> dict[str, float]:
    """All metrics that are taken in a region, for one image and its samples against the truth.

    Parameters
    ----------
    prediction, truth, mask, data_range
        As in :func:`relad.results.metrics.voxelwise.psnr`; ``mask`` is the region's.
    region
        One of :func:`regions`.
    own
        Whether the region is of the subject's own segmentation.
    voxel_mm
        (3,) voxel sizes in mm; without them, metrics in cycles/mm are left out.
    samples
        (K, n) samples whose mean the prediction is, in the n voxels of the mask and in their order;
        without them the prediction is the only one, and metrics of a spread are left out.
    """
    voxelwise.checked(prediction, truth, mask, data_range)
    samples = prediction[mask][None] if samples is None else samples
    values = {}
    for name, metric in METRICS.items():
        if region not in metric.regions and not (own and metric.in_own_regions):
            continue
        if metric.least_samples is not None:
            if len(samples) >= metric.least_samples:
                values[name] = metric.function(samples, truth[mask])
        elif not metric.in_mm:
            values[name] = metric.function(prediction, truth, mask, data_range)
        elif voxel_mm is not None:
            values[name] = metric.function(prediction, truth, mask, data_range, voxel_mm=voxel_mm)
    return values


def metrics_in(values: pd.DataFrame) -> list[str]:
    """Metrics that a table has columns of, in its order."""
    return [column for column in values.columns if column in METRICS]
