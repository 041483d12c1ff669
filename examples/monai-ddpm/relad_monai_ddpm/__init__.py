"""MONAI's DiffusionModelUNet and its schedulers as a conditional DDPM of PET given MRI and tracer.

Ho et al. 2020 with the velocity as the network's output (Salimans & Ho 2022), sampled by DDIM (Song
et al. 2021). Network, schedule, loss target and sampler are MONAI's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler
from torch import Tensor

from relad.compute.randomness import rand, randn
from relad.data.batch import Batch, Condition
from relad.methods.method import Method
from relad.methods.networks.blocks import padded
from relad.study.sampling import Sampling

TIMES = 1000


class MonaiDDPM(Method):
    """Minimises ||v - v_hat||^2 over the brain.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    channels
        Width of each level of the network; a multiple of 8.
    lr
        Adam's learning rate.
    """

    stochastic = True

    def __init__(
        self, *, inputs: int, tracers: int, channels: Sequence[int] = (32, 64, 96), lr: float = 5e-4
    ):
        super().__init__()
        self.generator = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=1 + inputs,
            out_channels=1,
            channels=tuple(channels),
            num_res_blocks=1,
            attention_levels=[False] * len(channels),
            norm_num_groups=8,
            num_class_embeds=tracers,
        )
        self.multiple = 2 ** (len(channels) - 1)
        self.optimizers = {"generator": torch.optim.Adam(self.generator.parameters(), lr=lr)}

    @staticmethod
    def schedule(steps: int) -> DDIMScheduler:
        """MONAI's scheduler for so many steps, the first of them from the last time."""
        schedule = DDIMScheduler(
            num_train_timesteps=TIMES,
            schedule="scaled_linear_beta",
            beta_start=0.0005,
            beta_end=0.0195,
            prediction_type="v_prediction",
            clip_sample=False,
            steps_offset=TIMES // steps - 1,
        )
        schedule.set_timesteps(steps)
        return schedule

    def velocity(self, x_t: Tensor, t: Tensor, given: Condition) -> Tensor:
        """v_hat, (b, 1, x, y, z)."""

        def network(x: Tensor) -> Tensor:
            return self.generator(x, timesteps=t, class_labels=given.tracer)

        return padded(network, torch.cat([x_t, given.mri], dim=1), self.multiple).float()

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        x0, schedule = batch.pet, self.schedule(TIMES)
        t = (TIMES * rand(x0.shape[:1], random)).long()
        noise = randn(x0.shape, random)
        x_t = schedule.add_noise(x0, noise, t)
        error = self.velocity(x_t, t, batch) - schedule.get_velocity(x0, noise, t)
        loss = batch.brain_mean(error.square()).mean()
        self.descend("generator", loss)
        return {"denoising": loss.detach()}

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Tensor:
        schedule = self.schedule(sampling.steps)
        x = randn(given.mask.shape, random)
        for time in schedule.timesteps:
            t = time.to(x.device).expand(len(x))
            x, _ = schedule.step(self.velocity(x, t, given), int(time), x)
        return x

    def sampler_name(self, sampling: Sampling) -> str:
        return Sampling("ddim", sampling.steps, sampling.samples).name

    def evaluations(self, sampling: Sampling) -> int:
        return sampling.evaluations
