"""The relativistic pairing loss (Jolicoeur-Martineau 2019; R3GAN, Huang et al. 2024, eq. 2).

Each synthetic sample is compared with the real sample of the same subject and tracer. Patch logits
are reduced to one critic value per sample first, or compared patch by patch. Losses are given for
every value: means over patches and over the batch, and weights over t, are the caller's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from relad.shapes import Float

Values = Float[Tensor, "b ..."]

REDUCTIONS = ("mean", "sum", "patch")


def critic(logits: Float[Tensor, "b ..."], reduction: str = "mean") -> Values:
    """Critic values from patch logits: one per sample, (b,), or one per patch, (b, n).

    ``reduction`` is part of the method: with ``sum`` over N patches the gradient penalty of the
    same network is N^2 times that of ``mean``, so gamma means nothing unless it is stated.
    ``patch`` leaves every patch to itself (Isola et al. 2017).
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"critic reduction {reduction!r} is none of {', '.join(REDUCTIONS)}")
    values = logits.flatten(1)
    return values if reduction == "patch" else getattr(values, reduction)(1)


def relativistic_generator(fake: Values, real: Values) -> Values:
    """softplus(-(D(x0_hat) - D(x0))), whose mean is L_G, from critic values."""
    return F.softplus(-(fake - real))


def relativistic_discriminator(fake: Values, real: Values) -> Values:
    """softplus(-(D(x0) - D(x0_hat))), whose mean is L_D, from critic values."""
    return F.softplus(-(real - fake))


def standard_generator(fake: Values, real: Values) -> Values:
    """The non-saturating loss of Goodfellow et al. 2014; the real sample does not enter."""
    return F.softplus(-fake)


def standard_discriminator(fake: Values, real: Values) -> Values:
    """The discriminator's loss of Goodfellow et al. 2014."""
    return F.softplus(-real) + F.softplus(fake)


#: ``adversary`` setting -> (generator loss, discriminator loss).
ADVERSARIES = {
    "relativistic": (relativistic_generator, relativistic_discriminator),
    "standard": (standard_generator, standard_discriminator),
}
