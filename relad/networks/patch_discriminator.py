"""A patch discriminator without normalisation layers.

R1 and R2 bound the gradient of D for each sample; a normalisation layer would mix samples or
rescale the very gradient that is bounded (Huang et al. 2024), so there is none.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relad.networks.blocks import space_to_depth


class PatchDiscriminator(nn.Module):
    """Patch critic of a PET volume, conditioned on MRI and tracer.

    Parameters
    ----------
    condition_channels
        MRI channels given beside the PET; 0 for an unconditioned critic.
    tracers
        Number of tracers; the embedding enters as a bias of every patch's features.
    channels
        Width of each level; every level after the first halves the size.
    stem
        Space-to-depth factor of the input.
    """

    def __init__(
        self,
        condition_channels: int,
        *,
        tracers: int,
        channels: tuple[int, ...] = (16, 32, 64),
        stem: int = 2,
    ):
        super().__init__()
        self.stem = stem
        self.multiple = stem * 2 ** (len(channels) - 1)
        self.first = nn.Conv3d((1 + condition_channels) * stem**3, channels[0], 3, padding=1)
        self.tracer = nn.Embedding(tracers, channels[0])
        self.levels = nn.ModuleList(
            nn.Conv3d(c, deeper, 4, stride=2, padding=1) for c, deeper in pairwise(channels)
        )
        self.last = nn.Conv3d(channels[-1], 1, 3, padding=1)

    def forward(self, pet: Tensor, mri: Tensor, tracer: Tensor) -> Tensor:
        """(b, 1, x, y, z), (b, m, x, y, z), (b,) -> patch logits (b, 1, i, j, k)."""
        x = torch.cat([pet, mri], dim=1) if mri.shape[1] else pet
        missing = [(-n) % self.multiple for n in x.shape[2:]]
        if any(missing):  # logits have no voxel grid to crop back to
            x = F.pad(x, [p for m in reversed(missing) for p in (m // 2, m - m // 2)], "replicate")
        h = self.first(space_to_depth(x, self.stem))
        h = F.leaky_relu(h + self.tracer(tracer)[..., None, None, None], 0.2)
        for level in self.levels:
            h = F.leaky_relu(level(h), 0.2)
        return self.last(h)
