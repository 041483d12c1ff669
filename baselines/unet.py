"""L1 regression with the same U-Net as the diffusion methods: one forward pass, no noise, no time.

The floor that a generative method has to justify itself against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from relad.data.batch import Batch, Condition
from relad.methods.method import Method
from relad.methods.networks.unet3d import UNet3d
from relad.methods.parameters import section
from relad.shapes import Volume
from relad.study.sampling import Sampling


class RegressionUNet(Method):
    """Minimises ||G(MRI, tracer) - x0||_1 over the brain."""

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        lr: float = 5e-4,
        network: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.generator = UNet3d(inputs, 1, tracers=tracers, timed=False, **section(network=network))
        self.optimizers = {"generator": torch.optim.Adam(self.generator.parameters(), lr=lr)}

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        prediction = self.generator(batch.mri, batch.tracer).float()
        loss = batch.brain_mean((prediction - batch.pet).abs()).mean()
        self.descend("generator", loss)
        return {"l1": loss.detach()}

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Volume:
        return self.generator(given.mri, given.tracer).float()
