"""Small parts shared by the networks: 3D space-to-depth, embeddings, padding."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def space_to_depth(x: Tensor, factor: int) -> Tensor:
    """(b, c, x, y, z) -> (b, c f^3, x/f, y/f, z/f); the inverse of :func:`depth_to_space`."""
    if factor == 1:
        return x
    b, c, *size = x.shape
    i, j, k = (n // factor for n in size)
    x = x.view(b, c, i, factor, j, factor, k, factor)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * factor**3, i, j, k)


def depth_to_space(x: Tensor, factor: int) -> Tensor:
    """(b, c f^3, x, y, z) -> (b, c, x f, y f, z f)."""
    if factor == 1:
        return x
    b, c, i, j, k = x.shape
    c //= factor**3
    x = x.view(b, c, factor, factor, factor, i, j, k)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c, i * factor, j * factor, k * factor)


def time_embedding(t: Tensor, channels: int) -> Tensor:
    """Sinusoidal embedding of the diffusion time (Vaswani et al. 2017): (b,) -> (b, channels)."""
    half = channels // 2
    frequency = torch.exp(
        -math.log(10_000.0) * torch.arange(half, dtype=torch.float32, device=t.device) / half
    )
    angle = t.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def pad_to_multiple(x: Tensor, multiple: int) -> tuple[Tensor, tuple[int, ...]]:
    """Pad a volume on all sides, by edge values, until ``multiple`` divides its size.

    Sizes that the strides do not divide are padded, never resized, so voxels keep their place.

    Returns
    -------
    The volume, and the voxels added before each axis.
    """
    missing = [(-n) % multiple for n in x.shape[2:]]
    if any(missing):
        x = F.pad(x, [p for m in reversed(missing) for p in (m // 2, m - m // 2)], "replicate")
    return x, tuple(m // 2 for m in missing)


def padded(network: Callable[..., Tensor], x: Tensor, multiple: int, *args: Tensor) -> Tensor:
    """Apply a network to a volume padded to a multiple, and crop its output back."""
    size = x.shape[2:]
    x, before = pad_to_multiple(x, multiple)
    crop = tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))
    return network(x, *args)[(..., *crop)]


def groups(channels: int) -> int:
    """Number of GroupNorm groups: as many as divide the channels, each of 8 or more, at most 8."""
    return max(g for g in range(1, 9) if channels % g == 0 and (g == 1 or channels // g >= 8))


def zero_init(layer: nn.Conv3d) -> nn.Conv3d:
    """Start a residual branch or an output at zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
