"""The zero-centred gradient penalty R1 (on real) and R2 (on synthetic) samples.

R(x) = E_b || d critic(x_b) / d x_b ||^2, the squared norm over ALL non-batch dimensions
(Mescheder et al. 2018; R3GAN, Huang et al. 2024, eq. 3 and 4). Of a critic with a value for every
patch it is the mean over patches of each one's squared norm.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from relad.compute.randomness import rand
from relad.shapes import Float, Scalar


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    x: Float[Tensor, "b ..."],
    random: torch.Generator | None = None,
) -> Scalar:
    """Squared gradient norm of a critic, averaged over the batch, and over patches.

    Parameters
    ----------
    critic
        Maps (b, ...) to one value per sample, (b,), or per sample and patch, (b, n).
    x
        Samples of any shape (b, ...).
    random
        Source of the signs s_p by which patches are told apart: as E s_p s_q = 0 for p != q,
        ||grad sum_p s_p D_p||^2 has the expectation sum_p ||grad D_p||^2 (Hutchinson 1990), and one
        backward pass does for all of them. Needed for values per patch alone.

    Returns
    -------
    Scalar that can be differentiated with respect to the critic's parameters.
    """
    x = x.detach().requires_grad_(True)
    values = critic(x)
    patches = 1
    if values.ndim > 1:
        patches = values.shape[1]
        values = values * torch.where(rand(values.shape, random) < 0.5, -1.0, 1.0)
    # The gradient of the batch sum holds each sample's own gradient, as samples do not mix in D.
    (gradient,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean() / patches
