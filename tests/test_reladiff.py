"""RelA-Diffusion: what it is with its terms off, and that each term does what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from baselines.ddpm import DDPM
from relad.method import Batch
from relad.reladiff import RelADiffusion

NETWORK = {"channels": [8, 16]}


def batch(seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    shape = (2, 1, 12, 8, 10)
    mask = torch.ones(shape, dtype=torch.bool)
    mask[..., :2] = False
    pet = torch.where(mask, torch.randn(shape, generator=random) * 0.2, -1.0)
    mri = torch.randn(2, 2, *shape[2:], generator=random)
    return Batch(
        mri=mri, tracer=torch.tensor([0, 1]), mask=mask, pet=pet, outside=torch.tensor(-1.0)
    )


def rela(**params) -> RelADiffusion:
    torch.manual_seed(0)
    params = {"network": NETWORK, "discriminator": {"channels": [8, 8]}, **params}
    return RelADiffusion(inputs=2, tracers=2, **params)


def train(method, updates: int = 4) -> list[dict]:
    return [
        method.update(batch(i), progress=i / updates, random=torch.Generator().manual_seed(100 + i))
        for i in range(updates)
    ]


@pytest.mark.parametrize("prediction", ["sample", "preconditioned", "epsilon", "v"])
def test_without_adversary_and_l1_it_is_plain_ddpm_to_the_bit(prediction):
    torch.manual_seed(0)
    ddpm = DDPM(inputs=2, tracers=2, network=NETWORK, prediction=prediction)
    ours = rela(lambda_adv=0.0, lambda_l1=0.0, prediction=prediction)
    logs = [train(method) for method in (ours, ddpm)]
    assert [log["denoising"].item() for log in logs[0]] == [
        log["denoising"].item() for log in logs[1]
    ]
    for a, b in zip(ours.generator.parameters(), ddpm.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_adversary_starts_after_its_share_of_the_training():
    method = rela(adversary_from=0.5)
    assert ["adversarial" in log for log in train(method)] == [False, False, True, True]


def test_penalty_is_lazy_and_can_be_left_out():
    assert ["penalty" in log for log in train(rela(adversary_from=0.0, penalty_every=2))] == [
        True,
        False,
        True,
        False,
    ]
    assert not any("penalty" in log for log in train(rela(adversary_from=0.0, gamma=0.0)))


def test_generator_step_leaves_the_discriminator_alone_and_the_reverse():
    method = rela(adversary_from=0.0)
    generator = [p.clone() for p in method.generator.parameters()]
    method.update_discriminator(batch().pet + 0.1, batch())
    assert all(
        torch.equal(a, b) for a, b in zip(generator, method.generator.parameters(), strict=True)
    )
    method.optimizers["discriminator"].step = lambda: None
    discriminator = [p.clone() for p in method.discriminator.parameters()]
    method.update(batch(), progress=0.5, random=torch.Generator().manual_seed(0))
    assert all(
        torch.equal(a, b)
        for a, b in zip(discriminator, method.discriminator.parameters(), strict=True)
    )
    assert not all(
        torch.equal(a, b) for a, b in zip(generator, method.generator.parameters(), strict=True)
    )
    assert all(p.requires_grad for p in method.discriminator.parameters())


def test_clean_prediction_is_not_clamped_before_the_losses():
    """The release clamps to [-1, 1] first, which leaves no gradient where it saturates."""
    method = rela(lambda_adv=0.0)
    with torch.no_grad():
        method.generator.last.bias.fill_(5.0)
    b = batch()
    x0_hat = method.x0_hat(b.pet, torch.tensor([10, 999]), b)
    assert x0_hat[b.mask].min() > 1.0
    x0_hat[b.mask].sum().backward()
    assert method.generator.last.bias.grad.abs().min() > 0


def test_outside_the_brain_the_prediction_is_background():
    b = batch()
    x0_hat = rela().x0_hat(b.pet, torch.tensor([10, 999]), b)
    assert (x0_hat[~b.mask] == -1).all()


def test_losses_do_not_see_voxels_outside_the_brain():
    method = rela(lambda_adv=0.0)
    b = batch()
    other = replace(b, pet=torch.where(b.mask, b.pet, 3.0))
    x0_hat = torch.zeros_like(b.pet)
    t = torch.tensor([10, 999])
    assert torch.equal(method.denoising_loss(x0_hat, b, t), method.denoising_loss(x0_hat, other, t))


def test_an_unknown_adversary_is_named():
    with pytest.raises(TypeError, match="wasserstein"):
        rela(adversary="wasserstein")
