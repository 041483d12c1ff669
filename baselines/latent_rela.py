"""RelA-Diffusion in the latent space of an autoencoder (Rombach et al. 2022), in 3D.

First, for a share of the updates, the autoencoder alone:

    L_AE = ||D(z) - x_0||_1 + beta KL(q(z | x_0) || N(0, 1)),    z ~ q(z | x_0)

Then `relad.methods.reladiff` with z in place of x_0 in diffusion and denoising loss, the
autoencoder held. The L1 and the adversary see the decoded prediction D(z_hat): the paper's
constraint is one of voxels, a discriminator of latents could not be compared with its, and an error
that the decoder does not show is none. z is standardised, each channel by what was seen while the
autoencoder was trained. The MRI comes in at the latent's resolution with all its voxels
(space-to-depth).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relad.compute import parallel
from relad.compute.randomness import randn
from relad.data.batch import Batch, Condition
from relad.errors import ReladError
from relad.methods.diffusion import samplers
from relad.methods.networks.blocks import groups, pad_to_multiple, space_to_depth
from relad.methods.networks.unet3d import UNet3d
from relad.methods.parameters import require_whole, require_widths, require_within, section
from relad.methods.reladiff import Critic, RelADiffusion
from relad.shapes import Float, Index, Scalar, Volume
from relad.study.sampling import Sampling

Given = TypeVar("Given", bound=Condition)
Latent = Float[Tensor, "b c i j k"]


def whole_blocks(given: Given, multiple: int) -> tuple[Given, tuple[slice, ...]]:
    """Volumes padded until ``multiple`` divides their size, and where the old ones lie in them.

    What is added is not brain.
    """
    size = given.mask.shape[2:]
    mri, before = pad_to_multiple(given.mri, multiple)
    mask, _ = pad_to_multiple(given.mask.float(), multiple)
    place = tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))
    inside = torch.zeros_like(mask, dtype=torch.bool)
    inside[(..., *place)] = True
    changed = {"mri": mri, "mask": (mask > 0) & inside}
    if isinstance(given, Batch):
        pet, _ = pad_to_multiple(given.pet, multiple)
        changed["pet"] = torch.where(changed["mask"], pet, given.outside)
        unseen, _ = pad_to_multiple(given.unseen.float(), multiple)
        changed["unseen"] = (unseen > 0) & inside
    return replace(given, **changed), place


def _block(source: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.GroupNorm(groups(source), source),
        nn.SiLU(),
        nn.Conv3d(source, width, 3, stride, 1),
    )


class Encoder(nn.Module):
    """q(z | x_0): PET (b, 1, x, y, z) to latents at 1/2^levels of its size.

    Parameters
    ----------
    channels
        Width of each level; every level halves the size.
    latent
        Channels of the latent.
    """

    def __init__(self, channels: Sequence[int], latent: int):
        super().__init__()
        previous = channels[0]
        layers: list[nn.Module] = [nn.Conv3d(1, previous, 3, padding=1)]
        for width in channels:
            layers += [_block(previous, width, 2), _block(width, width)]
            previous = width
        self.layers = nn.Sequential(*layers, _block(previous, 2 * latent))

    def forward(self, pet: Volume) -> tuple[Latent, Latent]:
        """Mean and logarithm of the variance."""
        mean, log_variance = self.layers(pet).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-30.0, 20.0)


class Decoder(nn.Module):
    """D: the encoder's levels in reverse."""

    def __init__(self, channels: Sequence[int], latent: int):
        super().__init__()
        previous = channels[-1]
        layers: list[nn.Module] = [nn.Conv3d(latent, previous, 3, padding=1)]
        for width in reversed((channels[0], *channels[:-1])):
            layers += [_block(previous, previous), nn.Upsample(scale_factor=2.0)]
            layers += [_block(previous, width)]
            previous = width
        self.layers = nn.Sequential(*layers, _block(previous, 1))

    def forward(self, z: Latent) -> Volume:
        return self.layers(z).float()


class LatentNetwork(nn.Module):
    """What synthesis needs: the U-Net that predicts latents, their moments, and the decoder."""

    def __init__(
        self, inputs: int, tracers: int, levels: Sequence[int], latent: int, **network: Any
    ):
        super().__init__()
        self.factor = 2 ** len(levels)
        self.decoder = Decoder(levels, latent)
        in_channels = latent + inputs * self.factor**3
        self.unet = UNet3d(
            in_channels, latent, tracers=tracers, timed=True, **{"stem": 1, **network}
        )
        self.register_buffer("mean", torch.zeros(1, latent, 1, 1, 1))
        self.register_buffer("variance", torch.ones(1, latent, 1, 1, 1))

    def standardised(self, z: Latent) -> Latent:
        return (z - self.mean) / self.variance.sqrt()

    def decoded(self, z: Latent) -> Volume:
        """PET of a standardised latent."""
        return self.decoder(z * self.variance.sqrt() + self.mean)


