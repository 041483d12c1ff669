"""Several samples of one scan against the truth: CRPS, calibration of their spread.

A method that draws one of many possible images is judged by all of them: their values in a voxel
are a forecast of the truth there. Every function takes K samples (K, n) and the truth (n,) in the n
voxels of a mask, in the same unit, and averages over voxels: a value is one scan's. All arithmetic
is in float64.
"""

from __future__ import annotations

import math

import numpy as np
import scipy

from relad.errors import DataError

#: Voxels whose samples are sorted at once, which bounds the memory beside the samples themselves.
_BLOCK = 1 << 16
#: Share of the data range by which storing samples in 16 bits may move their mean.
_STORED = 0.005
_AGAIN = "run `relad synthesize` again"


def require_samples(mean: np.ndarray, samples: np.ndarray, *, data_range: float) -> None:
    """Refuse samples that tell no spread, or are another image's.

    Parameters
    ----------
    mean
        (n,) image whose samples they are.
    samples
        (K, n), at least two.
    data_range
        Of the images: a mean that is off by more than rounding in storage is another.

    Raises
    ------
    DataError
        Where two samples are the same bit for bit; where the image is not their mean.
    """
    first: dict[bytes, int] = {}
    for number, sample in enumerate(samples, start=1):
        other = first.setdefault(sample.tobytes(), number)
        if other != number:
            raise DataError(
                f"samples {other} and {number} are the same image: does the method use its noise?",
                hint=_AGAIN,
            )
    off = np.abs(samples.mean(axis=0, dtype=np.float64) - mean).max(initial=0.0)
    if off > _STORED * data_range:
        told = f"the image is not the mean of its samples (off by up to {off:.3g})"
        raise DataError(told, hint=_AGAIN)


def crps(samples: np.ndarray, truth: np.ndarray) -> float:
    """Continuous ranked probability score, mean over voxels, in the unit of the images.

    The fair form, which does not favour a small K (Ferro, Quarterly Journal of the Royal
    Meteorological Society 140, 2014): mean |x_i - y| - 1/(2 K (K-1)) sum_ij |x_i - x_j|. Of one
    sample it is the MAE, so that methods with and without spread have one scale.

    The pairs come from the sorted samples: sum_ij |x_i - x_j| = 2 sum_i (2i - K - 1) x_(i).
    """
    samples, truth = _checked(samples, truth, least=1)
    count = len(samples)
    weights = 2.0 * np.arange(1, count + 1) - count - 1
    total = 0.0
    for start in range(0, len(truth), _BLOCK):
        x = samples[:, start : start + _BLOCK].astype(np.float64)
        total += np.abs(x - truth[start : start + _BLOCK]).sum() / count
        if count > 1:
            x.sort(axis=0)
            total -= (weights @ x).sum() / (count * (count - 1))
    return float(total / len(truth))


def spread_skill(samples: np.ndarray, truth: np.ndarray) -> float:
    """Spread of the samples over the error of their mean: sqrt((K+1)/K mean var) / RMSE.

    The variance (K - 1) is averaged over voxels before the root; (K+1)/K is for a mean of so few
    samples (Fortin et al., Journal of Hydrometeorology 15, 2014). 1 is calibrated, below 1 too sure
    of itself. Infinite where the mean is the truth.
    """
    samples, truth = _checked(samples, truth, least=2)
    count = len(samples)
    mean, variance = _moments(samples)
    error = np.mean((mean - truth) ** 2)
    spread = (count + 1) / count * np.mean(variance)
    return float(math.sqrt(spread / error)) if error else math.inf


def coverage(samples: np.ndarray, truth: np.ndarray, *, level: float) -> float:
    """Share of voxels whose truth lies inside the central interval of the samples.

    The interval is that of a further draw from a normal distribution known by K samples, mean +/-
    t_(K-1) s sqrt(1 + 1/K), which is right at every K: the ranks of K samples reach at most
    (K-1)/(K+1), 78 % for 8. A calibrated method covers ``level`` where its samples are about normal
    in a voxel.
    """
    samples, truth = _checked(samples, truth, least=2)
    count = len(samples)
    wide = scipy.special.stdtrit(count - 1, (1 + level) / 2) * math.sqrt(1 + 1 / count)
    mean, variance = _moments(samples)
    return float(np.mean(np.abs(mean - truth) <= wide * np.sqrt(variance)))


def _moments(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (K - 1) in every voxel; nothing beside them is as large as the samples."""
    mean = samples.mean(axis=0, dtype=np.float64)
    return mean, sum((sample - mean) ** 2 for sample in samples) / (len(samples) - 1)


def _checked(
    samples: np.ndarray, truth: np.ndarray, *, least: int
) -> tuple[np.ndarray, np.ndarray]:
    truth = np.asarray(truth, dtype=np.float64)
    if truth.ndim != 1 or truth.size == 0 or samples.shape[1:] != truth.shape:
        raise DataError(
            f"samples of shape {samples.shape} are not of the {truth.shape} voxels of the truth"
        )
    if len(samples) < least:
        raise DataError(f"{len(samples)} samples where at least {least} are needed")
    for name, values in (("samples hold", samples), ("truth holds", truth)):
        if not np.isfinite(values).all():
            raise DataError(f"the {name} NaN or infinite voxels")
    return samples, truth
