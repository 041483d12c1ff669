"""The noise schedule and the identities between x_t, x_0, epsilon and v.

Forward process (Ho et al. 2020, eq. 4):  x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) epsilon.
Time runs t = 0 .. T-1, so that abar_0 is the first noisy step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PREDICTIONS = ("preconditioned", "epsilon", "sample", "v")

#: Standard deviation of x_0 assumed by ``preconditioned``; that of relad.space's voxel_mean.
SIGMA_DATA = 1 / 3


def betas(kind: str, steps: int, start: float, end: float) -> Tensor:
    """Noise variances beta_t, (T,) float64.

    ``scaled_linear`` is linear in sqrt(beta), as the published release has it; ``linear`` is Ho et
    al. 2020.
    """
    if kind == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    if kind == "linear":
        return torch.linspace(start, end, steps, dtype=torch.float64)
    raise ValueError(f"noise schedule {kind!r} is neither 'scaled_linear' nor 'linear'")


class NoiseSchedule(nn.Module):
    """abar_t and what follows from it; computed in float64, kept in float32.

    Parameters
    ----------
    kind, steps, start, end
        See :func:`betas`; the defaults are the published settings (T = 1000).
    """

    def __init__(
        self,
        kind: str = "scaled_linear",
        steps: int = 1000,
        start: float = 5e-4,
        end: float = 1.95e-2,
    ):
        super().__init__()
        alpha_bar = torch.cumprod(1.0 - betas(kind, steps, start, end), dim=0)
        self.steps = steps
        self.register_buffer("alpha_bar", alpha_bar.float(), persistent=False)
        self.register_buffer("signal", alpha_bar.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1.0 - alpha_bar).sqrt().float(), persistent=False)
        self.register_buffer("snr", (alpha_bar / (1.0 - alpha_bar)).float(), persistent=False)

    @staticmethod
    def _at(values: Tensor, t: Tensor) -> Tensor:
        """(T,), (b,) -> (b, 1, 1, 1, 1)."""
        return values[t][:, None, None, None, None]

    def x_t(self, x0: Tensor, epsilon: Tensor, t: Tensor) -> Tensor:
        """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) epsilon."""
        return self._at(self.signal, t) * x0 + self._at(self.noise, t) * epsilon

    def epsilon(self, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        """epsilon = (x_t - sqrt(abar_t) x_0) / sqrt(1 - abar_t)."""
        return (x_t - self._at(self.signal, t) * x0) / self._at(self.noise, t)

    def x0(self, x_t: Tensor, output: Tensor, t: Tensor, prediction: str) -> Tensor:
        """Clean prediction x0_hat from a network's output.

        ``epsilon``: x0_hat = (x_t - sqrt(1 - abar_t) eps_hat) / sqrt(abar_t); ``sample``: the
        output itself; ``v`` (Salimans & Ho 2022): x0_hat = sqrt(abar_t) x_t - sqrt(1-abar_t) v_hat.
        ``preconditioned`` (Karras et al. 2022, eq. 7, for a variance-preserving process):
        x0_hat = c_skip x_t + c_out F. c_skip x_t is the best guess for x_0 ~ N(0, sigma_data^2)
        without a network, and c_out is its standard error, so F is of unit size at every t.
        """
        if prediction == "sample":
            return output
        if prediction == "preconditioned":
            signal, noise = self._at(self.signal, t), self._at(self.noise, t)
            variance = signal**2 * SIGMA_DATA**2 + noise**2
            c_skip = signal * SIGMA_DATA**2 / variance
            c_out = noise * SIGMA_DATA / variance.sqrt()
            return c_skip * x_t + c_out * output
        if prediction == "epsilon":
            return (x_t - self._at(self.noise, t) * output) / self._at(self.signal, t)
        return self._at(self.signal, t) * x_t - self._at(self.noise, t) * output

    def epsilon_weight(self, t: Tensor, weighting: str) -> Tensor:
        """Weight that turns ||x0 - x0_hat||^2 into the denoising loss, (b,).

        ||epsilon - eps_hat||^2 = SNR(t) ||x0 - x0_hat||^2, SNR = abar_t / (1 - abar_t).

        ``epsilon``
            SNR(t): the plain epsilon-MSE of Ho et al. 2020, eq. 14.
        ``truncated``
            max(SNR, 1) (Salimans & Ho 2022, eq. 9): also learns where almost all is noise.
        ``clipped``
            min(max(SNR, 1), 5): the same, with the cap of Hang et al. 2023 for the clean end.
        """
        snr = self.snr[t]
        if weighting == "epsilon":
            return snr
        if weighting == "truncated":
            return snr.clamp(min=1.0)
        if weighting == "clipped":
            return snr.clamp(min=1.0, max=5.0)
        raise ValueError(f"weighting {weighting!r} is none of epsilon, truncated, clipped")
