"""The residual CNN that CycleGAN and ResViT share (Johnson et al. 2016), in 3D, told of the tracer.

Convolution of the edge kernel, two of stride 2, residual blocks, two transposed convolutions of
stride 2, convolution of the edge kernel, tanh. Padding repeats the edge where the authors reflect
it, which small volumes do not allow.

The tracer modulates every normalised map. It cannot come in as constant channels: whatever is
constant over a volume is taken out exactly by the instance normalisation after the first
convolution.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from relad.methods.networks.blocks import padded
from relad.methods.parameters import require_whole


class TracerNorm(nn.Module):
    """Conditional instance normalisation (Dumoulin et al. 2017, eq. 5).

        z = gamma_k (x - mu(x)) / sigma(x) + beta_k

    with mu and sigma over the voxels of each map, and a scale and a shift for each tracer k, which
    start at N(1, 0.02), as the authors of pix2pix initialise normalisations, and at 0. A map of one
    voxel has no statistics and is scaled and shifted alone.
    """

    def __init__(self, channels: int, tracers: int):
        super().__init__()
        self.scale = nn.Embedding(tracers, channels)
        self.shift = nn.Embedding(tracers, channels)
        nn.init.normal_(self.scale.weight, 1.0, 0.02)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, tracer: Tensor) -> Tensor:
        """(b, c, i, j, k), (b,) -> (b, c, i, j, k)."""
        if x[0, 0].numel() > 1:
            x = F.instance_norm(x)
        scale, shift = (of(tracer)[..., None, None, None] for of in (self.scale, self.shift))
        return scale * x + shift


class Layers(nn.Sequential):
    """A sequence of layers of which those that take the tracer are given it."""

    def forward(self, x: Tensor, tracer: Tensor) -> Tensor:
        for layer in self:
            takes_tracer = isinstance(layer, TracerNorm | Layers | Residual)
            x = layer(x, tracer) if takes_tracer else layer(x)
        return x


def convolution(
    source: int, width: int, kernel: int, tracers: int, *, stride: int = 1
) -> list[nn.Module]:
    """Convolution, normalisation, ReLU; a bias would be taken out again."""
    mode = "replicate" if stride == 1 else "zeros"
    return [
        nn.Conv3d(source, width, kernel, stride, kernel // 2, bias=False, padding_mode=mode),
        TracerNorm(width, tracers),
        nn.ReLU(),
    ]


def growing(source: int, width: int, tracers: int) -> list[nn.Module]:
    """Transposed convolution to twice the size, normalisation, ReLU."""
    return [
        nn.ConvTranspose3d(source, width, 3, 2, 1, output_padding=1, bias=False),
        TracerNorm(width, tracers),
        nn.ReLU(),
    ]


def two_convolutions(source: int, width: int, tracers: int) -> Layers:
    """Two 3x3x3 convolutions with normalisation, a ReLU between them."""
    return Layers(
        *convolution(source, width, 3, tracers), *convolution(width, width, 3, tracers)[:2]
    )


class Residual(nn.Module):
    """x + two 3x3x3 convolutions."""

    def __init__(self, channels: int, tracers: int):
        super().__init__()
        self.layers = two_convolutions(channels, channels, tracers)

    def forward(self, x: Tensor, tracer: Tensor) -> Tensor:
        return x + self.layers(x, tracer)


class ResNetGenerator(nn.Module):
    """See the module's docstring.

    Parameters
    ----------
    base
        Channels of the first convolution (the authors: 64); the bottleneck has four times as many.
    edge_kernel
        Of the first and last convolution (the authors: 7; 3 costs a twelfth in 3D).
    blocks
        Residual blocks at the bottleneck (the authors: 9).
    """

    #: What the strides ask the size to be divisible by.
    multiple = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        tracers: int,
        base: int,
        edge_kernel: int,
        blocks: int,
    ):
        super().__init__()
        require_whole(1, base_channels=base, edge_kernel=edge_kernel)
        require_whole(0, blocks=blocks)
        if edge_kernel % 2 == 0:
            raise ValueError(f"edge_kernel {edge_kernel} has no middle: give an odd number")
        self.encoder = Layers(
            *convolution(in_channels, base, edge_kernel, tracers),
            *convolution(base, 2 * base, 3, tracers, stride=2),
            *convolution(2 * base, 4 * base, 3, tracers, stride=2),
        )
        self.blocks = nn.ModuleList(self.block(i, 4 * base, tracers) for i in range(blocks))
        self.decoder = Layers(
            *growing(4 * base, 2 * base, tracers),
            *growing(2 * base, base, tracers),
            nn.Conv3d(
                base, out_channels, edge_kernel, padding=edge_kernel // 2, padding_mode="replicate"
            ),
            nn.Tanh(),
        )

    def block(self, index: int, channels: int, tracers: int) -> nn.Module:
        """One of the blocks at the bottleneck."""
        return Residual(channels, tracers)

    def forward(self, x: Tensor, tracer: Tensor) -> Tensor:
        """(b, c, x, y, z), (b,) -> (b, out, x, y, z) in (-1, 1)."""
        return padded(self._forward, x, self.multiple, tracer)

    def _forward(self, x: Tensor, tracer: Tensor) -> Tensor:
        h = self.encoder(x, tracer)  # (b, 4 base, x/4, y/4, z/4)
        return self.decoder(self.bottleneck(h, tracer), tracer)

    def bottleneck(self, h: Tensor, tracer: Tensor) -> Tensor:
        """All blocks in turn: (b, 4 base, i, j, k) -> the same."""
        for block in self.blocks:
            h = block(h, tracer)
        return h
