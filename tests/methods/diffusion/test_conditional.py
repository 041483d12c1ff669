"""What the network of a diffusion model is shown, and from which noise its sampling starts."""

from __future__ import annotations

import math
from itertools import combinations

import torch

from baselines.ddpm import DDPM
from relad.data.batch import Batch
from relad.study.sampling import Sampling


def model(**params) -> DDPM:
    torch.manual_seed(0)
    return DDPM(inputs=2, tracers=3, network={"channels": [8]}, **params)


def batch(*size: int, count: int = 2) -> Batch:
    random = torch.Generator().manual_seed(0)
    mask = torch.rand(count, 1, *size, generator=random) > 0.3
    mri = torch.randn(count, 2, *size, generator=random)
    tracer = torch.arange(count) % 3
    pet = torch.randn(mask.shape)
    return Batch(mri, tracer, mask, torch.tensor(-1.0), pet, torch.zeros_like(mask))


def shown(method: DDPM) -> list[tuple[torch.Tensor, ...]]:
    """What the network is given from now on, call by call."""
    seen: list[tuple[torch.Tensor, ...]] = []
    method.generator.register_forward_pre_hook(lambda _, given: seen.append(given))
    return seen


def test_the_network_is_shown_x_t_beside_the_mri_and_told_tracer_and_time():
    method, b, t = model(), batch(4, 6, 4), torch.tensor([3, 800])
    seen, x_t = shown(method), torch.randn(b.pet.shape)
    x0_hat = method.x0_hat(x_t, t, b)
    ((volumes, tracer, time),) = seen
    assert torch.equal(volumes, torch.cat([x_t, b.mri], dim=1))
    assert torch.equal(tracer, b.tracer) and torch.equal(time, t)
    assert (x0_hat[~b.mask] == -1).all()


def synthesized(sampler: str, steps: int) -> tuple[torch.Tensor, list[tuple[torch.Tensor, ...]]]:
    """Three volumes of a network that is awake, and what it was shown."""
    method, b = model(), batch(16, 16, 16, count=3)
    with torch.no_grad():
        method.generator.last.weight.normal_(0, 0.05)
    seen = shown(method)
    random = [torch.Generator().manual_seed(i) for i in range(3)]
    return method.synthesize(b.condition, sampling=Sampling(sampler, steps), random=random), seen


def test_sampling_starts_from_normal_noise_of_every_volumes_own():
    _, seen = synthesized("ddpm", 7)
    assert len(seen) == 7
    x_T = seen[0][0][:, 0]
    normal, n = torch.distributions.Normal(0.0, 1.0), 16**3
    for volume in x_T:
        distance = normal.cdf(volume.flatten().sort().values) - torch.arange(1, n + 1) / n
        assert distance.abs().max() < 1.95 / math.sqrt(n)  # Kolmogorov and Smirnov, 0.1 %
    assert len({volume.sum().item() for volume in x_T}) == 3


def test_sampling_takes_the_sampler_and_the_steps_that_are_asked_for():
    volumes = []
    for sampler, steps in (("ddpm", 3), ("ddim", 3), ("dpmpp", 3), ("ddim", 4)):
        volume, seen = synthesized(sampler, steps)
        assert len(seen) == steps
        volumes.append(volume)
    assert not any(torch.equal(a, b) for a, b in combinations(volumes, 2))
