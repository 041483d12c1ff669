from __future__ import annotations

import numpy as np
import pytest
import torch

from relad.diffusion.schedule import NoiseSchedule


def test_scaled_linear_schedule_has_the_published_end():
    """sqrt(abar_T) = 0.0207 for beta 5e-4 .. 1.95e-2: the terminal SNR is not zero."""
    schedule = NoiseSchedule()
    root = np.linspace(5e-4**0.5, 1.95e-2**0.5, 1000)
    expected = np.cumprod(1 - root**2)
    np.testing.assert_allclose(schedule.alpha_bar.numpy(), expected, rtol=1e-6)
    assert float(schedule.signal[-1]) == pytest.approx(0.0207, abs=5e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v"])
def test_clean_prediction_of_the_true_output_is_the_truth(prediction):
    torch.manual_seed(0)
    schedule = NoiseSchedule().double()
    x0, epsilon = torch.randn(2, 5, 1, 2, 3, 4, dtype=torch.float64)
    t = torch.tensor([0, 10, 400, 800, 999])
    x_t = schedule.x_t(x0, epsilon, t)
    signal, noise = (getattr(schedule, k)[t].view(-1, 1, 1, 1, 1) for k in ("signal", "noise"))
    output = {"sample": x0, "epsilon": epsilon, "v": signal * epsilon - noise * x0}[prediction]
    torch.testing.assert_close(schedule.x0(x_t, output, t, prediction), x0, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(schedule.epsilon(x_t, x0, t), epsilon, rtol=1e-6, atol=1e-6)


def test_epsilon_weight_turns_x0_error_into_epsilon_error():
    torch.manual_seed(0)
    schedule = NoiseSchedule()
    x0, epsilon, error = torch.randn(3, 4, 1, 2, 2, 2)
    t = torch.tensor([0, 300, 700, 999])
    x_t = schedule.x_t(x0, epsilon, t)
    eps_hat = schedule.epsilon(x_t, x0 + 0.1 * error, t)
    eps_mse = (eps_hat - epsilon).square().flatten(1).mean(1)
    x0_mse = (0.1 * error).square().flatten(1).mean(1)
    weight = schedule.epsilon_weight(t, "epsilon")
    torch.testing.assert_close(weight * x0_mse, eps_mse, rtol=1e-3, atol=1e-6)
    assert (schedule.epsilon_weight(t, "truncated") >= 1).all()
    clipped = schedule.epsilon_weight(t, "clipped")
    torch.testing.assert_close(clipped, schedule.snr[t].clamp(1.0, 5.0))
    with pytest.raises(ValueError, match="none of"):
        schedule.epsilon_weight(t, "uniform")
