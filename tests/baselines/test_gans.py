"""pix2pix and ResViT: their networks as published, and that they see their condition."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from baselines.patchgan import PatchGAN3d, gan_loss, tracer_maps
from baselines.pix2pix import Pix2Pix, UNetGenerator
from baselines.resnet import Residual, ResNetGenerator, TracerNorm
from baselines.resvit import ART, ResViT, ResViTGenerator
from relad.data.batch import Batch

TRACERS = 3
SMALL_RESVIT = {"base_channels": 4, "edge_kernel": 3, "width": 16, "depth": 1, "heads": 2}
SMALL = {
    "pix2pix": (Pix2Pix, {"channels": [4, 8, 8, 8], "discriminator_channels": 4}),
    "resvit": (ResViT, {**SMALL_RESVIT, "discriminator_channels": 4}),
    "resvit, first stage": (ResViT, {**SMALL_RESVIT, "discriminator_channels": 4}),
}


def small(name: str, inputs: int = 2):
    torch.manual_seed(0)
    make, params = SMALL[name]
    method = make(inputs=inputs, tracers=TRACERS, **params)
    if "first" in name:
        method.generator.whole.fill_(False)
    return method


def batch(size=(16, 16, 16), scaling="window", tracers=(0, 0)) -> Batch:
    """Volumes as either data scaling gives them: what is outside the brain is constant."""
    random = torch.Generator().manual_seed(1)
    n = len(tracers)
    mask = torch.rand(n, 1, *size, generator=random) > 0.4
    outside = torch.tensor(-1.0 if scaling == "window" else 0.0)
    mri = torch.where(mask, 0.4 * torch.randn(n, 2, *size, generator=random), -1.0)
    if scaling == "voxel_mean":
        deviation = torch.where(mask, 0.3 * torch.randn(n, 2, *size, generator=random), 0.0)
        mri = torch.cat([mri, deviation], dim=1)
    pet = torch.where(mask, 0.3 * torch.randn(n, 1, *size, generator=random), outside)
    return Batch(mri, torch.tensor(tracers), mask, outside, pet, torch.zeros_like(mask))


# --- the tracer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["window", "voxel_mean"])
@pytest.mark.parametrize("size", [(16, 16, 16), (19, 22, 17), (8, 33, 9)], ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_generator_and_discriminator_see_the_tracer(name, size, scaling):
    """Before any training; with normalisation after constant channels the difference was 2e-6."""
    b = batch(size, scaling)
    method = small(name, inputs=b.mri.shape[1])
    with torch.no_grad():
        for answer in (
            lambda b: method.generator(b.mri, b.tracer),
            lambda b: method.logits(b, b.pet),
        ):
            first, other = (answer(replace(b, tracer=torch.tensor([k, k]))) for k in (0, 2))
            assert (first - other).std() > 0.005 * first.std()


@pytest.mark.parametrize("name", SMALL)
def test_a_tracer_is_learned_from_the_same_mri(name):
    """Two tracers of one person: PET of 0.5 and of -0.5 everywhere, told by the tracer alone."""
    b = batch(tracers=(0, 1))
    level = torch.tensor([0.5, -0.5]).view(2, 1, 1, 1, 1)
    both = {key: getattr(b, key)[:1].expand(2, -1, -1, -1, -1) for key in ("mri", "mask")}
    b = replace(b, **both)
    b = replace(b, pet=torch.where(b.mask, level, b.outside))
    method = small(name)
    method.optimizers["generator"].param_groups[0]["lr"] = 2e-3
    if "first" in name:
        method.cnn_share = 0.9
    for _ in range(30):
        method.update(b, progress=0.0, random=torch.Generator())
    found = b.brain_mean(method.generator(b.mri, b.tracer))
    assert (found[0] - found[1]).item() > 0.5


def test_tracer_norm_by_hand_and_of_a_single_voxel():
    norm = TracerNorm(2, TRACERS)
    nn.init.normal_(norm.shift.weight)
    x, tracer = 3 + 2 * torch.randn(2, 2, 3, 4, 5), torch.tensor([2, 0])
    y = norm(x, tracer)
    for i, k in enumerate(tracer.tolist()):
        for c in range(2):
            z = (x[i, c] - x[i, c].mean()) / torch.sqrt(x[i, c].var(correction=0) + 1e-5)
            expected = norm.scale.weight[k, c] * z + norm.shift.weight[k, c]
            torch.testing.assert_close(y[i, c], expected, atol=1e-5, rtol=0)
    one = x[:, :, :1, :1, :1]
    assert (norm(one, tracer) - norm(2 * one, tracer)).abs().min() > 0, "its value was erased"


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("size", [(4, 4, 4), (16, 5, 16), (25, 24, 26)], ids=str)
def test_the_discriminator_takes_the_smallest_volumes(levels, size):
    network = PatchGAN3d(1, 2, levels)
    x = torch.randn(1, 1, *size)
    assert not torch.equal(network(x), network(x + torch.randn_like(x)))
    assert min(_maps_into_norms(network, x)) > 1


def _maps_into_norms(network, x):
    voxels = []
    for m in network.modules():
        if isinstance(m, nn.InstanceNorm3d):
            m.register_forward_pre_hook(lambda _, given: voxels.append(given[0][0, 0].numel()))
    network(x)
    return voxels


@pytest.mark.parametrize("size", [(16, 16, 16), (19, 22, 17)], ids=str)
def test_generators_keep_any_size_and_stay_within_tanh(size):
    x = 10 * torch.randn(1, 2, *size)
    for name in SMALL:
        y = small(name).generator(x, torch.tensor([1]))
        assert y.shape == (1, 1, *size)
        assert y.abs().max() <= 1


def test_one_voxel_at_the_bottleneck_still_tells():
    """16 voxels of an axis are one at 1/16: nothing there may be normalised away."""
    b = batch((16, 16, 16))
    for name in ("pix2pix", "resvit"):
        generator = small(name).generator
        deepest = generator.down[-1] if name == "pix2pix" else generator.blocks[0].sample_down
        seen = []
        deepest.register_forward_hook(lambda _, __, y, seen=seen: seen.append(y))
        generator(b.mri, b.tracer)
        generator(b.mri.flip(0), b.tracer)
        assert seen[0].shape[2:] == (1, 1, 1)
        assert (seen[0] - seen[1]).abs().max() > 1e-3


def test_tracer_maps_are_one_hot():
    c = tracer_maps(torch.zeros(2, 2, 3, 3, 3), torch.tensor([2, 0]), TRACERS)
    assert c.shape == (2, 5, 3, 3, 3)
    assert c[0, 2:, 0, 0, 0].tolist() == [0, 0, 1]
    assert (c[1, 2] == 1).all()


# --- the losses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("gan", ["bce", "lsgan"])
def test_losses_by_hand(gan):
    b = batch()
    method = small("pix2pix")
    method.gan = gan
    for optimizer in method.optimizers.values():
        optimizer.param_groups[0]["lr"] = 0.0
    log = method.update(b, progress=0.5, random=torch.Generator())
    with torch.no_grad():
        fake = b.in_brain(method.generator(b.mri, b.tracer))
        real, synthetic = (method.logits(b, pet).double() for pet in (b.pet, fake))

    def distance(x, target):
        if gan == "lsgan":
            return ((x - target) ** 2).mean()
        p = torch.sigmoid(x)
        return -(target * p.log() + (1 - target) * (1 - p).log()).mean()

    expected = 0.5 * (distance(real, 1) + distance(synthetic, 0))
    assert log["discriminator"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert log["adversarial"].item() == pytest.approx(distance(synthetic, 1).item(), rel=1e-4)
    error = (fake - b.pet).abs()[b.mask]
    by_sample = [(fake[i] - b.pet[i]).abs()[b.mask[i]].mean() for i in range(2)]
    assert log["l1"].item() == pytest.approx(float(sum(by_sample)) / 2, rel=1e-5)
    assert error.mean() > 0


@pytest.mark.parametrize("gan", ["bce", "lsgan"])
def test_the_generator_descends_the_weighted_sum_and_the_discriminator_its_half(gan):
    b = batch()
    method = small("pix2pix")
    method.gan = gan
    for optimizer in method.optimizers.values():
        optimizer.step = lambda: None
    method.update(b, progress=0.5, random=torch.Generator())
    grads = {n: p.grad.clone() for n, p in method.named_parameters()}
    fake = b.in_brain(method.generator(b.mri, b.tracer))
    terms = {
        "generator": gan_loss(method.logits(b, fake), True, gan)
        + 100.0 * b.brain_mean((fake - b.pet).abs()).mean(),
        "discriminator": 0.5
        * (
            gan_loss(method.logits(b, b.pet), True, gan)
            + gan_loss(method.logits(b, fake.detach()), False, gan)
        ),
    }
    for name, loss in terms.items():
        network = getattr(method, name)
        exact = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
        for (key, _), gradient in zip(network.named_parameters(), exact, strict=True):
            torch.testing.assert_close(grads[f"{name}.{key}"], gradient, atol=1e-5, rtol=1e-3)


def test_rates_are_those_of_the_authors():
    for name in ("pix2pix", "resvit"):
        method = small(name)
        for optimizer in method.optimizers.values():
            group = optimizer.param_groups[0]
            assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))
        factors = [method.lr_factor(p / 4, "generator") for p in range(5)]
        assert factors == [1.0, 1.0, 1.0, 0.5, 0.0]
    assert small("pix2pix").gan == "bce" and small("resvit").gan == "lsgan"
    with pytest.raises(ValueError, match="'wgan' is none of bce, lsgan"):
        Pix2Pix(inputs=2, tracers=3, gan="wgan")


# --- the networks --------------------------------------------------------------------------------


def count(*networks: nn.Module) -> int:
    return sum(p.numel() for network in networks for p in network.parameters())


def conv(source, width, kernel, d, bias=False):
    return source * width * kernel**d + bias * width


def published_patchgan(source, base, levels, d):
    """Isola et al. 2017, C64-C128-C256-C512; batch norm has a scale and a shift per channel."""
    widths = [base, *(base * min(2**i, 8) for i in range(1, levels + 1))]
    inner = sum(conv(a, b, 4, d) + 2 * b for a, b in pairwise(widths))
    return conv(source, base, 4, d, bias=True) + inner + conv(widths[-1], 1, 4, d, bias=True)


def published_unet(source, out, channels, d):
    """Isola et al. 2017: normalised but for the first, the innermost and the last layer."""
    down = sum(conv(a, b, 4, d) for a, b in pairwise([source, *channels]))
    down += sum(2 * c for c in channels[1:-1])
    up = conv(channels[-1], channels[-2], 4, d)
    up += sum(conv(2 * a, b, 4, d) for b, a in pairwise(channels[:-1]))
    up += sum(2 * c for c in channels[:-1])
    return down + up + conv(2 * channels[0], out, 4, d, bias=True)


def published_resnet(source, out, base, blocks, d, *, norm, edge=7):
    """c7s1-64, d128, d256, R256 x blocks, u128, u64, c7s1; ``norm`` numbers per channel."""
    c = 4 * base
    encoder = conv(source, base, edge, d) + conv(base, c // 2, 3, d) + conv(c // 2, c, 3, d)
    decoder = conv(c, c // 2, 3, d) + conv(c // 2, base, 3, d) + conv(base, out, edge, d, True)
    norms = base + c // 2 + c + c // 2 + base + 2 * blocks * c
    return encoder + decoder + blocks * 2 * conv(c, c, 3, d) + norm * norms


def published_art(base, width, tokens, d, *, norm):
    """What a transformer adds to a block: samplers, embedding, position, compression."""
    c = 4 * base
    down = conv(c, 2 * c, 3, d) + conv(2 * c, 4 * c, 3, d) + norm * 6 * c
    up = conv(width, 2 * c, 3, d) + conv(2 * c, c, 3, d) + norm * 3 * c
    compression = conv(2 * c, c, 3, d) + conv(c, c, 3, d) + conv(2 * c, c, 1, d) + norm * 3 * c
    return down + up + compression + conv(4 * c, width, 1, d, bias=True) + tokens * width


def published_vit(width, depth):
    """Dosovitskiy et al. 2021: per layer 4 projections, an MLP of 4 w, two norms; a last norm."""
    attention = 4 * (width * width + width)
    mlp = 2 * width * 4 * width + 5 * width
    return depth * (attention + mlp + 4 * width) + 2 * width


def test_formulas_give_the_published_numbers_in_two_dimensions():
    """As the authors' code prints them: 54.414 M, 2.769 M, 2.765 M, and 11.378 M of CycleGAN."""
    channels = [64, 128, 256, 512, 512, 512, 512, 512]
    assert published_unet(3, 3, channels, 2) == pytest.approx(54.414e6, abs=500)
    assert published_patchgan(6, 64, 3, 2) == pytest.approx(2.769e6, abs=500)
    # Its instance norms have no parameters, but the convolutions before them a bias.
    assert published_resnet(3, 3, 64, 9, 2, norm=1) == pytest.approx(11.378e6, abs=500)


