"""Samplers: from noise x_T to a clean volume, given a clean prediction x0_hat(x_t, t).

Both visit the times tau_1 = T-1 > tau_2 > ... > tau_S; S = T is the full chain and S = 1 is
"regression sampling" (x0_hat at t = T-1, arXiv 2505.02048).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from relad.diffusion.schedule import NoiseSchedule

SAMPLERS = ("ddim", "ddpm")


def timesteps(total: int, steps: int) -> list[int]:
    """``steps`` times from T-1 down, evenly spaced."""
    if not 1 <= steps <= total:
        raise ValueError(f"{steps} sampling steps are not between 1 and {total}")
    return [round(total * (1 - i / steps)) - 1 for i in range(steps)]


def sample(
    predict_x0: Callable[[Tensor, Tensor], Tensor],
    schedule: NoiseSchedule,
    x_T: Tensor,
    *,
    sampler: str,
    steps: int,
    random: torch.Generator,
) -> Tensor:
    """Sample x_0.

    Parameters
    ----------
    predict_x0
        (x_t (b, 1, x, y, z), t (b,)) -> x0_hat of x_t's shape.
    x_T
        Standard normal noise (b, 1, x, y, z).
    sampler
        ``ddim``: eta = 0, deterministic (Song et al. 2021, eq. 12).
        ``ddpm``: ancestral, eta = 1, which for S = T is Ho et al. 2020, algorithm 2 with the
        posterior variance beta_tilde.
    random
        Source of the ancestral sampler's noise.

    Returns
    -------
    x_0 of x_T's shape, from ``steps`` evaluations of ``predict_x0``.
    """
    eta = {"ddim": 0.0, "ddpm": 1.0}[sampler]
    times = timesteps(schedule.steps, steps)
    x = x_T
    for now, following in zip(times, [*times[1:], None], strict=True):
        t = torch.full((x.shape[0],), now, dtype=torch.long, device=x.device)
        x0_hat = predict_x0(x, t)
        if following is None:
            return x0_hat
        abar, abar_next = schedule.alpha_bar[now], schedule.alpha_bar[following]
        sigma2 = eta**2 * (1 - abar_next) / (1 - abar) * (1 - abar / abar_next)  # eq. 16
        epsilon = schedule.epsilon(x, x0_hat, t)
        x = abar_next.sqrt() * x0_hat + (1 - abar_next - sigma2).clamp(min=0).sqrt() * epsilon
        if eta > 0:
            x = x + sigma2.sqrt() * torch.randn(
                x.shape, generator=random, device=x.device, dtype=x.dtype
            )
    raise AssertionError("unreachable: timesteps() is never empty")
