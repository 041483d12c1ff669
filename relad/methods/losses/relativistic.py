"""The relativistic pairing loss (Jolicoeur-Martineau 2019; R3GAN, Huang et al. 2024, eq. 2).

Each synthetic sample is compared with the real sample of the same subject and tracer.
Logits may have any shape; they are reduced to one critic value per sample first. Every loss is
given per sample, (b,): the expectation over the batch, and weights over t, are the caller's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from relad.shapes import Float, PerSample

REDUCTIONS = ("mean", "sum")


def critic(logits: Float[Tensor, "b ..."], reduction: str = "mean") -> PerSample:
    """One value per sample from patch logits.

    ``reduction`` is part of the method: with ``sum`` over N patches the gradient penalty of the
    same network is N^2 times that of ``mean``, so gamma means nothing unless it is stated.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"critic reduction {reduction!r} is none of {', '.join(REDUCTIONS)}")
    return logits.flatten(1).mean(1) if reduction == "mean" else logits.flatten(1).sum(1)


def relativistic_generator(fake: PerSample, real: PerSample) -> PerSample:
    """softplus(-(D(x0_hat) - D(x0))), whose mean is L_G, from critic values."""
    return F.softplus(-(fake - real))


def relativistic_discriminator(fake: PerSample, real: PerSample) -> PerSample:
    """softplus(-(D(x0) - D(x0_hat))), whose mean is L_D, from critic values."""
    return F.softplus(-(real - fake))


def standard_generator(fake: PerSample, real: PerSample) -> PerSample:
    """The non-saturating loss of Goodfellow et al. 2014; the real sample does not enter."""
    return F.softplus(-fake)


def standard_discriminator(fake: PerSample, real: PerSample) -> PerSample:
    """The discriminator's loss of Goodfellow et al. 2014."""
    return F.softplus(-real) + F.softplus(fake)


#: ``adversary`` setting -> (generator loss, discriminator loss).
ADVERSARIES = {
    "relativistic": (relativistic_generator, relativistic_discriminator),
    "standard": (standard_generator, standard_discriminator),
}
