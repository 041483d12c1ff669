"""Samplers against a posterior that is known in closed form, and against the textbook step."""

from __future__ import annotations

import pytest
import torch

from relad.diffusion.samplers import sample, timesteps
from relad.diffusion.schedule import NoiseSchedule

MEAN, SD = 0.3, 0.2


def optimal_x0(schedule):
    """E[x0 | x_t] for x0 ~ N(MEAN, SD^2): what a perfect network would answer."""

    def predict(x_t, t):
        abar = schedule.alpha_bar[t].view(-1, 1, 1, 1, 1)
        gain = abar.sqrt() * SD**2 / (abar * SD**2 + 1 - abar)
        return MEAN + gain * (x_t - abar.sqrt() * MEAN)

    return predict


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 250), ("ddpm", 500), ("ddpm", 1000)])
def test_sampling_a_gaussian_gives_its_mean_and_spread(sampler, steps):
    schedule = NoiseSchedule()
    random = torch.Generator().manual_seed(1)
    x_T = torch.randn(2, 1, 20, 20, 20, generator=random)
    x0 = sample(optimal_x0(schedule), schedule, x_T, sampler=sampler, steps=steps, random=random)
    # 16,000 draws: standard error of the mean 0.0016, of the spread 0.0011; a few steps cost bias.
    assert x0.mean().item() == pytest.approx(MEAN, abs=0.008)
    assert x0.std().item() == pytest.approx(SD, abs=0.012)


def test_one_step_is_regression_from_pure_noise():
    schedule = NoiseSchedule()
    seen = []

    def predict(x_t, t):
        seen.append(t.tolist())
        return x_t * 0 + 0.25

    x_T = torch.randn(3, 1, 2, 2, 2)
    x0 = sample(
        predict, schedule, x_T, sampler="ddim", steps=1, random=torch.Generator().manual_seed(0)
    )
    assert seen == [[999] * 3]
    assert (x0 == 0.25).all()


def test_ancestral_step_is_algorithm_2_of_ho_et_al():
    """One step with all T steps: mean and variance of q(x_{t-1} | x_t, x0_hat), Ho et al. eq. 7."""
    schedule = NoiseSchedule(kind="linear", steps=2, start=0.1, end=0.4)
    beta = torch.tensor([0.1, 0.4])
    abar = torch.cumprod(1 - beta, 0)
    x_T = torch.randn(1, 1, 4, 4, 4)
    x0 = torch.full_like(x_T, 0.1)
    ours = sample(
        lambda x_t, t: x0 if int(t[0]) == 1 else x_t,  # hand x_0 through at the last step
        schedule,
        x_T,
        sampler="ddpm",
        steps=2,
        random=torch.Generator().manual_seed(3),
    )
    mean = abar[0].sqrt() * beta[1] / (1 - abar[1]) * x0
    mean = mean + (1 - beta[1]).sqrt() * (1 - abar[0]) / (1 - abar[1]) * x_T
    variance = (1 - abar[0]) / (1 - abar[1]) * beta[1]
    noise = torch.randn(x_T.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours, mean + variance.sqrt() * noise)


def test_timesteps_start_at_the_end_and_fall():
    assert timesteps(1000, 1) == [999]
    assert timesteps(1000, 4) == [999, 749, 499, 249]
    assert timesteps(1000, 1000) == list(range(999, -1, -1))
    with pytest.raises(ValueError, match="between 1 and 1000"):
        timesteps(1000, 0)


def test_ddim_is_deterministic_and_ddpm_follows_its_seed():
    schedule = NoiseSchedule()
    x_T = torch.randn(1, 1, 3, 3, 3)

    def draw(sampler, seed):
        random = torch.Generator().manual_seed(seed)
        return sample(optimal_x0(schedule), schedule, x_T, sampler=sampler, steps=5, random=random)

    assert torch.equal(draw("ddim", 0), draw("ddim", 1))
    assert torch.equal(draw("ddpm", 0), draw("ddpm", 0))
    assert not torch.equal(draw("ddpm", 0), draw("ddpm", 1))
