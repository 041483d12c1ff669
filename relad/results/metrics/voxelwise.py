"""PSNR, SSIM and MAE of one 3D image against another, inside a mask.

The data range is always given by the caller: the width of the tracer's SUVR window, the same for
every volume. A range taken from each volume would make the values incomparable. All arithmetic is
in float64.
"""

from __future__ import annotations

import math

import numpy as np
import scipy

from relad.errors import DataError
from relad.imaging.psnr import psnr_of
from relad.results.metrics.separable import filter_of, filtered

#: Standard deviation (voxels) and taps of SSIM's Gaussian window, as in Wang et al., IEEE
#: Transactions on Image Processing 13(4), 2004.
SSIM_SIGMA = 1.5
SSIM_TAPS = 11


def psnr(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, data_range: float) -> float:
    """Peak signal-to-noise ratio inside the mask, as :func:`relad.imaging.psnr.psnr_of` has it.

    Parameters
    ----------
    prediction, truth
        (x, y, z) arrays in the same unit.
    mask
        (x, y, z) boolean array; voxels outside are not counted.
    data_range
        Peak value, in the unit of the images.

    Returns
    -------
    dB; infinity where the images are identical inside the mask.
    """
    prediction, truth = checked(prediction, truth, mask, data_range)
    return psnr_of(float(np.mean((prediction[mask] - truth[mask]) ** 2)), data_range)


def mae(
    prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, data_range: float = 1.0
) -> float:
    """Mean absolute error inside the mask, in the unit of the images.

    Arrays as in :func:`psnr`; it does not depend on the data range, which every metric is given.
    """
    prediction, truth = checked(prediction, truth, mask, data_range)
    return float(np.mean(np.abs(prediction[mask] - truth[mask])))


def ssim(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, data_range: float) -> float:
    """Structural similarity inside the mask: 3D SSIM whose windows see nothing but the mask.

    As :func:`ssim_open`, but every window's weights are those of its voxels inside the mask,
    normalised to 1. At 4 mm most of a brain lies within a window's reach of its edge, and there
    the step from the brain to 0, which both images share, would count as structure in common.
    Arrays and range as in :func:`psnr`.

    Raises
    ------
    DataError
        Where an axis is shorter than the window.
    """
    prediction, truth = _fit_for_windows(prediction, truth, mask, data_range)
    box = scipy.ndimage.find_objects(mask.astype(np.uint8))[0]  # beyond it no window sees anything
    prediction, truth, mask = prediction[box], truth[box], mask[box]
    window = [filter_of(n, SSIM_SIGMA, SSIM_TAPS // 2, "constant") for n in mask.shape]
    inside = mask.astype(np.float64)

    def windowed(image: np.ndarray) -> np.ndarray:
        return filtered(image * inside, window)[mask]

    weight = windowed(inside)

    def moment(image: np.ndarray) -> np.ndarray:
        return windowed(image) / weight

    x, y = moment(prediction), moment(truth)
    var_x = moment(prediction**2) - x**2
    var_y = moment(truth**2) - y**2
    covariance = moment(prediction * truth) - x * y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = ((2 * x * y + c1) * (2 * covariance + c2)) / (
        (x**2 + y**2 + c1) * (var_x + var_y + c2)
    )
    return float(similarity.mean())


def ssim_open(
    prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, data_range: float
) -> float:
    """Structural similarity as papers mostly have it: the whole volume's map over the mask.

    Gaussian window (sigma 1.5 voxels, 11 taps), population covariance, K1 = 0.01, K2 = 0.03
    (Wang et al. 2004); arrays and range as in :func:`psnr`.

    Raises
    ------
    DataError
        Where an axis is shorter than the window.
    """
    from skimage.metrics import structural_similarity  # tables need the names of metrics alone

    prediction, truth = _fit_for_windows(prediction, truth, mask, data_range)
    _, similarity = structural_similarity(
        truth,
        prediction,
        data_range=data_range,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,  # scikit-image truncates at 3.5 sigma: 11 taps
        use_sample_covariance=False,
        full=True,
    )
    return float(similarity[mask].mean())


def _fit_for_windows(
    prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, data_range: float
) -> tuple[np.ndarray, np.ndarray]:
    prediction, truth = checked(prediction, truth, mask, data_range)
    if min(truth.shape) < SSIM_TAPS:
        raise DataError(
            f"images of shape {truth.shape} are smaller than SSIM's window of {SSIM_TAPS} voxels"
        )
    return prediction, truth


def checked(
    prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, data_range: float
) -> tuple[np.ndarray, np.ndarray]:
    """Check one comparison's inputs, see :func:`psnr`, and return both images in float64.

    Raises
    ------
    DataError
        Where shapes differ, the mask is empty, the range is no positive number or a voxel, inside
        the mask or outside, is NaN or infinite.
    """
    if truth.ndim != 3 or not prediction.shape == truth.shape == mask.shape:
        raise DataError(
            f"shapes of prediction {prediction.shape}, truth {truth.shape} and mask {mask.shape} "
            "are not one 3D shape"
        )
    if not mask.any():
        raise DataError("the mask is empty")
    if not (math.isfinite(data_range) and data_range > 0):
        raise DataError(f"data range {data_range} is not a positive number")
    prediction, truth = (np.asarray(image, dtype=np.float64) for image in (prediction, truth))
    for name, image in (("prediction", prediction), ("truth", truth)):
        if not np.isfinite(image).all():
            raise DataError(f"the {name} holds NaN or infinite voxels")
    return prediction, truth
