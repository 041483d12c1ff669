"""The zero-centred gradient penalty R1 (on real) and R2 (on synthetic) samples.

R(x) = E_b || d critic(x_b) / d x_b ||^2, the squared norm over ALL non-batch dimensions
(Mescheder et al. 2018; R3GAN, Huang et al. 2024, eq. 3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from relad.shapes import Float, Scalar


def gradient_penalty(critic: Callable[[Tensor], Tensor], x: Float[Tensor, "b ..."]) -> Scalar:
    """Squared gradient norm of a critic, averaged over the batch.

    Parameters
    ----------
    critic
        Maps (b, ...) to one value per sample, (b,).
    x
        Samples of any shape (b, ...).

    Returns
    -------
    Scalar that can be differentiated with respect to the critic's parameters.
    """
    x = x.detach().requires_grad_(True)
    # The gradient of the batch sum holds each sample's own gradient, as samples do not mix in D.
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()
