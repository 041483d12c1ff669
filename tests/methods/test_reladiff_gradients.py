"""What moves the networks of RelA-Diffusion: the weighted sum of each term's own gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from relad.data.batch import Batch
from relad.methods.reladiff import RelADiffusion

T = torch.tensor([40, 700])


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which noise is drawn
    yield
    torch.set_default_dtype(before)


def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    shape = (2, 1, 8, 6, 10)
    mask = torch.rand(shape, generator=random) > 0.3
    pet = 0.2 * torch.randn(shape, generator=random)
    mri = torch.randn(2, 2, *shape[2:], generator=random)
    outside = torch.tensor(-1.0)
    pet = torch.where(mask, pet, outside)
    return Batch(mri, torch.tensor([0, 1]), mask, outside, pet, torch.zeros_like(mask))


def rela(**params) -> RelADiffusion:
    """A method with awake networks whose updates leave the weights as they are."""
    torch.manual_seed(0)
    method = RelADiffusion(
        inputs=2,
        tracers=2,
        network={"channels": [8, 8]},
        discriminator={"channels": [8, 8], "time": True},
        adversary_from=0.0,
        lr=0.0,
        lr_discriminator=0.0,
        **params,
    )
    with torch.no_grad():
        method.generator.last.weight.normal_(0, 0.05)
    return method


def gradients(loss: torch.Tensor, network: torch.nn.Module) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters()), retain_graph=True))


def brain_mean(value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.stack([v[m].mean() for v, m in zip(value, mask, strict=True)])


@pytest.mark.parametrize("x0_weighting", ["uniform", "snr"])
@pytest.mark.parametrize("adversary", ["relativistic", "standard"])
def test_the_gradient_of_g_is_the_weighted_sum_of_each_terms_own(adversary, x0_weighting):
    """With weights far apart, so that a lost one or a detached term shows."""
    b, weights = batch(), {"denoising": 1.0, "l1": 3.0, "adversarial": 50.0}
    method = rela(
        lambda_l1=weights["l1"],
        lambda_adv=weights["adversarial"],
        adversary=adversary,
        x0_weighting=x0_weighting,
        prediction="v",
        weighting="v",
    )
    x_t, t = method.noised(b, torch.Generator().manual_seed(3))
    x0_hat = method.x0_hat(x_t, t, b)
    snr = method.schedule.snr[t].double()
    w = snr.sqrt().clamp(max=1) if x0_weighting == "snr" else torch.ones(2)
    fake, real = (
        method.discriminator(x, b.mri, b.tracer, t).flatten(1).mean(1) for x in (x0_hat, b.pet)
    )
    advantage = fake - real if adversary == "relativistic" else fake
    terms = {
        "denoising": ((snr + 1) * brain_mean((x0_hat - b.pet).square(), b.mask)).mean(),
        "l1": (w * brain_mean((x0_hat - b.pet).abs(), b.mask)).mean(),
        "adversarial": (w * F.softplus(-advantage)).mean(),
    }
    own = {name: gradients(term, method.generator) for name, term in terms.items()}
    method.update(b, progress=0.5, random=torch.Generator().manual_seed(3))
    sizes = {name: weights[name] * max(float(g.abs().max()) for g in own[name]) for name in terms}
    for i, parameter in enumerate(method.generator.parameters()):
        expected = sum(weights[name] * own[name][i] for name in terms)
        # Weights over t are float32.
        assert (parameter.grad - expected).abs().max() < 1e-6 * max(sizes.values())
    assert min(sizes.values()) > 1e-3 * max(sizes.values()), "a term that was lost would not show"


def test_a_balanced_adversary_weighs_every_sample_by_its_own_gradients():
    """lambda_adv is, for each sample, the ratio of the two gradients at x0_hat, in the brain alone.

    Beyond it x0_hat is set, so that what D wants of it there reaches nothing.
    """
    b, lambda_adv = batch(), 0.4
    method = rela(lambda_adv=lambda_adv, balance=True, prediction="v", weighting="v")
    x_t, t = method.noised(b, torch.Generator().manual_seed(3))
    x0_hat = method.x0_hat(x_t, t, b)
    fake, real = (
        method.discriminator(x, b.mri, b.tracer, t).flatten(1).mean(1) for x in (x0_hat, b.pet)
    )
    error = (x0_hat - b.pet).abs()
    snr = method.schedule.snr[t].double()
    others = ((snr + 1) * brain_mean(error.square(), b.mask) + brain_mean(error, b.mask)).mean()
    each = F.softplus(real - fake)
    norms = [
        (torch.autograd.grad(loss, x0_hat, retain_graph=True)[0] * b.mask).flatten(1).norm(dim=1)
        for loss in (others, each.mean())
    ]
    strength = lambda_adv * norms[0] / norms[1]
    assert strength.max() > 1.2 * strength.min(), "samples are weighted alike"
    own = gradients(others + (strength * each).mean(), method.generator)
    method.update(b, progress=0.5, random=torch.Generator().manual_seed(3))
    size = max(float(g.abs().max()) for g in own)
    for parameter, expected in zip(method.generator.parameters(), own, strict=True):
        assert (parameter.grad - expected).abs().max() < 1e-6 * size


@pytest.mark.parametrize("adversary", ["relativistic", "standard"])
def test_the_gradient_of_d_is_that_of_its_loss_and_of_the_penalty_k_times(adversary):
    """And every k-th update alone has the penalty."""
    b, gamma, every = batch(), 70.0, 3
    x0_hat = b.in_brain(b.pet + 0.3)
    method = rela(adversary=adversary, gamma=gamma, penalty_every=every)

    def critic(x: torch.Tensor) -> torch.Tensor:
        return method.discriminator(x, b.mri, b.tracer, T).flatten(1).mean(1)

    fake, real = critic(x0_hat), critic(b.pet)
    loss = (
        F.softplus(fake - real)
        if adversary == "relativistic"
        else F.softplus(fake) + F.softplus(-real)
    ).mean()
    norms = []
    for volume in (b.pet, x0_hat):
        x = volume.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        norms.append(slope.square().sum() / len(x))
    # 0 * loss, as no slope depends on the last bias
    penalty = 0.5 * gamma * sum(norms) + 0 * loss
    own = [gradients(term, method.discriminator) for term in (loss, penalty)]
    for update in range(2 * every):
        method.update_discriminator(x0_hat, b, T, 0.5, torch.Generator())
        factor = every if update % every == 0 else 0
        for i, parameter in enumerate(method.discriminator.parameters()):
            expected = own[0][i] + factor * own[1][i]
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-9)
    assert max(float(g.abs().max()) for g in own[1]) > 1e-4


def test_the_discriminator_learns_from_the_update_and_sends_nothing_to_the_generator():
    method = rela()
    for group in method.optimizers["discriminator"].param_groups:
        group["lr"] = 1e-3
    before = method.discriminator.first.weight.clone()
    x0_hat = method.x0_hat(batch().pet, T, batch())
    method.update_discriminator(x0_hat.detach(), batch(), T, 0.5, torch.Generator())
    assert all(p.grad is None for p in method.generator.parameters())
    assert not torch.equal(method.discriminator.first.weight, before)


def test_truth_and_prediction_are_compared_in_pairs():
    """Each sample with its own truth: other pairs give another loss, and another gradient."""
    b, method = batch(), rela(lambda_l1=0.0, lambda_adv=1.0, gamma=0.0)
    turned = replace(b, pet=b.in_brain(b.pet.flip(0)))
    logs = [
        method.update(each, progress=0.5, random=torch.Generator().manual_seed(1))
        for each in (b, turned)
    ]
    assert logs[0]["adversarial"] != logs[1]["adversarial"]
