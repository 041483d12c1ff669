"""pix2pix (Isola et al. 2017) in 3D: U-Net generator, conditional PatchGAN, BCE + 100 L1.

As the authors set it: kernel 4, stride 2, skip connections, the condition as channels of both
networks' input, Adam 2e-4 with beta1 0.5, constant then linearly decaying, L_D halved. Changed for
small 3D batches: instance instead of batch normalisation; fewer, narrower levels; the L1 is taken
over the brain, as it is for every method here; no dropout unless it is asked for. The authors'
(``dropout: 0.5``) stays on in synthesis as the only noise, of which they report that it changes
little; here it is active in training alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from baselines.patchgan import ConditionalGAN, tracer_maps
from relad.methods.networks.blocks import padded
from relad.methods.parameters import require_widths, require_within


class UNetGenerator(nn.Module):
    """Strided convolutions down, transposed convolutions up, skips between, tanh at the end.

    Parameters
    ----------
    channels
        Width after each stride-2 convolution (the authors: 64, 128, 256 and five times 512).
    dropout
        Probability of dropout in the three innermost levels of the decoder.
    """

    #: Levels of the decoder, from the bottleneck, that have dropout.
    DROPPING = 3

    def __init__(
        self, mri_channels: int, channels: Sequence[int], *, tracers: int, dropout: float = 0.0
    ):
        super().__init__()
        require_widths(channels=channels)
        if len(channels) < 2:
            raise ValueError(f"channels {list(channels)}: a U-Net has at least two levels")
        require_within(0, 1, below=True, dropout=dropout)
        self.tracers = tracers
        self.multiple = 2 ** len(channels)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        previous = mri_channels + tracers
        for level, width in enumerate(channels):
            layers: list[nn.Module] = [] if level == 0 else [nn.LeakyReLU(0.2)]
            layers.append(nn.Conv3d(previous, width, 4, 2, 1, bias=False))
            if 0 < level < len(channels) - 1:  # neither on the input nor at the bottleneck
                layers.append(nn.InstanceNorm3d(width, affine=True))
            self.down.append(nn.Sequential(*layers))
            previous = width
        for level in reversed(range(1, len(channels))):
            source = channels[level] * (1 if level == len(channels) - 1 else 2)
            layers = [
                nn.ReLU(),
                nn.ConvTranspose3d(source, channels[level - 1], 4, 2, 1, bias=False),
                nn.InstanceNorm3d(channels[level - 1], affine=True),
            ]
            if dropout > 0 and len(self.up) < self.DROPPING:
                layers.append(nn.Dropout(dropout))
            self.up.append(nn.Sequential(*layers))
        self.last = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose3d(2 * channels[0], 1, 4, 2, 1), nn.Tanh()
        )

    def forward(self, mri: Tensor, tracer: Tensor) -> Tensor:
        """(b, m, x, y, z), (b,) -> (b, 1, x, y, z) in (-1, 1)."""
        return padded(self._forward, tracer_maps(mri, tracer, self.tracers), self.multiple)

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
    channels, dropout
        Of the generator, see there.
    **options
        Parameters of :class:`ConditionalGAN`.
    """

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        channels: Sequence[int] = (32, 64, 128, 128),
        dropout: float = 0.0,
        gan: str = "bce",
        **options: Any,
    ):
        generator = UNetGenerator(inputs, tuple(channels), tracers=tracers, dropout=dropout)
        super().__init__(generator, inputs=inputs, tracers=tracers, gan=gan, **options)
