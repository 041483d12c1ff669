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


def noised(**params: float) -> tuple[torch.Tensor, torch.Tensor, DDPM]:
    """(x_t, t) of many single voxels of value 0.3, and the model."""
    torch.manual_seed(0)
    model = DDPM(inputs=1, tracers=1, network={"channels": [8]}, **params)
    voxel = torch.full((N, 1, 1, 1, 1), 0.3)
    none = torch.zeros(N, dtype=torch.long)
    brain = torch.ones_like(voxel, dtype=torch.bool)
    batch = Batch(voxel, none, brain, torch.tensor(0.0), voxel, ~brain)
    x_t, t = model.noised(batch, torch.Generator().manual_seed(0))
    return x_t.flatten(), t, model


def test_all_times_are_trained_alike():
    _, t, model = noised()
    steps = model.schedule.steps
    assert t.min() >= 0 and t.max() <= steps - 1
    found = torch.bincount(t, minlength=steps).cumsum(0) / N
    assert (found - torch.arange(1, steps + 1) / steps).abs().max() < LIMIT


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_share_is_pure_noise_and_the_others_are_of_all_times_alike(share):
    _, t, model = noised(from_noise=share)
    steps = model.schedule.steps
    assert t.min() >= 0 and t.max() == steps - 1
    found = torch.bincount(t, minlength=steps).cumsum(0) / N
    expected = (1 - share) * torch.arange(1, steps + 1) / steps
    expected[-1] = 1
    assert (found - expected).abs().max() < LIMIT


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match=r"from_noise .* at least 0 and below 1"):
        noised(from_noise=share)


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
