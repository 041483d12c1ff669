"""A conditional 3D U-Net, read from top to bottom.

    input (b, c, x, y, z)
      `-- space-to-depth stem: s (b, c f^3, x/f, y/f, z/f) ---------- detail skip ----.
            `-- 3x3x3 convolution                                                     |
                  `-- level 0: residual blocks ------------------------ skip --.      |
                        `-- level 1 (half the size): residual blocks - skip -. |      |
                              `-- ... down to the last level, up again ------' |      |
                  .-- level 0: residual blocks on the sum with the skip -------'      |
            .-- 3x3x3 convolution on the features concatenated with s ----------------'
      .-- depth-to-space
    output (b, out, x, y, z)

Every residual block is modulated by an embedding of the tracer and, in a diffusion model, of the
time (scale and shift after the second normalisation, as in Dhariwal & Nichol 2021). With a stem
of f = 2 the network computes on an eighth of the voxels, each with eight values of every channel;
the detail skip carries all of these to the output (without it the narrow features cannot hold fine
detail or, in diffusion, the noise, and the output stays blurred). Self-attention, where a level has
it, follows each of its residual blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from relad.methods.networks.blocks import (
    depth_to_space,
    groups,
    padded,
    space_to_depth,
    time_embedding,
    zero_init,
)
from relad.methods.parameters import require_indices, require_kinds, require_whole, require_widths
from relad.shapes import Float, Index


class Attention(nn.Module):
    """Self-attention among all voxels of a level: (b, c, i, j, k) -> the same, as a residual."""

    def __init__(self, channels: int, head_channels: int):
        super().__init__()
        self.heads = max(1, channels // head_channels)
        if channels % self.heads:
            raise ValueError(
                f"head_channels {head_channels}: {channels} channels are not those of whole heads"
            )
        self.norm = nn.GroupNorm(groups(channels), channels)
        self.qkv = nn.Conv3d(channels, 3 * channels, 1)
        self.out = zero_init(nn.Conv3d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)  # (b, heads, voxels, d)
            for part in self.qkv(self.norm(x)).chunk(3, dim=1)
        )
        h = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(h.transpose(2, 3).reshape(x.shape))


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice; the second normalisation is scaled and shifted.

    ``head_channels`` per head of an attention that follows; 0 for none.
    """

    def __init__(self, in_channels: int, out_channels: int, embedding: int, head_channels: int = 0):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups(in_channels), in_channels)
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * out_channels)
        self.norm2 = nn.GroupNorm(groups(out_channels), out_channels)
        self.conv2 = zero_init(nn.Conv3d(out_channels, out_channels, 3, padding=1))
        self.skip = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv3d(in_channels, out_channels, 1)
        )
        self.attention = Attention(out_channels, head_channels) if head_channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[..., None, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.attention(self.skip(x) + h)


class UNet3d(nn.Module):
    """The network of the diagram above.

    Parameters
    ----------
    in_channels, out_channels
        Of the full-resolution input and output.
    tracers
        Number of tracers (classes of the conditioning).
    timed
        Whether :meth:`forward` is given a diffusion time.
    channels
        Width of each level; every level after the first halves the size.
    blocks
        Residual blocks per level and direction.
    stem
        Space-to-depth factor f; 1 for none.
    attention
        Levels (from 0, the finest) with self-attention.
    head_channels
        Channels per attention head.
    checkpointing
        Whether activations inside residual blocks are computed again in the backward pass instead
        of kept: less memory, a third more time, the same result.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        tracers: int,
        timed: bool,
        channels: Sequence[int] = (32, 64, 96),
        blocks: int = 1,
        stem: int = 2,
        attention: Sequence[int] = (),
        head_channels: int = 16,
        checkpointing: bool = False,
    ):
        super().__init__()
        require_widths(channels=channels)
        require_whole(1, blocks=blocks, stem=stem, head_channels=head_channels)
        require_kinds(type(self), {"checkpointing": checkpointing})
        require_indices(len(channels), "levels", attention=attention)
        self.stem = stem
        self.checkpointing = checkpointing
        self.multiple = stem * 2 ** (len(channels) - 1)
        width = 4 * channels[0]
        self.time_channels = 2 * channels[0]
        self.time = (
            nn.Sequential(nn.Linear(self.time_channels, width), nn.SiLU(), nn.Linear(width, width))
            if timed
            else None
        )
        self.tracer = nn.Embedding(tracers, width)

        def stack(c: int, level: int) -> nn.ModuleList:
            heads = head_channels if level in attention else 0
            return nn.ModuleList(ResidualBlock(c, c, width, heads) for _ in range(blocks))

        self.first = nn.Conv3d(in_channels * stem**3, channels[0], 3, padding=1)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.shrink = nn.ModuleList()
        self.grow = nn.ModuleList()
        for level, c in enumerate(channels):
            self.down.append(stack(c, level))
            if level + 1 < len(channels):
                deeper = channels[level + 1]
                self.shrink.append(nn.Conv3d(c, deeper, 2, stride=2))
                self.grow.append(nn.Conv3d(deeper, c, 1))
                self.up.append(stack(c, level))
        joined = channels[0] + in_channels * stem**3
        self.join = nn.Conv3d(joined, channels[0], 3, padding=1)
        self.norm = nn.GroupNorm(groups(channels[0]), channels[0])
        self.last = zero_init(nn.Conv3d(channels[0], out_channels * stem**3, 3, padding=1))

    def forward(
        self,
        x: Float[Tensor, "b c x y z"],
        tracer: Index,
        t: Index | None = None,
    ) -> Float[Tensor, "b out x y z"]:
        """Apply the network.

        Parameters
        ----------
        x
            Of any size (padded inside where the strides ask for it).
        tracer
            Class index.
        t
            Diffusion time, for a timed network.
        """
        embedding = self.tracer(tracer)
        if self.time is not None:
            embedding = embedding + self.time(time_embedding(t, self.time_channels).to(x.dtype))
        return padded(self._forward, x, self.multiple, F.silu(embedding))

    def _forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        s = space_to_depth(x, self.stem)  # (b, c f^3, x/f, y/f, z/f)
        h = self.first(s)  # (b, c_0, x/f, y/f, z/f)

        skips = []
        for level, down in enumerate(self.down):
            for block in down:
                h = self._run(block, h, embedding)
            if level < len(self.shrink):
                skips.append(h)
                h = self.shrink[level](h)  # (b, c_{l+1}, half the size)

        for level in reversed(range(len(self.up))):
            h = F.interpolate(self.grow[level](h), scale_factor=2.0, mode="nearest")
            h = h + skips[level]
            for block in self.up[level]:
                h = self._run(block, h, embedding)

        h = F.silu(self.norm(self.join(torch.cat([h, s], dim=1))))
        return depth_to_space(self.last(h), self.stem)  # (b, out, x, y, z)

    def _run(self, block: nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, h, embedding, use_reentrant=False)
        return block(h, embedding)