@pytest.mark.parametrize("levels", [2, 3])
def test_parameters_of_the_discriminator_are_the_published_ones_in_3d(levels):
    assert count(PatchGAN3d(6, 8, levels)) == published_patchgan(6, 8, levels, 3)


def test_parameters_of_pix2pix_are_the_published_ones_in_3d():
    channels = [4, 8, 16, 16, 16]
    assert count(UNetGenerator(2, channels, tracers=3)) == published_unet(5, 1, channels, 3)


def test_parameters_of_the_cnn_and_of_resvit_are_the_published_ones_in_3d():
    norm = 2 * TRACERS  # a scale and a shift of each tracer
    options = {"tracers": TRACERS, "base": 4, "edge_kernel": 7, "blocks": 9}
    cnn = ResNetGenerator(2, 1, **options)
    expected = published_resnet(2, 1, 4, 9, 3, norm=norm)
    assert count(cnn) == expected
    vit = {"art": (0, 5), "width": 24, "depth": 3, "heads": 2, "tokens": (2, 3, 4)}
    resvit = ResViTGenerator(2, **options, **vit)
    expected += 2 * published_art(4, 24, 24, 3, norm=norm) + published_vit(24, 3)
    assert count(resvit) == expected


def test_what_a_block_makes_is_added_to_what_it_is_given():
    block, x = Residual(4, TRACERS), torch.randn(2, 4, 5, 6, 7)
    with torch.no_grad():
        for weights in block.parameters():
            weights.zero_()
    torch.testing.assert_close(block(x, torch.tensor([0, 2])), x)


