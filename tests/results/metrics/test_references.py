"""Every metric against another implementation: scikit-image, MONAI, or the formula in plain loops.

To 1e-6 where definitions agree. Beside them the other files here hold SSIM in a mask, HFEN and the
spectral ratio to their formulas, written out without filters.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from monai.metrics.regression import MAEMetric, PSNRMetric, compute_ssim_and_cs
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from relad.results.metrics.detail import HFEN_SIGMA, hfen
from relad.results.metrics.ensemble import coverage, crps, spread_skill
from relad.results.metrics.voxelwise import SSIM_SIGMA, SSIM_TAPS, mae, psnr, ssim_open

RANGE = 4.0
#: Quantiles of Student's t by degrees of freedom, from printed tables: of 80 and 90 % intervals.
T_TABLE = {3: {0.8: 1.637744, 0.9: 2.353363}, 7: {0.8: 1.414924, 0.9: 1.894579}}


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    truth = 1.3 + 0.4 * ndimage.gaussian_filter(random.normal(size=(19, 17, 18)), 1.0)
    return truth + random.normal(0, 0.1, truth.shape), truth


def batched(*volumes: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(volume)[None, None] for volume in volumes]


def test_psnr_is_that_of_scikit_image_and_of_monai(images) -> None:
    prediction, truth = images
    everywhere = np.ones(truth.shape, bool)
    value = psnr(prediction, truth, everywhere, RANGE)
    reference = peak_signal_noise_ratio(truth, prediction, data_range=RANGE)
    assert value == pytest.approx(reference, abs=1e-6)
    monai = PSNRMetric(max_val=RANGE)(*batched(prediction, truth)).item()
    assert value == pytest.approx(monai, abs=1e-6)
    mask = truth > 1.3  # a masked image is the list of its voxels
    inside = peak_signal_noise_ratio(truth[mask], prediction[mask], data_range=RANGE)
    assert psnr(prediction, truth, mask, RANGE) == pytest.approx(inside, abs=1e-6)


def test_mae_is_that_of_monai(images) -> None:
    value = mae(*images, np.ones(images[1].shape, bool))
    assert value == pytest.approx(MAEMetric()(*batched(*images)).item(), abs=1e-6)


def test_ssim_is_monais_where_windows_lie_inside(images) -> None:
    """MONAI's map has no border: it begins where a whole window fits.

    It computes in single precision, which a mean far above the spread would use up.
    """
    reach, images = SSIM_TAPS // 2, tuple(image - 1.3 for image in images)
    found, _ = compute_ssim_and_cs(
        *batched(*images),
        spatial_dims=3,
        kernel_size=(SSIM_TAPS,) * 3,
        kernel_sigma=(SSIM_SIGMA,) * 3,
        data_range=RANGE,
    )
    inner = np.zeros(images[1].shape, bool)
    inner[(slice(reach, -reach),) * 3] = True
    assert ssim_open(*images, inner, RANGE) == pytest.approx(found.mean().item(), abs=1e-6)


def test_hfen_is_the_published_ratio_by_scipys_own_derivatives(images) -> None:
    """Laplacian as the sum of second derivatives of Gaussians, each a filter of its own."""
    everywhere = np.ones(images[1].shape, bool)

    def log(image: np.ndarray) -> np.ndarray:
        options = {"sigma": HFEN_SIGMA, "mode": "nearest", "truncate": 6.0}
        orders = ((2, 0, 0), (0, 2, 0), (0, 0, 2))
        return sum(ndimage.gaussian_filter(image, order=order, **options) for order in orders)

    prediction, truth = map(log, images)
    expected = np.sqrt(np.square(prediction - truth).sum() / np.square(truth).sum())
    assert hfen(*images, everywhere) == pytest.approx(expected, abs=1e-6)


@pytest.fixture(params=[4, 8])
def forecast(request) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(request.param)
    mean = random.normal(1.5, 0.4, 60)
    return mean + random.normal(0, 0.2, (request.param, 60)), mean + random.normal(0, 0.25, 60)


def test_crps_is_the_integral_over_distribution_functions(forecast) -> None:
    """int (F(x) - [x >= y])^2 dx, F the samples' steps, less what so few of them add to it."""
    samples, truth = forecast
    count, total = len(samples), 0.0
    for x, y in zip(samples.T, truth, strict=True):
        steps = sorted([*x, y])
        for left, right in itertools.pairwise(steps):
            below = sum(value <= left for value in x) / count
            total += (below - (left >= y)) ** 2 * (right - left)
        apart = sum(abs(a - b) for a in x for b in x)
        total -= apart / (2 * count * (count - 1)) - apart / (2 * count**2)
    assert crps(samples, truth) == pytest.approx(total / len(truth), abs=1e-6)


def test_spread_skill_in_loops(forecast) -> None:
    samples, truth = forecast
    count, n = samples.shape
    variance = error = 0.0
    for x, y in zip(samples.T, truth, strict=True):
        mean = sum(x) / count
        variance += sum((v - mean) ** 2 for v in x) / (count - 1) / n
        error += (mean - y) ** 2 / n
    expected = math.sqrt((count + 1) / count * variance / error)
    assert spread_skill(samples, truth) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_coverage_counts_with_the_quantiles_of_printed_tables(forecast, level) -> None:
    samples, truth = forecast
    count = len(samples)
    inside = 0
    for x, y in zip(samples.T, truth, strict=True):
        mean = sum(x) / count
        deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / (count - 1))
        half = T_TABLE[count - 1][level] * deviation * math.sqrt(1 + 1 / count)
        inside += mean - half <= y <= mean + half
    assert coverage(samples, truth, level=level) == pytest.approx(inside / len(truth), abs=1e-6)
