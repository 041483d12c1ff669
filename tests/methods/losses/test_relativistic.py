"""Adversarial losses against an independent float64 implementation."""

from __future__ import annotations

import math

import pytest
import torch

from relad.methods.losses import relativistic


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


REFERENCE = {
    "relativistic": (
        lambda fake, real: (
            sum(softplus(r - f) for f, r in zip(fake, real, strict=True)) / len(fake)
        ),
        lambda fake, real: (
            sum(softplus(f - r) for f, r in zip(fake, real, strict=True)) / len(fake)
        ),
    ),
    "standard": (
        lambda fake, real: sum(softplus(-f) for f in fake) / len(fake),
        lambda fake, real: (sum(softplus(-r) for r in real) + sum(map(softplus, fake))) / len(fake),
    ),
}


@pytest.mark.parametrize("adversary", REFERENCE)
def test_losses_equal_the_reference(adversary):
    torch.manual_seed(0)
    fake, real = 10 * torch.randn(2, 16, dtype=torch.float64)
    pairs = zip(relativistic.ADVERSARIES[adversary], REFERENCE[adversary], strict=True)
    for loss, reference in pairs:
        expected = reference(fake.tolist(), real.tolist())
        assert loss(fake, real).mean().item() == pytest.approx(expected, rel=1e-9)


def test_relativistic_loss_sees_only_the_difference():
    fake, real = torch.randn(2, 8, dtype=torch.float64)
    for loss in relativistic.ADVERSARIES["relativistic"]:
        torch.testing.assert_close(loss(fake, real), loss(fake + 7.0, real + 7.0))


def test_critic_reduces_every_dimension_but_the_batch():
    logits = torch.arange(24.0).view(2, 1, 2, 2, 3)
    torch.testing.assert_close(relativistic.critic(logits, "mean"), torch.tensor([5.5, 17.5]))
    torch.testing.assert_close(relativistic.critic(logits, "sum"), torch.tensor([66.0, 210.0]))
    torch.testing.assert_close(relativistic.critic(logits, "patch"), logits.flatten(1))
    with pytest.raises(ValueError, match="median"):
        relativistic.critic(logits, "median")
