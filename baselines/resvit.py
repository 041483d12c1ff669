"""A ResViT-style generator (Dalmaz et al., IEEE TMI 2022) in 3D.

7x7x7 convolution, two stride-2 convolutions, residual blocks at the bottleneck of which two are
aggregated residual transformer (ART) blocks sharing one ViT encoder, two transposed convolutions,
7x7x7 convolution, tanh; LSGAN + 100 L1 with a conditional PatchGAN, Adam with beta1 0.5.

What differs from the authors' 2D network: narrower, instance normalisation, a position embedding
interpolated to the volume's size, one training stage, and NO ImageNet weights in the transformer
(none exist in 3D); therefore "ResViT-style".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.patchgan import ConditionalGAN
from relad.methods.networks.blocks import padded


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv3d(in_channels, out_channels, kernel, stride, kernel // 2, padding_mode="replicate"),
        nn.InstanceNorm3d(out_channels),
        nn.ReLU(),
    ]


class ResidualConv(nn.Module):
    """x + two 3x3x3 convolutions."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(channels, channels, 3), *_conv(channels, channels, 3)[:2]
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ART(nn.Module):
    """Aggregated residual transformer block, (b, c, i, j, k) -> (b, c, i, j, k).

    The features are sampled down by four to tokens (1/16 of the volume), pass the shared
    transformer, are sampled up, joined with the block's input, compressed, and pass a residual
    convolution.

    Parameters
    ----------
    channels, width
        Of the features and of the tokens.
    tokens
        Size of the grid on which the position embedding is learned; interpolated to others.
    """

    def __init__(self, channels: int, width: int, tokens: Sequence[int]):
        super().__init__()
        self.sample_down = nn.Sequential(
            *_conv(channels, width, 3, stride=2), nn.Conv3d(width, width, 3, 2, 1)
        )
        self.position = nn.Parameter(0.02 * torch.randn(1, width, *tokens))
        self.sample_up = nn.Sequential(
            nn.ConvTranspose3d(width, channels, 4, 2, 1),
            nn.InstanceNorm3d(channels),
            nn.ReLU(),
            nn.ConvTranspose3d(channels, channels, 4, 2, 1),
        )
        self.compress = nn.Sequential(
            *_conv(2 * channels, channels, 3), *_conv(channels, channels, 3)[:2]
        )
        self.skip = nn.Conv3d(2 * channels, channels, 1)
        self.convolution = ResidualConv(channels)

    def forward(self, x: Tensor, transformer: nn.Module) -> Tensor:
        h = self.sample_down(x)  # (b, w, i/4, j/4, k/4)
        size = h.shape[2:]
        position = F.interpolate(self.position, size, mode="trilinear", align_corners=False)
        tokens = transformer((h + position).flatten(2).transpose(1, 2))  # (b, n, w)
        h = self.sample_up(tokens.transpose(1, 2).unflatten(2, size))
        h = torch.cat([x, h], dim=1)
        return self.convolution(self.skip(h) + self.compress(h))


class ResViTGenerator(nn.Module):
    """See the module's docstring.

    Parameters
    ----------
    base
        Channels of the first convolution; the bottleneck has four times as many.
    edge_kernel
        Of the first and last convolution (the authors: 7; 3 costs a twelfth in 3D).
    blocks
        Blocks at the bottleneck.
    art
        Indices of the blocks that are ART blocks (the authors: 1 and 6 of nine, counted from 1).
    depth, heads, width
        Of the shared transformer.
    """

    multiple = 16

    def __init__(
        self,
        in_channels: int,
        *,
        base: int,
        edge_kernel: int,
        blocks: int,
        art: Sequence[int],
        width: int,
        depth: int,
        heads: int,
        tokens: Sequence[int],
    ):
        super().__init__()
        self.encoder = nn.Sequential(
            *_conv(in_channels, base, edge_kernel),
            *_conv(base, 2 * base, 3, stride=2),
            *_conv(2 * base, 4 * base, 3, stride=2),
        )
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            4 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.blocks = nn.ModuleList(
            ART(4 * base, width, tokens) if index in art else ResidualConv(4 * base)
            for index in range(blocks)
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose3d(4 * base, 2 * base, 4, 2, 1),
            nn.InstanceNorm3d(2 * base),
            nn.ReLU(),
            nn.ConvTranspose3d(2 * base, base, 4, 2, 1),
            nn.InstanceNorm3d(base),
            nn.ReLU(),
            nn.Conv3d(base, 1, edge_kernel, padding=edge_kernel // 2, padding_mode="replicate"),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, x, y, z) -> (b, 1, x, y, z) in (-1, 1)."""
        return padded(self._forward, x, self.multiple)

    def _forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)  # (b, 4 base, x/4, y/4, z/4)
        for block in self.blocks:
            h = block(h, self.transformer) if isinstance(block, ART) else block(h)
        return self.decoder(h)


class ResViT(ConditionalGAN):
    """LSGAN + 100 L1 around :class:`ResViTGenerator`.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    base_channels, edge_kernel, blocks, art, width, depth, heads, tokens
        Of the generator, see there.
    """

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        base_channels: int = 16,
        edge_kernel: int = 7,
        blocks: int = 9,
        art: Sequence[int] = (0, 5),
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        tokens: Sequence[int] = (4, 4, 4),
        gan: str = "lsgan",
        lr: float = 2e-4,
        lambda_l1: float = 100.0,
        discriminator_channels: int = 16,
        discriminator_levels: int = 2,
    ):
        generator = ResViTGenerator(
            inputs + tracers,
            base=base_channels,
            edge_kernel=edge_kernel,
            blocks=blocks,
            art=tuple(art),
            width=width,
            depth=depth,
            heads=heads,
            tokens=tuple(tokens),
        )
        super().__init__(
            generator,
            inputs=inputs,
            tracers=tracers,
            gan=gan,
            lr=lr,
            lambda_l1=lambda_l1,
            discriminator_channels=discriminator_channels,
            discriminator_levels=discriminator_levels,
        )