class LatentRelA(RelADiffusion):
    """See the module's docstring.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    autoencoder_share
        Share of the updates that train the autoencoder alone, below ``adversary_from``.
    autoencoder_channels, latent_channels
        Of :class:`Encoder` and :class:`Decoder`.
    lr_autoencoder, beta
        Its learning rate, and the weight of its KL divergence.
    network
        Parameters of :class:`UNet3d`, without a stem where none is given.
    **params
        Parameters of :class:`RelADiffusion`; not ``preconditioned``, whose spectrum is of PET.
    """

    #: Share of an update's moments in the running ones.
    MOMENTUM = 0.05

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        autoencoder_share: float = 0.3,
        autoencoder_channels: Sequence[int] = (16, 32),
        latent_channels: int = 4,
        lr_autoencoder: float = 1e-3,
        beta: float = 1e-6,
        network: Mapping[str, Any] | None = None,
        adversary_from: float = 0.4,
        **params: Any,
    ):
        require_within(0, beta=beta)
        require_widths(autoencoder_channels=autoencoder_channels)
        require_whole(1, latent_channels=latent_channels)
        if not 0 < autoencoder_share <= adversary_from < 1:
            raise ValueError(
                f"autoencoder_share {autoencoder_share} and adversary_from {adversary_from} are "
                "not in this order between 0 and 1"
            )
        super().__init__(inputs=inputs, tracers=tracers, adversary_from=adversary_from, **params)
        if self.preconditioned:
            raise ValueError("latents are not preconditioned: predict 'v', 'sample' or 'epsilon'")
        adam = self.optimizers["generator"].defaults
        channels = tuple(autoencoder_channels)
        self.encoder = Encoder(channels, latent_channels)
        self.generator = LatentNetwork(
            inputs, tracers, channels, latent_channels, **section(network=network)
        )
        self.optimizers["generator"] = torch.optim.Adam(
            self.generator.unet.parameters(), lr=adam["lr"], betas=adam["betas"]
        )
        autoencoder = [*self.encoder.parameters(), *self.generator.decoder.parameters()]
        self.optimizers["autoencoder"] = torch.optim.Adam(autoencoder, lr=lr_autoencoder)
        self.latent_channels = latent_channels
        self.autoencoder_share, self.beta = autoencoder_share, beta

    # --- the autoencoder ---------------------------------------------------------------------

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        batch, _ = whole_blocks(batch, self.generator.factor)
        if progress < self.autoencoder_share:
            return self.update_autoencoder(batch, random)
        return super().update(batch, progress=progress, random=random)

    def update_autoencoder(self, batch: Batch, random: torch.Generator) -> dict[str, Tensor]:
        """One step down L_AE."""
        mean, log_variance = self.encoder(batch.pet)
        z = mean + torch.exp(0.5 * log_variance) * randn(mean.shape, random)
        error = batch.brain_mean((self.generator.decoder(z) - batch.pet).abs()).mean()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1).mean()
        self.descend("autoencoder", error + self.beta * kl)
        with torch.no_grad():
            axes = (0, 2, 3, 4)
            center = mean.mean(axes, keepdim=True)
            parallel.average_([center])
            variance = (mean - center).square().mean(axes, keepdim=True)
            parallel.average_([variance])
            self.generator.mean.lerp_(center, self.MOMENTUM)
            self.generator.variance.lerp_(variance.clamp(min=1e-8), self.MOMENTUM)
        return {"reconstruction": error.detach(), "kl": kl.detach()}

    @torch.no_grad()
    def latent(self, pet: Volume) -> Latent:
        """Standardised latent of PET, at the mean of q."""
        return self.generator.standardised(self.encoder(pet)[0])

    # --- the terms of RelA-Diffusion, where the latent takes the place of x_0 ----------------

    def noised(self, batch: Batch, random: torch.Generator) -> tuple[Latent, Index]:
        return self.noise(self.latent(batch.pet), random)

    def x0_hat(self, x_t: Latent, t: Index, given: Condition) -> Latent:
        """The clean prediction z_hat."""
        mri = space_to_depth(given.mri, self.generator.factor)
        output = self.generator.unet(torch.cat([x_t, mri], dim=1), given.tracer, t)
        return self.schedule.x0(x_t, output.to(x_t.dtype), t, self.prediction)

    def denoising_loss(self, x0_hat: Latent, batch: Batch, t: Index) -> Scalar:
        weight = self.schedule.denoising_weight(t, self.weighting)
        error = (x0_hat - self.latent(batch.pet)).square()
        # Latents of brain that the PET does not show are of nothing known.
        known = 1 - F.max_pool3d(batch.unseen.to(error.dtype), self.generator.factor)
        error = error * known / known.flatten(1).mean(1)[:, None, None, None, None]
        return (weight * error.flatten(1).mean(1)).mean()

    def constrained(self, x0_hat: Latent) -> Volume:
        """What the L1 and D see: the decoded prediction."""
        return self.generator.decoded(x0_hat)

    def free(self, batch: Batch) -> Tensor:
        """Everywhere: latents beyond the brain are predicted, too."""
        return torch.ones((), dtype=batch.pet.dtype, device=batch.pet.device)

    def critic(self, batch: Batch, t: Index) -> Critic:
        d = super().critic(batch, t)
        return lambda pet: d(batch.in_brain(pet))

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Volume:
        if sampling.steps > self.schedule.steps:
            raise ReladError(
                f"{sampling.steps} sampling steps, but the model has {self.schedule.steps} times"
            )
        factor = self.generator.factor
        given, place = whole_blocks(given, factor)
        bound = math.inf if self.clip_sample is None else self.clip_sample
        size = [n // factor for n in given.mask.shape[2:]]
        z = samplers.sample(
            lambda z_t, t: self.x0_hat(z_t, t, given).clamp(-bound, bound),
            self.schedule,
            randn((len(given.mri), self.latent_channels, *size), random),
            sampler=sampling.sampler,
            steps=sampling.steps,
            random=random,
            temperature=sampling.temperature,
        )
        return self.generator.decoded(z)[(..., *place)]
