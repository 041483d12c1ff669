"""The release's step is the release's: its networks' sizes, its losses, its mistakes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("monai")
pytest.importorskip("einops")

from benchmarks.contestants import contestant, make, make_batch
from relad.compute.randomness import randn
from relad.study import config

SIZE = (12, 16, 12)


@pytest.fixture(scope="module")
def method():
    return make(contestant("release", config.load()), device="cpu")


def count(network) -> int:
    return sum(p.numel() for p in network.parameters())


def test_networks_have_the_published_sizes(method):
    assert count(method.generator) == 3_038_017
    assert count(method.discriminator) == 11_573
    with torch.device("meta"):
        logits = method.discriminator.to_empty(device="meta")(torch.zeros(1, 1, 160, 180, 160))[-1]
    assert logits.numel() == 62_092


def test_a_step_moves_both_networks_at_constant_rates():
    who = contestant("release", config.load())
    method = make(who, device="cpu")
    before = [p.detach().clone() for p in method.parameters()]
    batch = make_batch(who, SIZE, 2, device="cpu")
    log = method.update(batch, progress=0.5, random=torch.Generator().manual_seed(0))
    assert set(log) == {"denoising", "l1", "adversarial", "discriminator"}
    assert all(torch.isfinite(value) for value in log.values())
    moved = [not torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True)]
    assert any(moved[: len(list(method.generator.parameters()))])
    assert any(moved[len(list(method.generator.parameters())) :])
    warm = method.update(batch, progress=0.1, random=torch.Generator().manual_seed(0))
    assert set(warm) == {"denoising", "l1"}
    assert {method.lr_factor(p, "generator") for p in (0.0, 0.5, 0.99)} == {1.0}


def test_brain_that_a_pet_does_not_show_is_no_part_of_a_loss():
    who = contestant("release", config.load())
    batch = make_batch(who, SIZE, 2, device="cpu")
    unseen = batch.mask & (torch.arange(SIZE[2]) >= 8)
    pet = torch.where(unseen, batch.outside, batch.pet)
    batch = replace(batch, mask=batch.mask & ~unseen, pet=pet, unseen=unseen)
    made, logs = [], []
    for elsewhere in (0.0, 5.0):
        method = make(who, device="cpu")
        predict = method.predict

        def predicted(*given, predict=predict, added=elsewhere * unseen):
            output = predict(*given) + added
            made.append(output.detach())
            return output

        method.predict = predicted
        random = torch.Generator().manual_seed(0)
        logs.append(method.update(batch, progress=0.5, random=random))
    assert (made[0] != made[1])[unseen].all()
    for name, value in logs[0].items():
        torch.testing.assert_close(value, logs[1][name], rtol=1e-4, atol=1e-6)
    epsilon = randn(pet.shape, torch.Generator().manual_seed(0))
    error = (made[0] - epsilon)[~unseen]
    torch.testing.assert_close(logs[0]["denoising"], error.square().mean())


def test_the_penalty_leaves_the_last_axis_out_of_the_norm():
    who = contestant("release", config.load())
    method = make(who, device="cpu")
    sample = make_batch(who, SIZE, 1, device="cpu").pet[0]
    penalty = method.penalty(sample)
    x = sample[None].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(method.logits(x).sum(), x)
    assert penalty.shape == (1, SIZE[2])
    # Its mean over z is the squared norm, z times too small.
    torch.testing.assert_close(
        penalty.mean() * SIZE[2], gradient.square().sum(), rtol=1e-4, atol=1e-8
    )


def test_the_clean_prediction_is_clamped():
    method = make(contestant("release", config.load()), device="cpu")
    x = torch.full((1, 1, 2, 2, 2), 5.0)
    clean = method.clean(x, torch.zeros_like(x), torch.tensor([999]))
    assert (clean == 1).all()
