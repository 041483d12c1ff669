"""A ResViT-style generator (Dalmaz et al., IEEE TMI 2022) in 3D.

The residual CNN of `baselines.resnet`, whose nine blocks are aggregated residual transformer (ART)
blocks: the first and the sixth hold a transformer (both the same ViT encoder, each with its own
samplers and embeddings) before the residual convolutions, the others these alone. LSGAN + 100 L1
with a conditional PatchGAN, Adam with beta1 0.5, constant then linearly decaying. In two stages
where ``cnn_share`` is given: the CNN without transformers first, then all of it at a learning rate
of its own (the authors: 100 epochs at 2e-4, then 50 at 1e-3).

What differs from the authors' 2D network: narrower; conditional instance normalisation in place of
batch normalisation; a position embedding interpolated to the volume's size; no dropout in the
transformer; a discriminator that goes on in the second stage, where theirs starts anew; and NO
ImageNet weights in the transformer (none exist in 3D); therefore "ResViT-style".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.patchgan import ConditionalGAN, constant_then_linear
from baselines.resnet import (
    Layers,
    Residual,
    ResNetGenerator,
    TracerNorm,
    convolution,
    growing,
    two_convolutions,
)
from relad.data.batch import Batch
from relad.methods.parameters import require_indices, require_whole, require_widths, require_within


class ART(nn.Module):
    """Aggregated residual transformer block, (b, c, i, j, k) -> (b, c, i, j, k).

    The features are sampled down by four (to 1/16 of the volume), embedded as tokens, pass the
    shared transformer, are sampled up, joined with the block's input, and compressed to its
    channels; residual convolutions follow.

    Parameters
    ----------
    channels, width
        Of the features and of the tokens.
    tokens
        Size of the grid on which the position embedding is learned; interpolated to others.
    """

    def __init__(self, channels: int, width: int, tokens: Sequence[int], tracers: int):
        super().__init__()
        self.sample_down = Layers(
            *convolution(channels, 2 * channels, 3, tracers, stride=2),
            *convolution(2 * channels, 4 * channels, 3, tracers, stride=2),
        )
        self.embedding = nn.Conv3d(4 * channels, width, 1)
        self.position = nn.Parameter(0.02 * torch.randn(1, width, *tokens))
        self.sample_up = Layers(
            *growing(width, 2 * channels, tracers), *growing(2 * channels, channels, tracers)
        )
        self.compress = two_convolutions(2 * channels, channels, tracers)
        self.skip = Layers(
            nn.Conv3d(2 * channels, channels, 1, bias=False), TracerNorm(channels, tracers)
        )
        self.residual = Residual(channels, tracers)

    def forward(self, x: Tensor, tracer: Tensor, transformer: nn.Module | None) -> Tensor:
        """Apply the block; without a transformer its residual convolutions alone."""
        if transformer is not None:
            h = self.embedding(self.sample_down(x, tracer))  # (b, w, i/4, j/4, k/4)
            size = h.shape[2:]
            position = F.interpolate(self.position, size, mode="trilinear", align_corners=False)
            tokens = transformer((h + position).flatten(2).transpose(1, 2))  # (b, n, w)
            h = self.sample_up(tokens.transpose(1, 2).unflatten(2, size), tracer)
            h = torch.cat([h, x], dim=1)
            x = F.relu(self.compress(h, tracer) + self.skip(h, tracer))
        return self.residual(x, tracer)


class ResViTGenerator(ResNetGenerator):
    """See the module's docstring.

    Parameters
    ----------
    art
        Indices of the blocks that hold the transformer (the authors: 1 and 6 of nine, counted from
        1).
    depth, heads, width
        Of the shared transformer (the authors: 12, 12, 768).
    tokens
        See :class:`ART`.
    **cnn
        Parameters of :class:`ResNetGenerator`.

    Attributes
    ----------
    whole : () bool
        Whether the transformers take part; false in the first stage.
    """

    multiple = 16

    def __init__(
        self,
        in_channels: int,
        *,
        art: Sequence[int],
        width: int,
        depth: int,
        heads: int,
        tokens: Sequence[int],
        **cnn: Any,
    ):
        self.art, self.width, self.tokens = tuple(art), width, tuple(tokens)
        super().__init__(in_channels, 1, **cnn)
        require_indices(len(self.blocks), "blocks", art=art)
        if not art:
            raise ValueError("art at no block: the transformer takes part nowhere")
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            4 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(
            layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.register_buffer("whole", torch.tensor(True))

    def block(self, index: int, channels: int, tracers: int) -> nn.Module:
        if index in self.art:
            return ART(channels, self.width, self.tokens, tracers)
        return super().block(index, channels, tracers)

    def bottleneck(self, h: Tensor, tracer: Tensor) -> Tensor:
        transformer = self.transformer if self.whole else None
        for block in self.blocks:
            own = (transformer,) if isinstance(block, ART) else ()
            h = block(h, tracer, *own)
        return h


class ResViT(ConditionalGAN):
    """LSGAN + 100 L1 around :class:`ResViTGenerator`.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    base_channels, edge_kernel, blocks, art, width, depth, heads, tokens
        Of the generator, see there.
    cnn_share
        Share of the updates in which the CNN is trained without transformers (the authors: 2/3); 0
        for one stage.
    lr_whole
        Learning rate after these; the same as before where it is not given (the authors: five
        times as high).
    **gan
        Parameters of :class:`ConditionalGAN`.
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
        cnn_share: float = 0.0,
        lr: float = 2e-4,
        lr_whole: float | None = None,
        gan: str = "lsgan",
        **options: Any,
    ):
        require_within(0, 1, below=True, cnn_share=cnn_share)
        require_within(0, above=True, lr=lr, lr_whole=lr_whole)
        require_whole(1, width=width, depth=depth, heads=heads)
        require_widths(tokens=tokens)
        if len(tokens) != 3:
            raise ValueError(f"tokens {list(tokens)} are not three numbers")
        generator = ResViTGenerator(
            inputs,
            tracers=tracers,
            base=base_channels,
            edge_kernel=edge_kernel,
            blocks=blocks,
            art=art,
            width=width,
            depth=depth,
            heads=heads,
            tokens=tokens,
        )
        super().__init__(generator, inputs=inputs, tracers=tracers, gan=gan, lr=lr, **options)
        self.cnn_share = cnn_share
        self.rise = 1.0 if lr_whole is None else lr_whole / lr

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        self.generator.whole.fill_(progress >= self.cnn_share)
        return super().update(batch, progress=progress, random=random)

    def lr_factor(self, progress: float, optimizer: str) -> float:
        """Constant, then linear to zero, in each of the stages."""
        if progress < self.cnn_share:
            return constant_then_linear(progress / self.cnn_share)
        return self.rise * constant_then_linear(
            (progress - self.cnn_share) / (1.0 - self.cnn_share)
        )
