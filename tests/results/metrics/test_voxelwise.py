"""PSNR, SSIM and MAE against reference implementations written out here, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relad.errors import DataError
from relad.results.metrics import compare
from relad.results.metrics.voxelwise import SSIM_TAPS, mae, psnr, ssim, ssim_open

SHAPE = (13, 12, 15)


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    truth = random.uniform(0, 3, SHAPE)
    mask = random.uniform(size=SHAPE) > 0.4
    return truth + random.normal(0, 0.3, SHAPE), truth, mask


def blur(volume: np.ndarray) -> np.ndarray:
    """Gaussian of 11 taps, sigma 1.5, by explicit sums; edges are mirrored, edge voxel repeated."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    for axis in range(3):
        n = volume.shape[axis]
        padded = np.pad(volume, [(5, 5) if a == axis else (0, 0) for a in range(3)], "symmetric")
        volume = sum(
            w * np.take(padded, np.arange(n) + k, axis=axis) for k, w in enumerate(weights)
        )
    return volume


def reference_ssim(x: np.ndarray, y: np.ndarray, mask: np.ndarray, data_range: float) -> float:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = blur(x), blur(y)
    var_x = blur(x * x) - mean_x**2
    var_y = blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(similarity[mask].mean())


def masked_reference(x: np.ndarray, y: np.ndarray, mask: np.ndarray, data_range: float) -> float:
    """Mean over the mask's voxels of SSIM from each one's own list of neighbours in the mask."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    inside = np.argwhere(mask)
    found = []
    for centre in inside:
        apart = inside - centre
        near = (np.abs(apart) <= 5).all(axis=1)
        g = np.exp(-np.square(apart[near]).sum(axis=1) / (2 * 1.5**2))
        g /= g.sum()
        a, b = (image[tuple(inside[near].T)] for image in (x, y))
        mean_a, mean_b = g @ a, g @ b
        var_a, var_b = g @ (a - mean_a) ** 2, g @ (b - mean_b) ** 2
        covariance = g @ ((a - mean_a) * (b - mean_b))
        found.append(
            (2 * mean_a * mean_b + c1)
            * (2 * covariance + c2)
            / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
        )
    return math.fsum(found) / len(found)


def test_ssim_sees_nothing_but_the_mask(images):
    prediction, truth, mask = images
    expected = masked_reference(prediction, truth, mask, 4.0)
    assert ssim(prediction, truth, mask, 4.0) == pytest.approx(expected, rel=1e-9)
    spoilt = (np.where(mask, image, 50.0 * n) for n, image in enumerate((prediction, truth)))
    assert ssim(*spoilt, mask, 4.0) == pytest.approx(expected, rel=1e-9)


def test_ssim_of_a_mask_that_fills_a_part_of_the_volume():
    random = np.random.default_rng(3)
    truth = random.uniform(0, 3, (20, 22, 19))
    prediction = truth + random.normal(0, 0.3, truth.shape)
    mask = np.zeros(truth.shape, dtype=bool)
    mask[3:9, 8:22, 5:15] = random.uniform(size=(6, 14, 10)) > 0.3
    mask[0, 10, 7] = True  # apart from the rest, at the volume's end as some of it is
    expected = masked_reference(prediction, truth, mask, 4.0)
    assert ssim(prediction, truth, mask, 4.0) == pytest.approx(expected, rel=1e-9)


def test_ssim_gives_no_credit_for_the_edge_of_the_mask():
    """A constant has no structure in common with noise; the step at the edge gives it some."""
    grid = np.meshgrid(*(np.linspace(-1.2, 1.2, 25),) * 3, indexing="ij")
    mask = sum(np.square(axis) for axis in grid) < 1
    truth = np.where(mask, 2 + 0.5 * np.random.default_rng(0).normal(size=mask.shape), 0.0)
    constant = np.where(mask, 2.0, 0.0)
    assert ssim_open(constant, truth, mask, 4.0) > 0.3
    assert ssim(constant, truth, mask, 4.0) < 0.15


def test_open_ssim_is_the_11_tap_gaussian_ssim_in_3d(images):
    prediction, truth, mask = images
    expected = reference_ssim(prediction, truth, mask, 4.0)
    assert ssim_open(prediction, truth, mask, 4.0) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("metric", "reference"), [(ssim, masked_reference), (ssim_open, reference_ssim)]
)
def test_ssim_of_float32_images_is_computed_in_float64(images, metric, reference):
    prediction, truth, mask = (a.astype(np.float32) for a in images)
    mask = mask.astype(bool)
    expected = reference(prediction.astype(float), truth.astype(float), mask, 4.0)
    assert metric(prediction, truth, mask, 4.0) == pytest.approx(expected, rel=1e-9)


def test_psnr_and_mae_by_hand(images):
    prediction, truth, mask = images
    error = [p - t for p, t, m in zip(prediction.flat, truth.flat, mask.flat, strict=True) if m]
    mse = math.fsum(e * e for e in error) / len(error)
    assert psnr(prediction, truth, mask, 4.0) == pytest.approx(20 * math.log10(4 / math.sqrt(mse)))
    expected = math.fsum(map(abs, error)) / len(error)
    assert mae(prediction, truth, mask) == pytest.approx(expected)


def test_psnr_of_a_known_error():
    truth = np.zeros(SHAPE)
    # An error of a tenth of the range everywhere is 20 dB.
    assert psnr(truth + 0.4, truth, truth == 0, 4.0) == pytest.approx(20.0)


def test_identical_images():
    image = np.random.default_rng(0).normal(size=SHAPE)
    values = compare(image, image, np.ones(SHAPE, bool), 4.0)
    same = {"psnr": math.inf, "ssim": pytest.approx(1.0), "mae": 0.0}
    assert {name: values[name] for name in same} == same


def test_error_outside_the_mask_moves_neither_psnr_nor_mae(images):
    prediction, truth, mask = images
    spoilt = np.where(mask, prediction, 100.0)
    assert psnr(spoilt, truth, mask, 4.0) == psnr(prediction, truth, mask, 4.0)
    assert mae(spoilt, truth, mask) == mae(prediction, truth, mask)


def test_the_data_range_counts(images):
    prediction, truth, mask = images
    gain = psnr(prediction, truth, mask, 8.0) - psnr(prediction, truth, mask, 4.0)
    assert gain == pytest.approx(20 * math.log10(2))
    assert ssim(prediction, truth, mask, 8.0) > ssim(prediction, truth, mask, 4.0)


@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan, math.inf])
def test_refuses_a_data_range_that_is_none(images, data_range):
    with pytest.raises(DataError, match="data range"):
        compare(*images, data_range)


def test_refuses_an_empty_mask(images):
    prediction, truth, mask = images
    with pytest.raises(DataError, match="mask is empty"):
        compare(prediction, truth, np.zeros_like(mask), 4.0)


def test_refuses_nan_even_outside_the_mask(images):
    prediction, truth, mask = images
    prediction[tuple(np.argwhere(~mask)[0])] = np.nan
    with pytest.raises(DataError, match="prediction holds NaN"):
        compare(prediction, truth, mask, 4.0)


def test_refuses_other_shapes(images):
    prediction, truth, mask = images
    with pytest.raises(DataError, match="not one 3D shape"):
        compare(prediction[1:], truth, mask, 4.0)


def test_refuses_an_image_smaller_than_the_window():
    image = np.zeros((SSIM_TAPS, SSIM_TAPS, SSIM_TAPS - 1))
    with pytest.raises(DataError, match="smaller than SSIM's window of 11"):
        ssim(image, image, image == 0, 4.0)
    ssim(*[np.zeros((SSIM_TAPS,) * 3)] * 2, np.ones((SSIM_TAPS,) * 3, bool), 4.0)
