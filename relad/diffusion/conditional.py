"""A conditional 3D diffusion model of PET given MRI and tracer: what its methods have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from relad import parallel
from relad.diffusion import samplers
from relad.diffusion.schedule import PREDICTIONS, NoiseSchedule
from relad.method import Batch, Method, Sampling
from relad.networks.unet3d import UNet3d


class ConditionalDiffusion(Method):
    """U-Net on [x_t, MRI], conditioned on t and tracer; sampling by any of the samplers.

    Parameters
    ----------
    prediction
        What the network's output is: ``preconditioned``, ``sample`` (x0), ``epsilon`` or ``v``, see
        :meth:`NoiseSchedule.x0`.
    weighting
        Of the denoising loss, see :meth:`NoiseSchedule.epsilon_weight`.
    t_power
        In training t = floor(T (1 - u^t_power)) with u uniform: 1 draws t uniformly, more draws the
        noisy end more often, where the MRI and not x_t has to tell what the PET looks like.
    schedule, network
        Parameters of :class:`NoiseSchedule` and :class:`UNet3d`.
    """

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        prediction: str = "sample",
        weighting: str = "clipped",
        t_power: float = 2.0,
        schedule: Mapping[str, Any] | None = None,
        network: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        if prediction not in PREDICTIONS:
            raise TypeError(f"prediction {prediction!r} is none of {', '.join(PREDICTIONS)}")
        self.prediction = prediction
        self.weighting = weighting
        self.t_power = t_power
        self.schedule = NoiseSchedule(**(schedule or {}))
        self.generator = UNet3d(1 + inputs, 1, tracers=tracers, timed=True, **(network or {}))

    def x0_hat(self, x_t: Tensor, t: Tensor, batch: Batch) -> Tensor:
        """The clean prediction, (b, 1, x, y, z); outside the brain it is the known value."""
        output = self.generator(torch.cat([x_t, batch.mri], dim=1), batch.tracer, t).float()
        return batch.in_brain(self.schedule.x0(x_t, output, t, self.prediction))

    def noised(self, batch: Batch, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw t and epsilon; return (x_t, t)."""
        x0 = batch.pet
        u = parallel.rand(x0.shape[:1], random)
        t = (self.schedule.steps * (1 - u**self.t_power)).long().clamp(max=self.schedule.steps - 1)
        epsilon = parallel.randn(x0.shape, random)
        return self.schedule.x_t(x0, epsilon, t), t

    def denoising_loss(self, x0_hat: Tensor, batch: Batch, t: Tensor) -> Tensor:
        """||epsilon - eps_hat||^2 over the brain, written in x0 and weighted over t."""
        weight = self.schedule.epsilon_weight(t, self.weighting)
        return (weight * batch.brain_mean((x0_hat - batch.pet).square())).mean()

    @torch.no_grad()
    def synthesize(self, batch: Batch, *, sampling: Sampling, random: torch.Generator) -> Tensor:
        x_T = torch.randn(batch.mask.shape, generator=random, device=batch.mri.device)
        return samplers.sample(
            lambda x_t, t: self.x0_hat(x_t, t, batch),
            self.schedule,
            x_T,
            sampler=sampling.sampler,
            steps=sampling.steps,
            random=random,
        )

    def sampler_name(self, sampling: Sampling) -> str:
        return f"{sampling.sampler}-{sampling.steps}"

    def evaluations(self, sampling: Sampling) -> int:
        return sampling.steps
