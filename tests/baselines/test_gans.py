"""pix2pix and ResViT: what their papers say of their networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from baselines.patchgan import PatchGAN3d, tracer_maps
from baselines.pix2pix import UNetGenerator
from baselines.resvit import ART, ResViT


@pytest.mark.parametrize(("levels", "field"), [(2, 34), (3, 70)])
def test_receptive_field_of_a_patch(levels, field):
    """Three stride-2 levels see 70 voxels along each axis, as Isola et al. 2017 have it."""
    size = 1
    network = PatchGAN3d(3, 4, levels)
    for layer in reversed([m for m in network.modules() if isinstance(m, nn.Conv3d)]):
        size = (size - 1) * layer.stride[0] + layer.kernel_size[0]
    assert size == field


def test_two_art_blocks_share_one_transformer_and_nothing_else():
    network = ResViT(inputs=2, tracers=3, base_channels=4, edge_kernel=3, width=16).generator
    blocks = [b for b in network.blocks if isinstance(b, ART)]
    assert [isinstance(b, ART) for b in network.blocks] == [True, *[False] * 4, True, *[False] * 3]
    calls = []
    network.transformer.register_forward_hook(lambda *_: calls.append(1))
    network(torch.randn(1, 5, 16, 16, 16))
    assert len(calls) == 2
    own = [{id(p) for p in b.parameters()} for b in blocks]
    assert not own[0] & own[1]
    assert not any(isinstance(m, nn.MultiheadAttention) for b in blocks for m in b.modules())


@pytest.mark.parametrize("size", [(16, 16, 16), (19, 22, 17)])
def test_generators_keep_any_size_and_stay_within_tanh(size):
    x = 10 * torch.randn(1, 5, *size)
    resvit = ResViT(inputs=2, tracers=3, base_channels=4, edge_kernel=3, width=16).generator
    for network in (resvit, UNetGenerator(5, (8, 8, 8))):
        y = network(x)
        assert y.shape == (1, 1, *size)
        assert y.abs().max() <= 1


def test_the_tracer_enters_as_constant_channels():
    c = tracer_maps(torch.zeros(2, 2, 3, 3, 3), torch.tensor([2, 0]), 3)
    assert c.shape == (2, 5, 3, 3, 3)
    assert c[0, 2:, 0, 0, 0].tolist() == [0, 0, 1]
    assert (c[1, 2] == 1).all()
