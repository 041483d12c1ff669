from __future__ import annotations

import pytest
import torch
from torch import nn

from relad.networks.blocks import depth_to_space, groups, padded, space_to_depth
from relad.networks.patch_discriminator import PatchDiscriminator
from relad.networks.unet3d import UNet3d


def test_space_to_depth_is_inverted_by_depth_to_space():
    x = torch.randn(2, 3, 4, 6, 8)
    y = space_to_depth(x, 2)
    assert y.shape == (2, 24, 2, 3, 4)
    assert torch.equal(depth_to_space(y, 2), x)
    # each low-resolution voxel holds exactly its own 2x2x2 block
    assert set(y[0, :8, 1, 2, 3].tolist()) == set(x[0, 0, 2:4, 4:6, 6:8].flatten().tolist())


@pytest.mark.parametrize("size", [(16, 16, 16), (13, 18, 11), (9, 9, 9)])
@pytest.mark.parametrize("timed", [True, False])
def test_unet_keeps_any_size(size, timed):
    network = UNet3d(3, 1, tracers=2, timed=timed, channels=(8, 16))
    t = torch.tensor([5, 900]) if timed else None
    assert network(torch.randn(2, 3, *size), torch.tensor([0, 1]), t).shape == (2, 1, *size)


def test_padding_keeps_voxels_in_their_place():
    x = torch.randn(1, 1, 5, 6, 7)
    assert torch.equal(padded(nn.Identity(), x, 4), x)


def test_unet_is_conditioned_on_tracer_and_time():
    torch.manual_seed(0)
    network = UNet3d(1, 1, tracers=2, timed=True, channels=(8, 16))
    for p in network.parameters():  # wake the branches that start at zero
        nn.init.normal_(p, 0, 0.1)
    x = torch.randn(1, 1, 8, 8, 8)

    def out(tracer, t):
        return network(x, torch.tensor([tracer]), torch.tensor([t]))

    assert not torch.allclose(out(0, 10), out(1, 10))
    assert not torch.allclose(out(0, 10), out(0, 500))


def test_samples_do_not_mix_in_the_discriminator():
    torch.manual_seed(0)
    network = PatchDiscriminator(1, tracers=2, channels=(8, 8))
    pet, mri, tracer = torch.randn(2, 1, 9, 8, 7), torch.randn(2, 1, 9, 8, 7), torch.tensor([0, 1])
    together = network(pet, mri, tracer)
    alone = network(pet[1:], mri[1:], tracer[1:])
    torch.testing.assert_close(together[1:], alone)


def test_discriminator_has_no_normalisation_and_sees_its_conditions():
    torch.manual_seed(0)
    network = PatchDiscriminator(1, tracers=2, channels=(8, 8))
    names = [type(m).__name__ for m in network.modules()]
    assert not [name for name in names if "Norm" in name]
    pet, mri = torch.randn(1, 1, 8, 8, 8), torch.randn(1, 1, 8, 8, 8)
    base = network(pet, mri, torch.tensor([0]))
    assert not torch.allclose(base, network(pet, mri, torch.tensor([1])))
    assert not torch.allclose(base, network(pet, mri + 1, torch.tensor([0])))


@pytest.mark.parametrize("channels", [8, 16, 24, 32, 48, 96, 100])
def test_groups_divide_the_channels(channels):
    assert channels % groups(channels) == 0
