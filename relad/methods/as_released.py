"""RelA-Diffusion with the errors of its published release, each a switch that can be turned off.

For measuring what an error costs, and for nothing else: `relad.methods.reladiff` is the method. The
other settings of the release (a loss for every patch, Adam's usual betas for D too, a D that sees
no MRI, tracer or t, its learning rate ten times lower than G's, unweighted terms on x0_hat) are
ordinary parameters; `config/methods.yaml` puts them together as ``rela-as-released``. Learning
rates warm up and decay here as every method's do; the release's are constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from relad.data.batch import Batch
from relad.methods.losses.gradient_penalty import gradient_penalty
from relad.methods.losses.relativistic import critic
from relad.methods.networks.patch_discriminator import PatchDiscriminator
from relad.methods.networks.released_unet import ReleasedUNet
from relad.methods.parameters import require_whole, section
from relad.methods.reladiff import Critic, RelADiffusion
from relad.shapes import Index, Scalar, Volume


class ReleasedDiscriminator(PatchDiscriminator):
    """The release's PatchGAN: 4^3 convolutions of stride 2, 2, 1 and the map to logits.

    With one input channel and four base channels it has the release's 11,573 parameters.

    Parameters
    ----------
    batch_norm
        Whether batch normalisation follows every convolution but the first and the last.
    **conditions
        ``mri``, ``tracer`` and ``time`` of :class:`PatchDiscriminator`; the release has none.
    """

    def __init__(
        self,
        mri_channels: int,
        *,
        tracers: int,
        batch_norm: bool,
        channels: int = 4,
        **conditions: bool,
    ):
        require_whole(1, channels=channels)
        self.batch_norm = batch_norm
        widths = tuple(channels * factor for factor in (1, 2, 4))
        super().__init__(mri_channels, tracers=tracers, channels=widths, stem=1, **conditions)
        self.multiple = 1

    def layers(
        self, in_channels: int, channels: Sequence[int]
    ) -> tuple[nn.Conv3d, nn.ModuleList, nn.Module]:
        first, second, third = channels
        levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(c, wider, 4, stride, 1, bias=not self.batch_norm),
                nn.BatchNorm3d(wider) if self.batch_norm else nn.Identity(),
            )
            for c, wider, stride in ((first, second, 2), (second, third, 1))
        )
        return nn.Conv3d(in_channels, first, 4, 2, 1), levels, nn.Conv3d(third, 1, 4, 1, 1)


class ReleasedRelADiffusion(RelADiffusion):
    """RelA-Diffusion with the release's errors.

    Parameters
    ----------
    penalty_over_three_axes
        The squared gradient is summed over the axes [1, 2, 3] of a 5-D tensor and averaged over
        the last, so that the penalty is W times too small for volumes of W voxels along it (160 at
        the release's size).
    penalty_sums_logits
        D's patch logits are summed in the penalty, while the loss compares them patch by patch.
    batch_norm
        D has batch normalisation, and the penalty's logits are computed for single samples: with
        other statistics than the loss's.
    clamp
        x0_hat is clamped to [-1, 1] before the L1 and the adversarial loss, where saturated voxels
        have no gradient.
    discriminator
        Parameters of :class:`ReleasedDiscriminator`, without ``batch_norm``.
    released_network
        Whether the network is the release's own, which can hold its weights
        (`relad.training.released`), in place of ours at its widths and depth.
    **params
        Parameters of :class:`RelADiffusion`.
    """

    discriminator_class = ReleasedDiscriminator

    def __init__(
        self,
        *,
        penalty_over_three_axes: bool = True,
        penalty_sums_logits: bool = True,
        batch_norm: bool = True,
        clamp: bool = True,
        discriminator: Mapping[str, Any] | None = None,
        released_network: bool = False,
        **params: Any,
    ):
        own = section(discriminator=discriminator)
        if "batch_norm" in own:
            raise ValueError("discriminator.batch_norm: it is the method's own batch_norm")
        super().__init__(discriminator={**own, "batch_norm": batch_norm}, **params)
        if released_network:
            if self.preconditioned or params.get("network"):
                raise ValueError(
                    "released_network is the release's own: it has no prediction "
                    "'preconditioned', and no network beside it"
                )
            self.generator = ReleasedUNet(1 + params["inputs"], params["tracers"])
            adam = self.optimizers["generator"].defaults
            self.optimizers["generator"] = torch.optim.Adam(
                self.generator.parameters(), lr=adam["lr"], betas=adam["betas"]
            )
        self.penalty_over_three_axes = penalty_over_three_axes
        self.penalty_sums_logits = penalty_sums_logits
        self.clamp = clamp

    def constrained(self, x0_hat: Volume) -> Volume:
        return x0_hat.clamp(-1.0, 1.0) if self.clamp else x0_hat

    def penalty(
        self,
        x: Volume,
        batch: Batch,
        t: Index,
        random: torch.Generator | None = None,
        d: Critic | None = None,
    ) -> Scalar:
        values = []
        for i in range(len(x)):  # one by one, as released; without batch norm it is all the same
            values.append(self._penalty_of_one(x[i : i + 1], batch.sample(i), t[i : i + 1], random))
        return torch.stack(values).mean()

    def _penalty_of_one(
        self, x: Tensor, batch: Batch, t: Tensor, random: torch.Generator | None
    ) -> Tensor:
        def value(x: Tensor) -> Tensor:
            logits = self.discriminator(x, batch.mri, batch.tracer, t).to(x.dtype)
            return critic(logits, "sum" if self.penalty_sums_logits else self.critic_reduction)

        penalty = gradient_penalty(value, x, random)
        # Summing the axes 1 to 3 and averaging the last is the full sum over its length.
        return penalty / x.shape[-1] if self.penalty_over_three_axes else penalty
