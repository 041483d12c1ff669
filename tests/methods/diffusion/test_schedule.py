"""Schedules against their papers and against diffusers' schedulers; identities in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relad.methods.diffusion.schedule import (
    DENOISING_WEIGHTINGS,
    PREDICTIONS,
    X0_WEIGHTINGS,
    NoiseSchedule,
    betas,
)

#: Our kinds -> what diffusers and MONAI call them.
DIFFUSERS = {"scaled_linear": "scaled_linear", "linear": "linear", "cosine": "squaredcos_cap_v2"}
MONAI = {"scaled_linear": "scaled_linear_beta", "linear": "linear_beta"}


def ends(kind: str) -> dict[str, float]:
    """First and last beta as both libraries name them; a cosine schedule has none."""
    beta = betas(kind, 1000)
    names = {} if kind == "cosine" else {"beta_start": float(beta[0]), "beta_end": float(beta[-1])}
    return names


def test_scaled_linear_schedule_has_the_published_end():
    """sqrt(abar_T) = 0.0207 for beta 5e-4 .. 1.95e-2: the terminal SNR is not zero."""
    schedule = NoiseSchedule()
    root = np.linspace(5e-4**0.5, 1.95e-2**0.5, 1000)
    expected = np.cumprod(1 - root**2)
    np.testing.assert_allclose(schedule.alpha_bar.numpy(), expected, rtol=1e-6)
    assert float(schedule.signal[-1]) == pytest.approx(0.0207, abs=5e-5)


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("kind", DIFFUSERS)
def test_schedules_are_those_of_diffusers(kind, zero_terminal_snr):
    diffusers = pytest.importorskip("diffusers", reason="the reference, in requirements.lock.txt")
    theirs = diffusers.DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule=DIFFUSERS[kind],
        rescale_betas_zero_snr=zero_terminal_snr,
        **ends(kind),
    )
    ours = NoiseSchedule(kind, zero_terminal_snr=zero_terminal_snr)
    # Theirs is in float32: a product of a thousand factors is good to about 1e-4 where it is small.
    torch.testing.assert_close(ours.exact.float(), theirs.alphas_cumprod, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("kind", MONAI)
def test_schedules_are_those_of_monai(kind):
    schedulers = pytest.importorskip(
        "monai.networks.schedulers", reason="the reference, in requirements.lock.txt"
    )
    theirs = schedulers.DDPMScheduler(1000, schedule=MONAI[kind], **ends(kind))
    ours = NoiseSchedule(kind)
    torch.testing.assert_close(ours.exact.float(), theirs.alphas_cumprod, rtol=2e-3, atol=1e-6)


def test_zero_terminal_snr_ends_in_noise_and_starts_where_it_did():
    plain, rescaled = NoiseSchedule(), NoiseSchedule(zero_terminal_snr=True)
    assert float(rescaled.exact[-1]) == 0.0
    assert float(rescaled.snr[-1]) == 0.0
    assert float(rescaled.exact[0]) == pytest.approx(float(plain.exact[0]), rel=1e-12)
    assert (rescaled.exact.diff() < 0).all()


def test_epsilon_is_refused_at_zero_terminal_snr_and_only_there():
    rescaled = NoiseSchedule(zero_terminal_snr=True)
    with pytest.raises(ValueError, match=r"'epsilon' has no clean prediction.*'v', 'sample' or"):
        rescaled.check("epsilon")
    for prediction in ("v", "sample"):
        rescaled.check(prediction)
    NoiseSchedule().check("epsilon")
    with pytest.raises(ValueError, match="'score' is none of"):
        NoiseSchedule().check("score")


def test_unknown_kinds_and_ends_of_a_cosine_are_named():
    with pytest.raises(ValueError, match="'sigmoid' is none of"):
        NoiseSchedule("sigmoid")
    with pytest.raises(ValueError, match="cosine schedule has no start"):
        NoiseSchedule("cosine", start=1e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("kind", DIFFUSERS)
def test_clean_prediction_of_the_true_output_is_the_truth(kind, prediction):
    torch.manual_seed(0)
    schedule = NoiseSchedule(kind).double()
    x0, epsilon = torch.randn(2, 4, 1, 2, 3, 4, dtype=torch.float64)
    t = torch.tensor([0, 10, 400, 800])
    x_t = schedule.x_t(x0, epsilon, t)
    signal, noise = (getattr(schedule, k)[t].view(-1, 1, 1, 1, 1) for k in ("signal", "noise"))
    output = {"sample": x0, "epsilon": epsilon, "v": signal * epsilon - noise * x0}[prediction]
    torch.testing.assert_close(schedule.x0(x_t, output, t, prediction), x0, rtol=1e-4, atol=1e-4)


def test_v_predicts_the_mean_where_nothing_of_x0_is_left():
    """At zero SNR x_T = epsilon and v = -x_0: x0_hat depends on the output alone."""
    schedule = NoiseSchedule(zero_terminal_snr=True)
    x0, x_T = torch.randn(2, 1, 1, 2, 2, 2)
    t = torch.tensor([999])
    torch.testing.assert_close(schedule.x0(x_T, -x0, t, "v"), x0)


@pytest.mark.parametrize("weighting", ["epsilon", "v"])
def test_denoising_weight_turns_x0_error_into_the_error_of_the_output(weighting):
    torch.manual_seed(0)
    schedule = NoiseSchedule().double()
    x0, epsilon, error = torch.randn(3, 4, 1, 2, 2, 2, dtype=torch.float64)
    t = torch.tensor([0, 300, 700, 999])
    x_t, x0_hat = schedule.x_t(x0, epsilon, t), x0 + 0.1 * error
    signal, noise = (getattr(schedule, k)[t].view(-1, 1, 1, 1, 1) for k in ("signal", "noise"))
    eps_hat = (x_t - signal * x0_hat) / noise
    output = {
        "epsilon": (eps_hat, epsilon),
        "v": (signal * eps_hat - noise * x0_hat, signal * epsilon - noise * x0),
    }[weighting]
    mse = (output[0] - output[1]).square().flatten(1).mean(1)
    x0_mse = (0.1 * error).square().flatten(1).mean(1)
    weight = schedule.denoising_weight(t, weighting)
    # signal and noise are float32 inside, which the difference at t = 999 magnifies
    torch.testing.assert_close(weight * x0_mse, mse, rtol=1e-3, atol=1e-9)


def test_other_denoising_weights_bound_the_snr():
    schedule = NoiseSchedule()
    t = torch.arange(1000)
    truncated = schedule.denoising_weight(t, "truncated")
    torch.testing.assert_close(truncated, schedule.snr.clamp(min=1.0))
    clipped = schedule.denoising_weight(t, "clipped")
    torch.testing.assert_close(clipped, schedule.snr.clamp(1.0, 5.0))
    assert (schedule.denoising_weight(t, "sample") == 1).all()
    assert set(DENOISING_WEIGHTINGS) == {"epsilon", "sample", "v", "truncated", "clipped"}
    with pytest.raises(ValueError, match="none of"):
        schedule.denoising_weight(t, "uniform")


def test_x0_weight_takes_back_the_gain_of_epsilon_prediction():
    """An error of eps_hat is 48 times as large in x0_hat at the published t = 999."""
    schedule = NoiseSchedule()
    t = torch.tensor([0, 300, 999])
    x_t = torch.randn(3, 1, 2, 2, 2)
    shift = schedule.x0(x_t, torch.zeros_like(x_t), t, "epsilon") - schedule.x0(
        x_t, torch.ones_like(x_t), t, "epsilon"
    )
    gain = shift.flatten(1).mean(1)
    assert float(gain[-1]) == pytest.approx(48.3, abs=0.1)
    weight = schedule.x0_weight(t, "snr")
    torch.testing.assert_close(weight, (1 / gain).clamp(max=1.0))
    torch.testing.assert_close(schedule.x0_weight(t, "uniform"), torch.ones(3))
    torch.testing.assert_close(schedule.x0_weight(t, "alpha_bar"), schedule.alpha_bar[t])
    for weighting in X0_WEIGHTINGS:
        weights = schedule.x0_weight(torch.arange(1000), weighting)
        assert (weights <= 1).all() and (weights.diff() <= 0).all()
    with pytest.raises(ValueError, match="x0_weighting 'cosine' is none of"):
        schedule.x0_weight(t, "cosine")
