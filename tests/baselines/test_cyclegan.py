"""CycleGAN: its terms, that no pair enters them, its pool, and its networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from baselines.cyclegan import CycleGAN, ImagePool
from baselines.resnet import Residual
from relad.data.batch import Batch
from tests.baselines.test_gans import TRACERS, batch, count, published_patchgan, published_resnet

SMALL = {"base_channels": 4, "edge_kernel": 3, "blocks": 2, "discriminator_channels": 4}


def small(**params) -> CycleGAN:
    torch.manual_seed(0)
    return CycleGAN(inputs=2, tracers=TRACERS, **{**SMALL, **params})


def held(method) -> CycleGAN:
    """Without steps, so that every term is of the same networks."""
    for optimizer in method.optimizers.values():
        optimizer.step = lambda: None
    return method


def update(method, b: Batch, seed: int = 0):
    return method.update(b, progress=0.5, random=torch.Generator().manual_seed(seed))


def test_no_loss_knows_which_pet_is_whose():
    """Two people's PET of one tracer change places; the sums over the batch stay as they are."""
    b = batch()
    b = replace(b, mask=b.mask[:1].expand_as(b.mask).clone())
    b = replace(
        b,
        mri=torch.where(b.mask, b.mri, -1.0),
        pet=torch.where(b.mask, b.pet, b.outside),
    )
    logs = [update(held(small()), each) for each in (b, replace(b, pet=b.pet.flip(0)))]
    for name, value in logs[0].items():
        assert value.item() == pytest.approx(logs[1][name].item(), rel=1e-5), name


def test_terms_by_hand_and_their_weighted_sum():
    b, method = batch(), held(small(lambda_cycle=7.0, lambda_identity=3.0, pool=0))
    log = update(method, b)
    gradients = [
        p.grad.clone() for p in (*method.generator.parameters(), *method.back.parameters())
    ]
    to_pet = lambda m: torch.where(b.mask, method.generator(m, b.tracer), b.outside)  # noqa: E731
    to_mri = lambda p: torch.where(b.mask, method.back(p, b.tracer), b.mri)  # noqa: E731
    one_hot = torch.zeros(2, TRACERS, *b.pet.shape[2:])
    one_hot[:, 0] = 1.0
    d_pet = lambda p: method.discriminator_pet(torch.cat([p, one_hot], 1))  # noqa: E731

    def l1(x, y):
        each = [(x - y)[i].abs()[:, b.mask[i, 0]].mean() for i in range(2)]
        return sum(each) / 2

    fake_pet, fake_mri = to_pet(b.mri), to_mri(b.pet)
    channel = (2 * torch.rand(2, generator=torch.Generator().manual_seed(0))).long()
    one = torch.stack([b.mri[i, c] for i, c in enumerate(channel)])[:, None]
    back = torch.stack([to_mri(one)[i, c] for i, c in enumerate(channel)])[:, None]
    expected = {
        "adversarial": (d_pet(fake_pet) - 1).square().mean()
        + (method.discriminator_mri(fake_mri) - 1).square().mean(),
        "cycle": l1(to_mri(fake_pet), b.mri) + l1(to_pet(fake_mri), b.pet),
        "identity": l1(to_pet(b.pet.repeat(1, 2, 1, 1, 1)), b.pet) + l1(back, one),
        "discriminator": 0.5
        * (
            (d_pet(b.pet) - 1).square().mean()
            + d_pet(fake_pet).square().mean()
            + (method.discriminator_mri(b.mri) - 1).square().mean()
            + method.discriminator_mri(fake_mri).square().mean()
        ),
    }
    assert set(log) == set(expected)
    for name, value in expected.items():
        assert log[name].item() == pytest.approx(value.item(), rel=1e-4), name
    loss = expected["adversarial"] + 7.0 * expected["cycle"] + 3.0 * expected["identity"]
    weights = [*method.generator.parameters(), *method.back.parameters()]
    exact = torch.autograd.grad(loss, weights)
    for found, right in zip(gradients, exact, strict=True):
        torch.testing.assert_close(found, right, atol=1e-5, rtol=1e-3)


