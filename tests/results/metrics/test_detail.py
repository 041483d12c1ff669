"""HFEN and spectral ratio against their published formulas, written out here without filters."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from relad.errors import DataError
from relad.results.metrics.detail import (
    BANDS,
    HFEN_SIGMA,
    extended,
    hfen,
    spectral_power,
    spectral_ratio,
)

SHAPE = (14, 15, 13)
VOXEL = (4.0, 4.0, 4.0)
EVERYWHERE = np.ones(SHAPE, bool)


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    truth = 1.3 + ndimage.gaussian_filter(random.normal(size=SHAPE), 1.0)
    return truth + random.normal(0, 0.1, SHAPE), truth


@pytest.fixture
def brain() -> np.ndarray:
    grid = np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij")
    return sum(g**2 for g in grid) < 1


def log_by_hand(image: np.ndarray, sigma: float) -> np.ndarray:
    """Sum over axes of the second derivative of a sampled Gaussian along it, smoothed along others.

    Edges repeat their voxel; kernels end at 6 sigma, where they are below 1e-8.
    """
    reach = int(6 * sigma + 0.5)
    x = np.arange(-reach, reach + 1)
    smooth = np.exp(-(x**2) / (2 * sigma**2))
    smooth /= smooth.sum()
    second = (x**2 / sigma**4 - 1 / sigma**2) * smooth
    total = np.zeros_like(image)
    for derived in range(3):
        part = np.pad(image, reach, "edge")
        for axis in range(3):
            kernel = second if axis == derived else smooth
            part = np.apply_along_axis(lambda v, k=kernel: np.convolve(v, k, "valid"), axis, part)
        total += part
    return total


def power_by_hand(image: np.ndarray, low: float, high: float) -> float:
    """Summed |DFT|^2 of the wave vectors of a band, a wave at a time."""
    total = 0.0
    index = np.meshgrid(*map(np.arange, image.shape), indexing="ij")
    for wave in product(*(range(-(n // 2), n - n // 2) for n in image.shape)):
        k = [m / (n * d) for m, n, d in zip(wave, image.shape, VOXEL, strict=True)]
        if low <= math.hypot(*k) < high:
            phase = sum(m * i / n for m, i, n in zip(wave, index, image.shape, strict=True))
            total += abs((image * np.exp(-2j * np.pi * phase)).sum()) ** 2
    return total


def test_hfen_is_the_norm_of_the_filtered_error_over_that_of_the_filtered_truth(images):
    prediction, truth = images
    by_hand = [log_by_hand(image, HFEN_SIGMA) for image in images]
    expected = np.linalg.norm(by_hand[0] - by_hand[1]) / np.linalg.norm(by_hand[1])
    assert hfen(prediction, truth, EVERYWHERE) == pytest.approx(expected, rel=1e-10)


def test_hfen_counts_the_mask_and_sees_nothing_beyond_it(images, brain):
    prediction, truth = images
    value = hfen(prediction, truth, brain)
    beyond = np.random.default_rng(0).normal(size=SHAPE) * 100
    spoilt = [np.where(brain, image, beyond * k) for k, image in enumerate(images)]
    assert hfen(*spoilt, brain) == value
    filtered = [log_by_hand(image, HFEN_SIGMA)[brain] for image in extended(brain, *images)]
    expected = np.linalg.norm(filtered[0] - filtered[1]) / np.linalg.norm(filtered[1])
    assert value == pytest.approx(expected, rel=1e-10)


def test_a_step_at_the_edge_of_the_brain_does_not_hide_an_error(images, brain):
    """PET set to 0 outside has its largest Laplacian there, beside which errors look small."""
    prediction, truth = (np.where(brain, image + 5, 0.0) for image in images)
    plain = [ndimage.gaussian_laplace(i, HFEN_SIGMA)[brain] for i in (prediction - truth, truth)]
    hidden = np.linalg.norm(plain[0]) / np.linalg.norm(plain[1])
    assert hfen(prediction, truth, brain) > 5 * hidden


def test_hfen_of_known_images(images):
    _, truth = images
    assert hfen(truth, truth, EVERYWHERE) == 0
    assert hfen(truth + 3, truth, EVERYWHERE) == pytest.approx(0, abs=1e-6)  # a bias is no detail
    assert hfen(np.ones(SHAPE), truth, EVERYWHERE) == pytest.approx(1, abs=1e-6)
    assert hfen(1.25 * truth, truth, EVERYWHERE) == pytest.approx(0.25)


def test_beyond_the_mask_is_the_nearest_voxel_inside():
    mask = np.zeros((5, 1, 4), bool)
    mask[1:3, :, 1] = True
    (image,) = extended(mask, np.arange(20.0).reshape(5, 1, 4))
    assert image[:, 0].tolist() == [[5.0] * 4] * 2 + [[9.0] * 4] * 3


@pytest.mark.parametrize("band", BANDS.values(), ids=BANDS)
def test_spectral_ratio_is_that_of_the_power_spectra(images, band):
    expected = power_by_hand(images[0], *band) / power_by_hand(images[1], *band)
    ratio = spectral_ratio(*images, EVERYWHERE, voxel_mm=VOXEL, band=band)
    assert ratio == pytest.approx(expected, rel=1e-10)


def test_power_in_decibels_is_averaged_rightly(images):
    """Twice and half as much amplitude: 6 dB more and 6 dB less."""
    truth, band = images[1], {"voxel_mm": VOXEL, "band": BANDS["high"]}
    louder, softer, none = (
        spectral_power(factor * truth, truth, EVERYWHERE, **band) for factor in (2.0, 0.5, 0.0)
    )
    assert (louder, softer) == (pytest.approx(6.0206, abs=1e-4), pytest.approx(-louder))
    assert none == -math.inf


def test_bands_are_in_cycles_per_mm_and_join():
    """A wave of 12 mm lies between 1/16 and 1/8 cycles/mm on any grid."""
    edges = [edge for band in BANDS.values() for edge in band]
    assert edges[1:-1:2] == edges[2::2]
    for voxel in (1.0, 2.0, 4.0):
        x = np.arange(int(96 / voxel)) * voxel
        wave = np.broadcast_to(np.sin(2 * np.pi * x / 12)[:, None, None], (len(x), 12, 12))
        truth = 1 + wave + np.random.default_rng(0).normal(0, 1e-2, wave.shape)
        found = {
            name: spectral_ratio(truth + wave, truth, truth > -9, voxel_mm=(voxel,) * 3, band=band)
            for name, band in BANDS.items()
        }
        assert found == pytest.approx({"low": 1, "middle": 1, "high": 4}, rel=0.02)


def test_blur_lowers_and_noise_raises_the_high_band_in_a_brain(brain):
    """By the known transfer of the blur and the known power of the noise."""
    random = np.random.default_rng(1)
    shape = (40, 48, 40)
    grid = np.meshgrid(*[np.linspace(-1.15, 1.15, n) for n in shape], indexing="ij")
    brain = sum(g**2 for g in grid) < 1
    truth = ndimage.gaussian_filter(random.normal(size=shape), 0.7)
    truth = 1 + 0.3 * truth / truth.std()
    band = BANDS["high"]
    everywhere = np.ones(shape, bool)
    blurred = ndimage.gaussian_filter(truth, 0.6, mode="wrap")
    noisy = truth + random.normal(0, 0.1, shape)
    for prediction in (blurred, noisy):
        whole = spectral_ratio(prediction, truth, everywhere, voxel_mm=VOXEL, band=band)
        # In a brain cut out of the same field, whatever lies outside is set to 0.
        cut = [np.where(brain, image, 0) for image in (prediction, truth)]
        inside = spectral_ratio(*cut, brain, voxel_mm=VOXEL, band=band)
        assert inside == pytest.approx(whole, rel=0.06)
    assert spectral_ratio(blurred, truth, brain, voxel_mm=VOXEL, band=band) < 0.6
    assert spectral_ratio(noisy, truth, brain, voxel_mm=VOXEL, band=band) > 1.1


@pytest.mark.parametrize("value", [0.0, 1.0, 1.234])
def test_a_constant_image_has_no_power_whatever_rounding_makes_of_it(images, brain, value):
    constant = np.where(brain, value, 0.0)
    for band in BANDS.values():
        assert spectral_power(constant, images[1], brain, voxel_mm=VOXEL, band=band) == -math.inf


def test_a_constant_truth_has_no_detail_to_compare(images, brain):
    constant = np.where(brain, 1.0, 0.0)
    assert math.isnan(hfen(images[0], constant, brain))
    band = BANDS["high"]
    for function in (spectral_ratio, spectral_power):
        assert math.isnan(function(images[0], constant, brain, voxel_mm=VOXEL, band=band))


def test_a_grid_without_the_band_is_refused(images):
    with pytest.raises(DataError, match=r"14 x 15 x 13 mm holds no frequency of 0\.015625"):
        spectral_ratio(*images, EVERYWHERE, voxel_mm=(1, 1, 1), band=BANDS["low"])
