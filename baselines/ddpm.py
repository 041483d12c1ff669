"""Plain conditional DDPM (Ho et al. 2020): network and schedule of `rela`, denoising loss alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from relad.data.batch import Batch
from relad.methods.diffusion.conditional import ConditionalDiffusion


class DDPM(ConditionalDiffusion):
    """Minimises ||epsilon - eps_hat||^2, weighted over t as ``weighting`` says."""

    def __init__(self, *, inputs: int, tracers: int, lr: float = 5e-4, **diffusion: Any):
        super().__init__(inputs=inputs, tracers=tracers, **diffusion)
        self.optimizers = {"generator": torch.optim.Adam(self.generator.parameters(), lr=lr)}

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        x_t, t = self.noised(batch, random)
        x0_hat = self.x0_hat(x_t, t, batch)
        loss = self.denoising_loss(x0_hat, batch, t)
        self.descend("generator", loss)
        return {"denoising": loss.detach()}
