from __future__ import annotations

import pytest
import torch
from torch import nn

from relad.methods.networks.blocks import depth_to_space, groups, padded, space_to_depth
from relad.methods.networks.patch_discriminator import PatchDiscriminator
from relad.methods.networks.unet3d import Attention, UNet3d


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


def awake(network):
    """A network whose branches that start at zero are woken, so that every part counts."""
    for p in network.parameters():
        nn.init.normal_(p, 0, 0.1)
    return network


@pytest.mark.parametrize("size", [(16, 16, 16), (9, 12, 7)])
def test_attention_joins_distant_voxels_at_the_levels_that_have_it(size):
    torch.manual_seed(0)
    options = {"tracers": 1, "timed": False, "channels": (8, 16), "stem": 1}
    with_it = awake(UNet3d(1, 1, attention=(1,), **options))
    assert [m.heads for m in with_it.modules() if isinstance(m, Attention)] == [1]
    x = torch.randn(1, 1, *size)
    assert with_it(x, torch.tensor([0])).shape == x.shape
    with pytest.raises(ValueError, match="attention at levels"):
        UNet3d(1, 1, attention=(2,), **options)


def test_attention_equals_the_formula():
    torch.manual_seed(0)
    layer = awake(Attention(32, head_channels=8)).double()
    x = torch.randn(2, 32, 2, 3, 2, dtype=torch.float64)
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)  # (b, n, c)
    heads = []
    for h in range(4):
        a, b, c = (part[..., 8 * h : 8 * h + 8] for part in (q, k, v))
        heads.append((a @ b.transpose(1, 2) / 8**0.5).softmax(-1) @ c)
    expected = torch.cat(heads, dim=2).transpose(1, 2).view_as(x)
    torch.testing.assert_close(layer(x), x + layer.out(expected))


def test_checkpointing_changes_memory_and_nothing_else():
    torch.manual_seed(0)
    plain = awake(UNet3d(2, 1, tracers=2, timed=True, channels=(8, 16), attention=(1,)))
    frugal = UNet3d(
        2, 1, tracers=2, timed=True, channels=(8, 16), attention=(1,), checkpointing=True
    )
    frugal.load_state_dict(plain.state_dict())
    x, tracer, t = torch.randn(2, 2, 8, 12, 8), torch.tensor([0, 1]), torch.tensor([3, 700])
    for network in (plain, frugal):
        network(x, tracer, t).square().sum().backward()
    for a, b in zip(plain.parameters(), frugal.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_samples_do_not_mix_in_the_discriminator():
    torch.manual_seed(0)
    network = PatchDiscriminator(1, tracers=2, channels=(8, 8), time=True)
    pet, mri, tracer = torch.randn(2, 1, 9, 8, 7), torch.randn(2, 1, 9, 8, 7), torch.tensor([0, 1])
    t = torch.tensor([3, 700])
    together = network(pet, mri, tracer, t)
    alone = network(pet[1:], mri[1:], tracer[1:], t[1:])
    torch.testing.assert_close(together[1:], alone)


@pytest.mark.parametrize("mri", [False, True])
@pytest.mark.parametrize("tracer", [False, True])
@pytest.mark.parametrize("time", [False, True])
def test_discriminator_has_no_normalisation_and_sees_what_its_switches_say(mri, tracer, time):
    torch.manual_seed(0)
    network = PatchDiscriminator(1, tracers=2, channels=(8, 8), mri=mri, tracer=tracer, time=time)
    names = [type(m).__name__ for m in network.modules()]
    assert not [name for name in names if "Norm" in name]
    image, pet = torch.randn(2, 1, 1, 8, 8, 8)

    def sees(other_image=image, other_tracer=0, other_t=5):
        base = network(pet, image, torch.tensor([0]), torch.tensor([5]))
        other = network(pet, other_image, torch.tensor([other_tracer]), torch.tensor([other_t]))
        return not torch.equal(base, other)

    assert sees(other_image=image + 1) == mri
    assert sees(other_tracer=1) == tracer
    assert sees(other_t=900) == time
    one = network(pet + 1, image, torch.tensor([0]), torch.tensor([5]))
    assert not torch.equal(one, network(pet, image, torch.tensor([0]), torch.tensor([5])))


@pytest.mark.parametrize("channels", [8, 16, 24, 32, 48, 96, 100])
def test_groups_divide_the_channels(channels):
    assert channels % groups(channels) == 0
