"""Which times and which noise a diffusion model is trained on."""

from __future__ import annotations

import math

import pytest
import torch

from baselines.ddpm import DDPM
from relad.data.batch import Batch

N = 40_000
#: A statistic of Kolmogorov and Smirnov beyond this is seen once in a thousand.
LIMIT = 1.95 / math.sqrt(N)


def noised(**params) -> tuple[torch.Tensor, torch.Tensor, DDPM]:
    """(x_t, t) of many single voxels of value 0.3, and the model."""
    torch.manual_seed(0)
    model = DDPM(inputs=1, tracers=1, network={"channels": [8]}, **params)
    voxel = torch.full((N, 1, 1, 1, 1), 0.3)
    none = torch.zeros(N, dtype=torch.long)
    batch = Batch(voxel, none, torch.ones_like(voxel, dtype=torch.bool), torch.tensor(0.0), voxel)
    x_t, t = model.noised(batch, torch.Generator().manual_seed(0))
    return x_t.flatten(), t, model


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_times_have_the_density_that_t_power_says(power):
    """t = floor(T (1 - u^p)): P(t <= x) = 1 - (1 - (x + 1) / T)^(1/p), so more noise with p > 1."""
    _, t, model = noised(t_power=power)
    steps = model.schedule.steps
    assert t.min() >= 0 and t.max() <= steps - 1
    found = torch.bincount(t, minlength=steps).cumsum(0) / N
    expected = 1 - (1 - torch.arange(1, steps + 1) / steps) ** (1 / power)
    assert (found - expected).abs().max() < LIMIT
    assert (t.double().mean() > 0.55 * steps) == (power > 1)


def test_x_t_is_signal_and_normal_noise_in_the_schedules_shares():
    x_t, t, model = noised()
    abar = model.schedule.exact[t]
    epsilon = (x_t - abar.sqrt() * 0.3) / (1 - abar).sqrt()
    normal = torch.distributions.Normal(0.0, 1.0)
    ranks = torch.arange(1, N + 1) / N
    assert (normal.cdf(epsilon.sort().values) - ranks).abs().max() < LIMIT
    # ... whatever the time
    for part in (t < 300, t > 700):
        assert epsilon[part].std().item() == pytest.approx(1, abs=0.03)
        assert epsilon[part].mean().item() == pytest.approx(0, abs=0.03)
