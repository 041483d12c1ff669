"""The networks against the same arithmetic written out: no skip, branch or activation is lost."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relad.methods.networks.patch_discriminator import PatchDiscriminator
from relad.methods.networks.unet3d import ResidualBlock, UNet3d

TRACER, T = torch.tensor([2, 0]), torch.tensor([7, 640])


def awake(network: nn.Module) -> nn.Module:
    """Branches that start at zero count too."""
    random = torch.Generator().manual_seed(0)
    for p in network.parameters():
        p.data = 0.2 * torch.randn(p.shape, generator=random)
    return network.double()


def embedded(t: Tensor, channels: int) -> Tensor:
    """cos and sin of t / 10000^(k / K), k = 0 .. K - 1 (Vaswani et al. 2017)."""
    half = channels // 2
    angle = [[float(time) / 10_000 ** (k / half) for k in range(half)] for time in t]
    rows = [[f(a) for f in (math.cos, math.sin) for a in of] for of in angle]
    return torch.tensor(rows, dtype=torch.float64)


def folded(x: Tensor, f: int) -> Tensor:
    """Space to depth: every f^3 block's voxels as channels."""
    parts = [x[:, c, i::f, j::f, k::f] for c in range(x.shape[1]) for i, j, k in blocks(f)]
    return torch.stack(parts, dim=1)


def unfolded(x: Tensor, f: int) -> Tensor:
    """Depth to space, for one channel."""
    b, _, *size = x.shape
    out = x.new_zeros(b, 1, *(n * f for n in size))
    for place, (i, j, k) in enumerate(blocks(f)):
        out[:, 0, i::f, j::f, k::f] = x[:, place]
    return out


def blocks(f: int) -> list[tuple[int, int, int]]:
    return [(i, j, k) for i in range(f) for j in range(f) for k in range(f)]


def block_by_hand(block: ResidualBlock, x: Tensor, embedding: Tensor) -> Tensor:
    h = block.conv1(F.silu(block.norm1(x)))
    both = block.modulation(embedding)[..., None, None, None]
    scale, shift = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
    h = block.conv2(F.silu(block.norm2(h) * (1 + scale) + shift))
    return block.skip(x) + h


@pytest.mark.parametrize("stem", [1, 2])
@pytest.mark.parametrize("timed", [True, False])
def test_unet_is_the_diagram_of_its_module(timed, stem):
    torch.manual_seed(0)
    network = awake(UNet3d(3, 1, tracers=3, timed=timed, channels=(8, 12), stem=stem))
    x = torch.randn(2, 3, 8, 4, 12, dtype=torch.float64)
    embedding = network.tracer.weight[TRACER]
    if timed:
        embedding = embedding + network.time(embedded(T, 16))
    embedding = F.silu(embedding)
    s = folded(x, stem)
    first = block_by_hand(network.down[0][0], network.first(s), embedding)
    deep = block_by_hand(network.down[1][0], network.shrink[0](first), embedding)
    up = network.grow[0](deep)
    for axis in (2, 3, 4):
        up = up.repeat_interleave(2, dim=axis)
    up = block_by_hand(network.up[0][0], up + first, embedding)
    joined = network.join(torch.cat([up, s], dim=1))
    expected = unfolded(network.last(F.silu(network.norm(joined))), stem)
    answer = network(x, TRACER, T if timed else None)
    # The angles of the time are float32.
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)


def test_a_new_unet_answers_zero_and_its_blocks_hand_through():
    torch.manual_seed(0)
    network = UNet3d(2, 1, tracers=3, timed=True, channels=(8, 8), attention=(1,))
    x = torch.randn(2, 2, 8, 8, 8)
    assert not network(x, TRACER, T).any()
    h, embedding = torch.randn(2, 8, 4, 4, 4), torch.randn(2, 32)
    for of_level in (*network.down, *network.up):
        assert torch.equal(of_level[0](h, embedding), h)


@pytest.mark.parametrize("mri_channels", [2, 0])
@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("time", [True, False])
def test_discriminator_is_convolutions_with_leaky_activations(time, seen, mri_channels):
    torch.manual_seed(0)
    network = PatchDiscriminator(
        mri_channels, tracers=3, channels=(8, 12), stem=2, time=time, mri=seen
    )
    network = awake(network)
    pet = torch.randn(2, 1, 8, 4, 12).double()
    mri = torch.randn(2, mri_channels, 8, 4, 12).double()
    h = network.first(folded(torch.cat([pet, mri], dim=1) if seen else pet, 2))
    h = h + network.tracer.weight[TRACER][..., None, None, None]
    if time:
        h = h + network.time(embedded(T, 16))[..., None, None, None]
    h = torch.where(h > 0, h, 0.2 * h)
    h = network.levels[0](h)
    h = torch.where(h > 0, h, 0.2 * h)
    torch.testing.assert_close(network(pet, mri, TRACER, T), network.last(h), rtol=1e-4, atol=1e-5)
