"""What the network of a diffusion model is shown, and from which noise its sampling starts."""

from __future__ import annotations

import math

import pytest
import torch

from baselines.ddpm import DDPM
from relad.data.batch import Batch
from relad.methods.diffusion import samplers
from relad.study.sampling import Sampling


def model(**params) -> DDPM:
    torch.manual_seed(0)
    return DDPM(inputs=2, tracers=3, network={"channels": [8]}, **params)


def batch(*size: int, count: int = 2) -> Batch:
    random = torch.Generator().manual_seed(0)
    mask = torch.rand(count, 1, *size, generator=random) > 0.3
    mri = torch.randn(count, 2, *size, generator=random)
    tracer = torch.arange(count) % 3
    return Batch(mri, tracer, mask, torch.tensor(-1.0), torch.randn(mask.shape))


@pytest.mark.parametrize("sigma", [None, 1 / 3])
def test_the_network_is_shown_x_t_scaled_beside_the_mri_and_told_tracer_and_time(sigma):
    method, b, t = model(sigma_data=sigma), batch(4, 6, 4), torch.tensor([3, 800])
    seen = []
    method.generator.register_forward_pre_hook(lambda _, given: seen.extend(given))
    x_t = torch.randn(b.pet.shape)
    x0_hat = method.x0_hat(x_t, t, b)
    abar = method.schedule.exact[t]
    scale = (
        torch.ones(2) if sigma is None else abar.sqrt() * sigma**2 / (abar * sigma**2 + 1 - abar)
    )
    shown, tracer, time = seen
    expected = x_t * scale.float()[:, None, None, None, None]
    torch.testing.assert_close(shown, torch.cat([expected, b.mri], dim=1))
    assert torch.equal(tracer, b.tracer) and torch.equal(time, t)
    assert (x0_hat[~b.mask] == -1).all()


def test_sampling_starts_from_normal_noise_of_every_volumes_own(monkeypatch):
    method, b, seen = model(), batch(16, 16, 16, count=3), {}

    def sample(predict_x0, schedule, x_T, **how):
        seen.update(x_T=x_T, **how)
        return x_T

    monkeypatch.setattr(samplers, "sample", sample)
    random = [torch.Generator().manual_seed(i) for i in range(3)]
    method.synthesize(b.condition, sampling=Sampling("ddpm", 7), random=random)
    assert (seen["sampler"], seen["steps"], seen["random"]) == ("ddpm", 7, random)
    normal, n = torch.distributions.Normal(0.0, 1.0), 16**3
    for volume in seen["x_T"]:
        distance = normal.cdf(volume.flatten().sort().values) - torch.arange(1, n + 1) / n
        assert distance.abs().max() < 1.95 / math.sqrt(n)  # Kolmogorov and Smirnov, 0.1 %
    assert len({volume.sum().item() for volume in seen["x_T"]}) == 3
