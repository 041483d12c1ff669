"""RelA in a latent space: its two stages, what each term is taken of, and that it samples."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from baselines.latent_rela import Decoder, Encoder, LatentRelA, whole_blocks
from relad.data.batch import Batch
from relad.study.sampling import Sampling


def batch(size=(13, 8, 10)) -> Batch:
    random = torch.Generator().manual_seed(0)
    shape = (2, 1, *size)
    mask = torch.rand(shape, generator=random) > 0.2
    return Batch(
        mri=torch.randn(2, 2, *size, generator=random),
        tracer=torch.tensor([0, 1]),
        mask=mask,
        pet=torch.where(mask, 0.3 * torch.randn(shape, generator=random), -1.0),
        outside=torch.tensor(-1.0),
        unseen=torch.zeros_like(mask),
    )


def latent(**params) -> LatentRelA:
    torch.manual_seed(0)
    small = {
        "network": {"channels": [8, 16]},
        "discriminator": {"channels": [8, 8]},
        "autoencoder_channels": [8, 8],
        "latent_channels": 3,
        "penalty_every": 1,
    }
    method = LatentRelA(inputs=2, tracers=2, **{**small, **params})
    torch.nn.init.normal_(method.generator.unet.last.weight, std=0.05)
    return method


def update(method, progress, b=None):
    return method.update(b or batch(), progress=progress, random=torch.Generator().manual_seed(3))


def moved(method, progress) -> set[str]:
    before = {n: p.clone() for n, p in method.named_parameters()}
    update(method, progress)
    changed = {n for n, p in method.named_parameters() if not torch.equal(p, before[n])}
    return {".".join(n.split(".")[: 2 if n.startswith("generator") else 1]) for n in changed}


def test_the_autoencoder_is_trained_first_and_alone_and_then_held():
    method = latent(autoencoder_share=0.3, adversary_from=0.5)
    assert moved(method, 0.29) == {"encoder", "generator.decoder"}
    assert moved(method, 0.3) == {"generator.unet"}
    assert moved(method, 0.5) == {"generator.unet", "discriminator"}
    moments = [v.clone() for v in (method.generator.mean, method.generator.variance)]
    update(method, 0.6)
    assert torch.equal(method.generator.mean, moments[0])
    assert torch.equal(method.generator.variance, moments[1])
    for share, start in ((0.5, 0.4), (0.0, 0.4)):
        with pytest.raises(ValueError, match="not in this order"):
            latent(autoencoder_share=share, adversary_from=start)


def test_latents_are_standardised_by_what_the_first_stage_saw():
    method = latent()
    method.optimizers["autoencoder"].step = lambda: None
    for _ in range(200):
        update(method, 0.1)
    b, _ = whole_blocks(batch(), 4)
    z = method.latent(b.pet)
    assert z.mean((0, 2, 3, 4)).abs().max() < 0.01
    spread = z.std((0, 2, 3, 4), correction=0)
    torch.testing.assert_close(spread, torch.ones(3), atol=0.01, rtol=0)
    decoded = method.generator.decoded(z)
    exact = method.generator.decoder(method.encoder(b.pet)[0])
    torch.testing.assert_close(decoded, exact, atol=1e-4, rtol=1e-4)


def test_the_autoencoders_loss_by_hand():
    method = latent(beta=0.1)
    descended = {}
    method.descend = lambda name, loss: descended.update({name: loss.item()})
    log = update(method, 0.0)
    b, _ = whole_blocks(batch(), 4)
    with torch.no_grad():
        mean, log_variance = method.encoder(b.pet)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
        out = method.generator.decoder(mean + (0.5 * log_variance).exp() * noise)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    error = sum((out - b.pet)[i][b.mask[i]].abs().mean() for i in range(2)) / 2
    assert log["kl"].item() == pytest.approx(kl.item(), rel=1e-4)
    assert log["reconstruction"].item() == pytest.approx(error.item(), rel=1e-4)
    assert descended == {"autoencoder": pytest.approx((error + 0.1 * kl).item(), rel=1e-4)}


def test_denoising_is_of_latents_and_l1_and_critic_of_the_decoded_prediction():
    method = latent(weighting="sample", lambda_l1=1.0, adversary_from=0.4)
    for optimizer in method.optimizers.values():
        optimizer.step = lambda: None
    for _ in range(5):
        update(method, 0.0)
    seen = []
    judge = method.discriminator.judge

    def watched(pet, conditions):
        seen.append(pet.detach())
        return judge(pet, conditions)

    method.discriminator.judge = watched
    log = update(method, 0.9)
    b, _ = whole_blocks(batch(), 4)
    z_t, t = method.noised(b, torch.Generator().manual_seed(3))
    with torch.no_grad():
        z = method.latent(b.pet)
        z_hat = method.x0_hat(z_t, t, b)
        image = method.generator.decoded(z_hat)
    assert z_t.shape == z.shape == (2, 3, 4, 2, 3)
    assert log["denoising"].item() == pytest.approx((z_hat - z).square().mean().item(), rel=1e-4)
    l1 = sum((image - b.pet)[i][b.mask[i]].abs().mean() for i in range(2)) / 2
    assert log["l1"].item() == pytest.approx(l1.item(), rel=1e-4)
    fake = torch.where(b.mask, image, -1.0)
    assert any(torch.allclose(x, fake, atol=1e-5) for x in seen)
    assert all((x[~b.mask] == -1).all() for x in seen)


def test_times_are_drawn_as_of_volumes():
    method, b = latent(from_noise=0.9), whole_blocks(batch(), 4)[0]
    random = torch.Generator().manual_seed(0)
    t = torch.cat([method.noised(b, random)[1] for _ in range(30)])
    assert 0.75 < (t == method.schedule.steps - 1).float().mean() < 1


@pytest.mark.parametrize("size", [(13, 8, 10), (5, 6, 7)], ids=str)
def test_synthesis_has_the_size_asked_for_and_depends_on_noise_mri_and_tracer(size):
    b, method = batch(size), latent()
    with torch.no_grad():
        for weights in method.generator.unet.parameters():
            if not weights.any():  # residual branches start at zero
                weights.normal_(0, 0.05)

    def synthesize(given, seed=0):
        random = [torch.Generator().manual_seed(seed + i) for i in range(2)]
        return method.synthesize(given, sampling=Sampling("ddim", 2), random=random)

    first = synthesize(b.condition)
    assert first.shape == b.pet.shape and torch.isfinite(first).all()
    assert torch.equal(first, synthesize(b.condition))
    for other in (
        synthesize(b.condition, seed=9),
        synthesize(replace(b.condition, mri=b.mri + 1)),
        synthesize(replace(b.condition, tracer=b.tracer.flip(0))),
    ):
        assert (first - other).abs().max() > 1e-5


def test_whole_blocks_add_no_brain_and_keep_their_place():
    b = batch((5, 8, 6))
    whole, place = whole_blocks(b, 4)
    assert whole.mask.shape[2:] == (8, 8, 8)
    assert torch.equal(whole.pet[(..., *place)], b.pet)
    assert torch.equal(whole.mri[(..., *place)], b.mri)
    assert int(whole.mask.sum()) == int(b.mask.sum())
    assert (whole.pet[~whole.mask] == -1).all()
    assert type(whole_blocks(b.condition, 4)[0]) is type(b.condition)


def test_the_autoencoder_halves_once_a_level():
    mean, log_variance = Encoder((8, 16, 16), 5)(torch.randn(1, 1, 16, 8, 24))
    assert mean.shape == log_variance.shape == (1, 5, 2, 1, 3)
    assert Decoder((8, 16, 16), 5)(mean).shape == (1, 1, 16, 8, 24)