def test_receptive_field_of_a_patch_is_70_voxels_by_its_gradient():
    """Of the convolutions: the statistics of the normalisations reach everywhere."""
    for levels, field in ((2, 34), (3, 70)):
        network = PatchGAN3d(1, 1, levels)
        for i, layer in enumerate(network.layers):
            if isinstance(layer, nn.InstanceNorm3d):
                network.layers[i] = nn.Identity()
        x = torch.randn(1, 1, 96, 96, 96, requires_grad=True)
        logits = network(x)
        middle = logits.shape[-1] // 2
        logits[0, 0, middle, middle, middle].backward()
        for axes in ((1, 2), (0, 2), (0, 1)):
            reached = x.grad[0, 0].abs().sum(axes).nonzero()
            assert int(reached.max() - reached.min()) + 1 == len(reached) == field


def test_pix2pix_drops_out_in_three_inner_levels_and_in_training_alone():
    network = UNetGenerator(2, [4, 4, 4, 4, 4, 4], tracers=3, dropout=0.5)
    has = [any(isinstance(m, nn.Dropout) for m in up) for up in network.up]
    assert has == [True, True, True, False, False]
    x, tracer = torch.randn(1, 2, 64, 64, 64), torch.tensor([0])
    assert not torch.equal(network(x, tracer), network(x, tracer))
    network.eval()
    assert torch.equal(network(x, tracer), network(x, tracer))
    plain = UNetGenerator(2, [4, 4, 4, 4], tracers=3)
    assert not any(isinstance(m, nn.Dropout) for m in plain.modules())