def test_settings_are_the_authors():
    method = CycleGAN(inputs=2, tracers=3)
    assert (method.lambda_cycle, method.lambda_identity) == (10.0, 5.0)
    assert method.pool_pet.size == method.pool_mri.size == 50
    assert [type(b) for b in method.generator.blocks] == [Residual] * 9
    for optimizer in method.optimizers.values():
        group = optimizer.param_groups[0]
        assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))
    assert [method.lr_factor(p / 4, "discriminator") for p in range(5)] == [1, 1, 1, 0.5, 0]


def test_parameters_are_the_published_ones_in_3d():
    method = CycleGAN(inputs=2, tracers=TRACERS, base_channels=4, discriminator_channels=4)
    norm = 2 * TRACERS
    assert count(method.generator) == published_resnet(2, 1, 4, 9, 3, norm=norm)
    assert count(method.back) == published_resnet(1, 2, 4, 9, 3, norm=norm)
    assert count(method.discriminator_pet) == published_patchgan(1 + TRACERS, 4, 2, 3)
    assert count(method.discriminator_mri) == published_patchgan(2, 4, 2, 3)


@pytest.mark.parametrize("scaling", ["window", "voxel_mean"])
def test_all_networks_that_are_told_the_tracer_see_it(scaling):
    b = batch((19, 16, 17), scaling)
    torch.manual_seed(0)
    method = CycleGAN(inputs=b.mri.shape[1], tracers=TRACERS, **SMALL)
    other = replace(b, tracer=b.tracer + 2)
    with torch.no_grad():
        for answer in (
            lambda b: method.to_pet(b.mri, b)[b.mask],
            lambda b: method.to_mri(b.pet, b)[b.mask.expand_as(b.mri)],
            lambda b: method.judged_pet(b.pet, b),
        ):
            assert (answer(b) - answer(other)).std() > 0.005 * answer(b).std()


# --- the pool ------------------------------------------------------------------------------------


def numbered(first: int, count: int = 1) -> torch.Tensor:
    return torch.arange(first, first + count, dtype=torch.float32).view(-1, 1, 1, 1, 1)


def run(pool: ImagePool, seed: int, updates: int = 400):
    random = torch.Generator().manual_seed(seed)
    return [pool.exchange(numbered(i), random).item() for i in range(updates)]


def test_a_full_pool_shows_an_older_volume_half_of_the_time_each_once():
    shown = run(ImagePool(50), seed=0)
    assert shown[:50] == list(range(50))
    old = [i - s for i, s in enumerate(shown) if s != i]
    assert min(old) > 0
    assert len(old) / 350 == pytest.approx(0.5, abs=0.08)
    later = shown[50:]
    swapped = [s for i, s in enumerate(later, 50) if s != i]
    assert len(set(swapped)) == len(swapped), "what was shown from the pool has left it"


def test_the_pool_is_a_function_of_the_seed_and_part_of_a_checkpoint():
    assert run(ImagePool(5), 0) == run(ImagePool(5), 0) != run(ImagePool(5), 1)
    pool, other = ImagePool(5), ImagePool(5)
    run(pool, 0, updates=20)
    other.load_state_dict(pool.state_dict())
    assert run(other, 1) == run(pool, 1)
    assert run(ImagePool(0), 0) == list(range(400))


def test_the_discriminators_are_shown_what_the_pools_give(monkeypatch):
    b, method = batch(), small()
    seen = []
    monkeypatch.setattr(
        ImagePool,
        "exchange",
        lambda self, volumes, random: seen.append(volumes) or volumes.detach() * 0,
    )
    shown = []
    for d in (method.discriminator_pet, method.discriminator_mri):
        d.register_forward_pre_hook(lambda _, x: shown.append(x[0]))
    update(method, b)
    assert [v.shape[1] for v in seen] == [1 + TRACERS, 2]
    assert sum(bool((x == 0).all()) for x in shown) == 2


def test_generators_leave_the_discriminators_alone():
    method = small()
    method.optimizers["discriminator"].step = lambda: None
    before = [p.clone() for p in method.discriminator_pet.parameters()]
    update(method, batch())
    assert all(
        torch.equal(p, q)
        for p, q in zip(before, method.discriminator_pet.parameters(), strict=True)
    )
    assert all(p.requires_grad for p in method.parameters() if isinstance(p, nn.Parameter))
