"""The penalty against analytic values: the release was wrong here by the size of an axis."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relad.methods.losses.gradient_penalty import gradient_penalty
from relad.methods.losses.relativistic import critic
from relad.methods.networks.patch_discriminator import PatchDiscriminator

SHAPES = [(1, 1, 4, 5, 6), (3, 1, 7, 3, 2), (2, 2, 1, 1, 9), (5, 1, 16, 18, 12)]


@pytest.mark.parametrize("shape", SHAPES)
def test_linear_critic_has_the_squared_norm_of_its_weights(shape):
    w = torch.randn(shape[1:], dtype=torch.float64)
    x = torch.randn(shape, dtype=torch.float64)
    penalty = gradient_penalty(lambda x: (w * x).flatten(1).sum(1), x)
    torch.testing.assert_close(penalty, w.square().sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_quadratic_critic_has_the_squared_norm_of_its_input(shape):
    x = torch.randn(shape, dtype=torch.float64)
    penalty = gradient_penalty(lambda x: 0.5 * x.square().flatten(1).sum(1), x)
    torch.testing.assert_close(penalty, x.square().flatten(1).sum(1).mean())


def test_summing_patches_is_their_number_squared_times_the_mean():
    torch.manual_seed(0)
    network = PatchDiscriminator(2, tracers=3, channels=(8, 8)).double()
    mri = torch.randn(2, 2, 8, 8, 8, dtype=torch.float64)
    pet = torch.randn(2, 1, 8, 8, 8, dtype=torch.float64)
    tracer = torch.tensor([0, 2])
    t = torch.tensor([5, 900])
    patches = network(pet, mri, tracer, t)[0].numel()
    by = {
        how: gradient_penalty(lambda x, how=how: critic(network(x, mri, tracer, t), how), pet)
        for how in ("mean", "sum")
    }
    assert patches > 1
    torch.testing.assert_close(by["sum"], by["mean"] * patches**2)


def test_by_patch_it_is_the_mean_of_every_patch_alone():
    """In expectation over the signs; patches overlap, so that single draws differ."""
    torch.manual_seed(0)
    network = PatchDiscriminator(0, tracers=1, channels=(4, 4)).double()
    pet = torch.randn(2, 1, 8, 8, 4, dtype=torch.float64)
    mri, tracer = pet.new_zeros(2, 0, 8, 8, 4), torch.zeros(2, dtype=torch.long)

    def patches(x):
        return critic(network(x, mri, tracer, tracer), "patch")

    count = patches(pet).shape[1]
    exact = [gradient_penalty(lambda x, p=p: patches(x)[:, p], pet) for p in range(count)]
    drawn = [
        gradient_penalty(patches, pet, torch.Generator().manual_seed(i)).item() for i in range(400)
    ]
    mean, error = np.mean(drawn), np.std(drawn) / 20
    assert error < 0.05 * mean
    assert mean == pytest.approx(torch.stack(exact).mean().item(), abs=4 * error)


def test_penalty_of_a_batch_is_the_mean_over_its_samples():
    torch.manual_seed(0)
    network = PatchDiscriminator(0, tracers=1, channels=(8, 8)).double()
    pet = torch.randn(3, 1, 8, 6, 4, dtype=torch.float64)

    def penalty(x):
        mri, tracer = x.new_zeros(len(x), 0, *x.shape[2:]), torch.zeros(len(x), dtype=torch.long)
        return gradient_penalty(lambda x: critic(network(x, mri, tracer, tracer)), x)

    alone = torch.stack([penalty(sample[None]) for sample in pet])
    torch.testing.assert_close(penalty(pet), alone.mean())


def test_penalty_reaches_the_parameters_of_the_critic():
    w = torch.ones(1, 1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    x = torch.randn(4, 1, 2, 2, 2, dtype=torch.float64)
    gradient_penalty(lambda x: (w * x).flatten(1).sum(1), x).backward()
    torch.testing.assert_close(w.grad, 2 * torch.ones_like(w))
