"""pix2pix (Isola et al. 2017) in 3D: U-Net generator, conditional PatchGAN, BCE + 100 L1.

As the authors set it: kernel 4, stride 2, skip connections, Adam 2e-4 with beta1 0.5, constant then
linearly decaying. Changed for small 3D batches: instance instead of batch normalisation; fewer,
narrower levels; no dropout, so that the synthesis is deterministic; the L1 is taken over the brain,
as it is for every method here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.patchgan import ConditionalGAN
from relad.methods.networks.blocks import padded


class UNetGenerator(nn.Module):
    """Strided convolutions down, transposed convolutions up, skips between, tanh at the end.

    Parameters
    ----------
    channels
        Width after each stride-2 convolution.
    """

    def __init__(self, in_channels: int, channels: Sequence[int]):
        super().__init__()
        self.multiple = 2 ** len(channels)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        previous = in_channels
        for level, width in enumerate(channels):
            layers: list[nn.Module] = [] if level == 0 else [nn.LeakyReLU(0.2)]
            layers.append(nn.Conv3d(previous, width, 4, 2, 1))
            if 0 < level < len(channels) - 1:  # neither on the input nor at the bottleneck
                layers.append(nn.InstanceNorm3d(width, affine=True))
            self.down.append(nn.Sequential(*layers))
            previous = width
        for level in reversed(range(1, len(channels))):
            source = channels[level] * (1 if level == len(channels) - 1 else 2)
            self.up.append(
                nn.Sequential(
                    nn.ReLU(),
                    nn.ConvTranspose3d(source, channels[level - 1], 4, 2, 1),
                    nn.InstanceNorm3d(channels[level - 1], affine=True),
                )
            )
        self.last = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose3d(2 * channels[0], 1, 4, 2, 1), nn.Tanh()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, x, y, z) -> (b, 1, x, y, z) in (-1, 1)."""
        return padded(self._forward, x, self.multiple)

    def _forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.up:
            x = torch.cat([up(x), skips.pop()], dim=1)
        return self.last(x)


class Pix2Pix(ConditionalGAN):
    """See the module's docstring.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    channels
        Of the generator's levels.
    discriminator_channels, discriminator_levels
        Base width and stride-2 levels of the PatchGAN.
    """

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        channels: Sequence[int] = (32, 64, 128, 128),
        gan: str = "bce",
        lr: float = 2e-4,
        lambda_l1: float = 100.0,
        discriminator_channels: int = 16,
        discriminator_levels: int = 2,
    ):
        super().__init__(
            UNetGenerator(inputs + tracers, tuple(channels)),
            inputs=inputs,
            tracers=tracers,
            gan=gan,
            lr=lr,
            lambda_l1=lambda_l1,
            discriminator_channels=discriminator_channels,
            discriminator_levels=discriminator_levels,
        )
