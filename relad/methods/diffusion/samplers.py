"""Samplers: from noise x_T to a clean volume, given a clean prediction x0_hat(x_t, t).

All visit times tau_1 > tau_2 > ... > tau_S and return the clean prediction at tau_S, so that S is
the number of network evaluations. S = T is the full chain; S = 1 is "regression sampling" whatever
the sampler: x0_hat at t = T-1 (arXiv 2505.02048). `heun` spends every second evaluation on
correcting a step, and so visits about half as many times. Coefficients are computed in float64 from
abar alone, so all samplers take every schedule, zero terminal SNR included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from relad.compute.randomness import randn
from relad.methods.diffusion.schedule import NoiseSchedule


def timesteps(total: int, steps: int) -> list[int]:
    """``steps`` times from T-1 to 0, evenly spaced (``linspace`` of Lin et al. 2024, table 2).

    It starts where x_T is noise and ends where x_t is clean: a clean prediction is a mean, and one
    made at a later time than 0 lacks what is finer than the noise of that time.
    """
    if not 1 <= steps <= total:
        raise ValueError(f"{steps} sampling steps are not between 1 and {total}")
    return [round((total - 1) * (1 - i / max(steps - 1, 1))) for i in range(steps)]


def visits(sampler: str, steps: int) -> int:
    """Times that a sampler visits with so many network evaluations."""
    return steps - (steps - 1) // 2 if sampler == "heun" else steps


def sample(
    predict_x0: Callable[[Tensor, Tensor], Tensor],
    schedule: NoiseSchedule,
    x_T: Tensor,
    *,
    sampler: str,
    steps: int,
    random: Sequence[torch.Generator],
    temperature: float = 1.0,
    times: Sequence[int] | None = None,
) -> Tensor:
    """Sample x_0.

    Parameters
    ----------
    predict_x0
        (x_t (b, 1, x, y, z), t (b,)) -> x0_hat of x_t's shape.
    x_T
        Standard normal noise (b, 1, x, y, z).
    sampler
        One of :data:`relad.study.sampling.SAMPLERS`.
    steps
        Network evaluations S; ``regression`` takes 1.
    random
        Sources of the ancestral sampler's noise, one per volume.
    temperature
        What all noise, x_T's as well, is multiplied by.
    times
        tau_1 > tau_2 > ..., where not those of :func:`timesteps`.

    Returns
    -------
    x_0 of x_T's shape, from ``steps`` evaluations of ``predict_x0``.
    """
    if sampler not in STEPS:
        raise ValueError(f"sampler {sampler!r} is none of {', '.join(STEPS)}")
    if sampler == "regression" and steps != 1:
        raise ValueError(f"regression is one evaluation, not {steps}")
    corrected = steps - visits(sampler, steps)
    if times is None:
        times = timesteps(schedule.steps, steps - corrected)
    abar = [float(schedule.exact[t]) for t in times]

    def clean(x: Tensor, now: int) -> Tensor:
        t = torch.full((x.shape[0],), now, dtype=torch.long, device=x.device)
        return predict_x0(x, t)

    def noise(like: Tensor) -> Tensor:
        return temperature * randn(like.shape, random, like.dtype)

    step = STEPS[sampler](noise)
    x = temperature * x_T
    for i, (abar_now, abar_next) in enumerate(pairwise(abar)):
        x0_hat = clean(x, times[i])
        ahead = step(x, x0_hat, abar_now, abar_next)
        if i < corrected:
            ends = (x, x0_hat, abar_now), (ahead, clean(ahead, times[i + 1]), abar_next)
            ahead = heun(*ends)
        x = ahead
    return clean(x, times[-1])


#: One step: (x_t, x0_hat, abar_t, abar of the next, less noisy time) -> x at the next time.
Step = Callable[[Tensor, Tensor, float, float], Tensor]
#: A volume -> normal noise of its shape.
Noise = Callable[[Tensor], Tensor]


def ddpm(noise: Noise) -> Step:
    """Draw from q(x_s | x_t, x0_hat), s < t.

    For S = T this is Ho et al. 2020, algorithm 2 with the posterior variance beta_tilde; for S < T
    it is Song et al. 2021, eq. 12 and 16 with eta = 1.
    """

    def step(x: Tensor, x0_hat: Tensor, abar: float, abar_next: float) -> Tensor:
        alpha = abar / abar_next  # of the whole step from s to t
        mean = (
            math.sqrt(abar_next) * (1 - alpha) / (1 - abar) * x0_hat
            + math.sqrt(alpha) * (1 - abar_next) / (1 - abar) * x
        )
        sigma = math.sqrt((1 - abar_next) / (1 - abar) * (1 - alpha))
        return mean + sigma * noise(x)

    return step


def ddim(noise: Noise) -> Step:
    """Keep the predicted noise: Song et al. 2021, eq. 12 with eta = 0; draws nothing."""

    def step(x: Tensor, x0_hat: Tensor, abar: float, abar_next: float) -> Tensor:
        epsilon = (x - math.sqrt(abar) * x0_hat) / math.sqrt(1 - abar)
        return math.sqrt(abar_next) * x0_hat + math.sqrt(1 - abar_next) * epsilon

    return step


def dpmpp(noise: Noise) -> Step:
    """DPM-Solver++(2M), Lu et al. 2022 (arXiv 2211.01095), algorithm 2; draws nothing.

    lambda = log(sqrt(abar) / sqrt(1 - abar)). The first step is of first order, and so is DDIM's;
    every later one extrapolates from the last two clean predictions.
    """
    before: tuple[float, Tensor] | None = None  # h and x0_hat of the step before

    def half_log_snr(abar: float) -> float:
        return 0.5 * (math.log(abar) - math.log1p(-abar)) if abar > 0 else -math.inf

    def step(x: Tensor, x0_hat: Tensor, abar: float, abar_next: float) -> Tensor:
        nonlocal before
        h = half_log_snr(abar_next) - half_log_snr(abar)
        direction = x0_hat
        if before is not None:
            r = before[0] / h  # infinite after a step from zero SNR: first order again
            direction = x0_hat + (x0_hat - before[1]) / (2 * r)
        before = h, x0_hat
        ratio = math.sqrt((1 - abar_next) / (1 - abar))
        return ratio * x - math.sqrt(abar_next) * math.expm1(-h) * direction

    return step


#: A point of a trajectory: x_t, x0_hat, abar_t.
Point = tuple[Tensor, Tensor, float]


def heun(now: Point, ahead: Point) -> Tensor:
    """Step from ``now`` by the mean of the flow's directions at both ends (Karras et al. 2022).

    In straight time tau = sigma / (alpha + sigma), y = x / (alpha + sigma), where the flow of every
    Gaussian process is dy/dtau = epsilon_hat - x0_hat (Liu et al. 2023, eq. 1): no end of it is
    singular, and Euler's method in it is DDIM.
    """
    slopes, taus, scales = [], [], []
    for x, x0_hat, abar in (now, ahead):
        alpha, sigma = math.sqrt(abar), math.sqrt(1 - abar)
        slopes.append((x - alpha * x0_hat) / sigma - x0_hat)
        taus.append(sigma / (alpha + sigma))
        scales.append(alpha + sigma)
    change = 0.5 * (taus[1] - taus[0]) * (slopes[0] + slopes[1])
    return scales[1] * (now[0] / scales[0] + change)


#: Sampler -> maker of its step; ``regression`` takes none. That of ``heun`` is corrected after it.
STEPS: dict[str, Callable[[Noise], Step]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpmpp": dpmpp,
    "regression": ddim,
    "euler": ddim,
    "heun": ddim,
}