def test_blocks_one_and_six_of_nine_share_one_transformer_and_nothing_else():
    network = ResViT(inputs=2, tracers=3, **SMALL_RESVIT).generator
    blocks = [b for b in network.blocks if isinstance(b, ART)]
    assert [isinstance(b, ART) for b in network.blocks] == [True, *[False] * 4, True, *[False] * 3]
    calls = []
    network.transformer.register_forward_hook(lambda *_: calls.append(1))
    network(torch.randn(1, 2, 16, 16, 16), torch.tensor([0]))
    assert len(calls) == 2
    own = [{id(p) for p in b.parameters()} for b in blocks]
    assert not own[0] & own[1]
    assert all(
        {"position", "embedding", "sample_down", "sample_up"} <= set(vars_of(b)) for b in blocks
    )
    assert not any(isinstance(m, nn.MultiheadAttention) for b in blocks for m in b.modules())


def vars_of(module):
    return [*dict(module.named_children()), *dict(module.named_parameters(recurse=False))]


def test_two_stages_train_the_cnn_first_and_then_all_of_it_at_its_own_rate():
    torch.manual_seed(0)
    method = ResViT(inputs=2, tracers=3, cnn_share=0.6, lr=2e-4, lr_whole=1e-3, **SMALL_RESVIT)
    cnn = {
        n
        for n, _ in ResNetGenerator(
            2, 1, tracers=3, base=4, edge_kernel=3, blocks=9
        ).named_parameters()
    }
    names = {n for n, _ in method.generator.named_parameters()}
    transformers = {n for n in names if n.replace(".residual.", ".") not in cnn}
    assert len(transformers) > 20

    def moved(progress):
        before = {n: p.clone() for n, p in method.generator.named_parameters()}
        method.update(batch(), progress=progress, random=torch.Generator())
        after = dict(method.generator.named_parameters())
        return {n for n in before if not torch.equal(before[n], after[n])}

    assert not moved(0.59) & transformers
    b = batch()
    with torch.no_grad():
        first = method.generator(b.mri, b.tracer)
        # the first stage is the residual CNN and nothing else
        h = method.generator.encoder(b.mri, b.tracer)
        for block in method.generator.blocks:
            h = getattr(block, "residual", block)(h, b.tracer)
        assert torch.equal(first, method.generator.decoder(h, b.tracer))
    second = moved(0.6)
    assert all(n in second for n in transformers if "shift" not in n and "in_proj_bias" not in n)
    factors = [method.lr_factor(p, "generator") for p in (0.0, 0.3, 0.45, 0.599, 0.6, 0.8, 0.9)]
    assert factors == pytest.approx([1.0, 1.0, 0.5, 0.0, 5.0, 5.0, 2.5], abs=0.01)
    with pytest.raises(ValueError, match="cnn_share 1"):
        ResViT(inputs=2, tracers=3, cnn_share=1.0)


def test_the_stage_is_part_of_the_generators_state():
    """The average of its weights synthesises, and a stored model has no other word on it."""
    method = small("resvit, first stage")
    other = small("resvit")
    assert bool(other.generator.whole)
    other.generator.load_state_dict(method.generator.state_dict())
    assert not bool(other.generator.whole)
