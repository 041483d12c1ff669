"""PET of each voxel from the MRI of that very voxel: what tissue tells, and nothing of its shape.

An example to copy: a whole method in a package of its own. docs/protocol.md says how it joins a
study.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relad.data.batch import Batch, Condition
from relad.methods.method import Method
from relad.study.sampling import Sampling


class Perceptron(nn.Module):
    """The same small network at every voxel; the tracer scales and shifts its hidden layer."""

    def __init__(self, channels: int, tracers: int, width: int):
        super().__init__()
        self.first = nn.Conv3d(channels, width, 1)
        self.tracer = nn.Embedding(tracers, 2 * width)
        self.second = nn.Conv3d(width, width, 1)
        self.last = nn.Conv3d(width, 1, 1)

    def forward(self, mri: Tensor, tracer: Tensor) -> Tensor:
        """(b, m, x, y, z), (b,) -> (b, 1, x, y, z)."""
        scale, shift = self.tracer(tracer)[..., None, None, None].chunk(2, dim=1)
        h = F.silu(self.first(mri) * (1 + scale) + shift)
        return self.last(F.silu(self.second(h)))


class Voxelwise(Method):
    """Minimises the L1 over the brain.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    width
        Of the hidden layers.
    lr
        Adam's learning rate.
    """

    def __init__(self, *, inputs: int, tracers: int, width: int = 32, lr: float = 5e-3):
        super().__init__()
        self.generator = Perceptron(inputs, tracers, width)
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
    ) -> Tensor:
        return self.generator(given.mri, given.tracer).float()
