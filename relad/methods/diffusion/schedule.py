"""The noise schedule and the identities between x_t, x_0, epsilon and v.

Forward process (Ho et al. 2020, eq. 4):  x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) epsilon.
Time runs t = 0 .. T-1, so that abar_0 is the first noisy step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from relad.methods.parameters import require_choice, require_kinds, require_whole, require_within
from relad.shapes import Float, Index, PerSample

#: One number per sample, for its volume.
Level = Float[Tensor, "b 1 1 1 1"]

PREDICTIONS = ("epsilon", "sample", "v")

#: Kind of schedule -> its published first and last beta (None: it has none).
KINDS: dict[str, tuple[float, float] | None] = {
    "scaled_linear": (5e-4, 1.95e-2),  # RelA-Diffusion
    "linear": (1e-4, 2e-2),  # Ho et al. 2020
    "cosine": None,  # Nichol & Dhariwal 2021
}

#: Weightings of the denoising loss and of the terms on x0_hat, see :class:`NoiseSchedule`.
DENOISING_WEIGHTINGS = ("epsilon", "sample", "v", "truncated", "clipped")
X0_WEIGHTINGS = ("uniform", "snr", "alpha_bar")


def betas(kind: str, steps: int, start: float | None = None, end: float | None = None) -> Tensor:
    """Noise variances beta_t, (T,) float64.

    ``scaled_linear`` is linear in sqrt(beta), as the published release has it; ``linear`` is Ho et
    al. 2020; ``cosine`` is Nichol & Dhariwal 2021, eq. 17, capped at 0.999, and has no ends.

    Raises
    ------
    ValueError
        For an unknown kind, less than two steps, ends that are no variances between 0 and 1 or in
        the wrong order, or ends given to a schedule that has none.
    """
    require_whole(2, steps=steps)
    require_within(0, 1, above=True, below=True, start=start, end=end)
    require_choice(KINDS, kind=kind)
    ends = KINDS[kind]
    if ends is None:
        if start is not None or end is not None:
            raise ValueError(f"a {kind} schedule has no start and end")
        time = torch.arange(steps + 1, dtype=torch.float64) / steps
        f = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
        return (1 - f[1:] / f[:-1]).clamp(max=0.999)
    start, end = ends[0] if start is None else start, ends[1] if end is None else end
    if start > end:
        raise ValueError(f"start {start:g} of the noise is above its end {end:g}")
    if kind == "linear":
        return torch.linspace(start, end, steps, dtype=torch.float64)
    return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2


def zero_terminal(alpha_bar: Tensor) -> Tensor:
    """Shift and scale sqrt(abar) so that it ends at 0 and starts where it did.

    Lin et al. 2024 (Common diffusion noise schedules and sample steps are flawed), algorithm 1.
    """
    root = alpha_bar.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


class NoiseSchedule(nn.Module):
    """abar_t and what follows from it; computed in float64.

    Parameters
    ----------
    kind, steps, start, end
        See :func:`betas`; the defaults are the published settings (T = 1000).
    zero_terminal_snr
        Whether to rescale so that x_T holds nothing of x_0, see :func:`zero_terminal`. At
        t = T-1 sampling always starts from pure noise; the published schedule is never trained
        there, as its x_T still holds 0.0207 x_0.

    Attributes
    ----------
    exact
        (T,) float64 abar_t, on the CPU whatever the device: the samplers' coefficients.
    signal, noise, snr
        (T,) float32 sqrt(abar_t), sqrt(1 - abar_t), abar_t / (1 - abar_t).
    """

    def __init__(
        self,
        kind: str = "scaled_linear",
        steps: int = 1000,
        start: float | None = None,
        end: float | None = None,
        zero_terminal_snr: bool = False,
    ):
        super().__init__()
        require_kinds(NoiseSchedule, {"zero_terminal_snr": zero_terminal_snr})
        alpha_bar = torch.cumprod(1.0 - betas(kind, steps, start, end), dim=0)
        if zero_terminal_snr:
            alpha_bar = zero_terminal(alpha_bar)
        self.steps = steps
        self.exact = alpha_bar
        self.register_buffer("alpha_bar", alpha_bar.float(), persistent=False)
        self.register_buffer("signal", alpha_bar.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1.0 - alpha_bar).sqrt().float(), persistent=False)
        self.register_buffer("snr", (alpha_bar / (1.0 - alpha_bar)).float(), persistent=False)

    def check(self, prediction: str) -> None:
        """Refuse a prediction that this schedule cannot turn into x0_hat.

        Raises
        ------
        ValueError
            For an unknown prediction, and for epsilon where abar_T = 0: x_T is epsilon itself, so
            predicting epsilon tells nothing of x_0.
        """
        require_choice(PREDICTIONS, prediction=prediction)
        if prediction == "epsilon" and float(self.signal[-1]) == 0:
            raise ValueError(
                "prediction 'epsilon' has no clean prediction at zero terminal SNR; "
                "take 'v', 'sample' or 'preconditioned'"
            )

    def levels(self, t: Index) -> tuple[Level, Level]:
        """Return sqrt(abar_t) and sqrt(1 - abar_t), each (b, 1, 1, 1, 1)."""
        return self._at(self.signal, t), self._at(self.noise, t)

    @staticmethod
    def _at(values: Tensor, t: Tensor) -> Tensor:
        """(T,), (b,) -> (b, 1, 1, 1, 1)."""
        return values[t][:, None, None, None, None]

    def x_t(
        self,
        x0: Float[Tensor, "b c x y z"],
        epsilon: Float[Tensor, "b c x y z"],
        t: Index,
    ) -> Float[Tensor, "b c x y z"]:
        """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) epsilon."""
        return self._at(self.signal, t) * x0 + self._at(self.noise, t) * epsilon

    def x0(
        self,
        x_t: Float[Tensor, "b c x y z"],
        output: Float[Tensor, "b c x y z"],
        t: Index,
        prediction: str,
    ) -> Float[Tensor, "b c x y z"]:
        """Clean prediction x0_hat from a network's output.

        ``epsilon``: x0_hat = (x_t - sqrt(1 - abar_t) eps_hat) / sqrt(abar_t); ``sample``: the
        output itself; ``v`` (Salimans & Ho 2022): x0_hat = sqrt(abar_t) x_t - sqrt(1-abar_t) v_hat.
        """
        if prediction == "sample":
            return output
        if prediction == "epsilon":
            return (x_t - self._at(self.noise, t) * output) / self._at(self.signal, t)
        return self._at(self.signal, t) * x_t - self._at(self.noise, t) * output

    def denoising_weight(self, t: Index, weighting: str) -> PerSample:
        """Weight that turns ||x0 - x0_hat||^2 into the denoising loss, (b,).

        ||epsilon - eps_hat||^2 = SNR(t) ||x0 - x0_hat||^2, SNR = abar_t / (1 - abar_t).

        ``epsilon``
            SNR(t): the plain epsilon-MSE of Ho et al. 2020, eq. 14.
        ``sample``
            1: the plain x0-MSE.
        ``v``
            SNR(t) + 1: the v-MSE of Salimans & Ho 2022.
        ``truncated``
            max(SNR, 1) (Salimans & Ho 2022, eq. 9): also learns where almost all is noise.
        ``clipped``
            min(max(SNR, 1), 5): the same, with the cap of Hang et al. 2023 for the clean end.
        """
        snr = self.snr[t]
        if weighting == "epsilon":
            return snr
        if weighting == "sample":
            return torch.ones_like(snr)
        if weighting == "v":
            return snr + 1.0
        if weighting == "truncated":
            return snr.clamp(min=1.0)
        if weighting == "clipped":
            return snr.clamp(min=1.0, max=5.0)
        raise ValueError(f"weighting {weighting!r} is none of {', '.join(DENOISING_WEIGHTINGS)}")

    def x0_weight(self, t: Index, weighting: str) -> PerSample:
        """Weight of the L1 and of the adversarial loss on x0_hat, (b,), at most 1.

        With ``prediction: epsilon`` an error of eps_hat comes into x0_hat 1/sqrt(SNR(t)) times as
        large (48 times at the published t = 999), so unweighted terms on x0_hat are ruled by the
        noisiest steps.

        ``uniform``
            1.
        ``snr``
            min(sqrt(SNR), 1): takes exactly this gain back where it exceeds 1.
        ``alpha_bar``
            abar_t = SNR / (1 + SNR): the share of x_t's variance that is signal.
        """
        if weighting == "uniform":
            return torch.ones_like(self.snr[t])
        if weighting == "snr":
            return self.snr[t].sqrt().clamp(max=1.0)
        if weighting == "alpha_bar":
            return self.alpha_bar[t]
        raise ValueError(f"x0_weighting {weighting!r} is none of {', '.join(X0_WEIGHTINGS)}")
