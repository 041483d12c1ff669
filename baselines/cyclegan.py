"""CycleGAN (Zhu et al. 2017) in 3D: MRI to PET and back, trained without pairs.

    L_GAN(G, D_P) = E (D_P(G(m)) - 1)^2                     least squares (Mao et al. 2017)
    L_cyc = ||F(G(m)) - m||_1 + ||G(F(p)) - p||_1                                   (eq. 2)
    L_idt = ||G(p) - p||_1 + ||F(m) - m||_1                                (section 5.2)
    L = L_GAN(G, D_P) + L_GAN(F, D_M) + 10 L_cyc + 5 L_idt

As the authors set it: ResNet generators of nine blocks, PatchGANs, each D shown one of the last 50
synthetic volumes half of the time and its loss halved, Adam 2e-4 with beta1 0.5, constant then
linearly decaying. No loss compares a person's synthetic PET with that person's own: the pairs of a
batch are pairs by accident, as far as this method is concerned.

What 3D, several MRI channels and several tracers ask for: narrower networks; the tracer modulates
both generators (`baselines.resnet`) and comes to D_P as constant channels; all MRI channels
together are one domain, of which F makes all. For the identity G is shown the PET in every MRI
channel; F takes one channel and so is shown one MRI channel, drawn for each update, which must come
back in its place. Outside the brain, synthetic volumes are set to what is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.patchgan import (
    PatchGAN3d,
    adam,
    constant_then_linear,
    gan_loss,
    initialise,
    tracer_maps,
)
from baselines.resnet import ResNetGenerator
from relad.compute import parallel
from relad.compute.randomness import rand
from relad.data.batch import Batch, Condition
from relad.methods.method import Method
from relad.methods.parameters import require_whole, require_within
from relad.shapes import Float, Scalar, Volume
from relad.study.sampling import Sampling

GAN = "lsgan"


class ImagePool(nn.Module):
    """The last synthetic volumes, of which D is shown one in place of a new one half of the time.

    Shrivastava et al. 2017, as CycleGAN's authors have it. It is part of a checkpoint. Processes
    that share a batch hold the same volumes, those of all of them.

    Parameters
    ----------
    size
        Volumes kept; 0 for none, so that D sees the new ones alone.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.register_buffer("kept", torch.zeros(0))

    @torch.no_grad()
    def exchange(
        self, volumes: Float[Tensor, "b c x y z"], random: torch.Generator
    ) -> Float[Tensor, "b c x y z"]:
        """Volumes for D in place of new ones; while the pool fills, the new ones themselves."""
        if not self.size:
            return volumes.detach()
        draws = parallel.gathered(rand((len(volumes), 2), random))
        shown = []
        for volume, draw in zip(parallel.gathered(volumes), draws, strict=True):
            if len(self.kept) < self.size:
                self.kept = torch.cat([self.kept.reshape(-1, *volume.shape), volume[None]])
                shown.append(volume)
                continue
            keep, place = draw.tolist()  # only here: it waits for the GPU
            if keep < 0.5:
                place = int(place * self.size)
                volume, self.kept[place] = self.kept[place].clone(), volume
            shown.append(volume)
        return torch.stack(parallel.share(shown))

    def _load_from_state_dict(self, state_dict, prefix, *args):  # type: ignore[no-untyped-def]
        """The buffer takes the stored size."""
        self.kept = torch.zeros_like(state_dict[prefix + "kept"])
        super()._load_from_state_dict(state_dict, prefix, *args)


class CycleGAN(Method):
    """See the module's docstring.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    base_channels, edge_kernel, blocks
        Of both generators, see :class:`ResNetGenerator`.
    lr
        Adam's learning rate.
    lambda_cycle, lambda_identity
        Weights of L_cyc and L_idt; 0 leaves the identity out.
    pool
        Synthetic volumes kept for each D.
    discriminator_channels, discriminator_levels
        Of both PatchGANs.
    """

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        base_channels: int = 16,
        edge_kernel: int = 7,
        blocks: int = 9,
        lr: float = 2e-4,
        lambda_cycle: float = 10.0,
        lambda_identity: float = 5.0,
        pool: int = 50,
        discriminator_channels: int = 16,
        discriminator_levels: int = 2,
    ):
        super().__init__()
        require_within(0, lambda_cycle=lambda_cycle, lambda_identity=lambda_identity)
        require_whole(0, pool=pool)
        self.tracers = tracers
        self.lambda_cycle, self.lambda_identity = lambda_cycle, lambda_identity
        network = {"base": base_channels, "edge_kernel": edge_kernel, "blocks": blocks}
        self.generator = ResNetGenerator(inputs, 1, tracers=tracers, **network)
        self.back = ResNetGenerator(1, inputs, tracers=tracers, **network)
        patchgan = discriminator_channels, discriminator_levels
        self.discriminator_pet = PatchGAN3d(1 + tracers, *patchgan)
        self.discriminator_mri = PatchGAN3d(inputs, *patchgan)
        self.pool_pet, self.pool_mri = ImagePool(pool), ImagePool(pool)
        initialise(self)
        self.optimizers = {
            "generator": adam(lr, self.generator, self.back),
            "discriminator": adam(lr, self.discriminator_pet, self.discriminator_mri),
        }

    def to_pet(self, mri: Tensor, batch: Condition) -> Volume:
        """G: synthetic PET."""
        return batch.in_brain(self.generator(mri, batch.tracer).float())

    def to_mri(self, pet: Volume, batch: Condition) -> Tensor:
        """F: synthetic MRI, (b, m, x, y, z)."""
        return torch.where(batch.mask, self.back(pet, batch.tracer).float(), batch.mri)

    def judged_pet(self, pet: Volume, batch: Condition) -> Tensor:
        return self.discriminator_pet(tracer_maps(pet, batch.tracer, self.tracers))

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        def l1(a: Tensor, b: Tensor) -> Scalar:
            return batch.brain_mean((a - b).abs().mean(1, keepdim=True)).mean()

        mri, pet = batch.mri, batch.pet
        discriminators = (self.discriminator_pet, self.discriminator_mri)

        # G and F
        for network in discriminators:
            network.requires_grad_(False)
        fake_pet, fake_mri = self.to_pet(mri, batch), self.to_mri(pet, batch)
        log = {
            "adversarial": gan_loss(self.judged_pet(fake_pet, batch), True, GAN)
            + gan_loss(self.discriminator_mri(fake_mri), True, GAN),
            "cycle": l1(self.to_mri(fake_pet, batch), mri) + l1(self.to_pet(fake_mri, batch), pet),
        }
        loss = log["adversarial"] + self.lambda_cycle * log["cycle"]
        if self.lambda_identity > 0:
            channels = mri.shape[1]
            j = (channels * rand((len(mri),), random)).long().clamp(max=channels - 1)
            one = mri[torch.arange(len(mri), device=j.device), j][:, None]
            back = self.to_mri(one, batch)[torch.arange(len(mri), device=j.device), j][:, None]
            log["identity"] = l1(self.to_pet(pet.expand_as(mri), batch), pet) + l1(back, one)
            loss = loss + self.lambda_identity * log["identity"]
        self.descend("generator", loss)
        for network in discriminators:
            network.requires_grad_(True)

        # D_P and D_M
        old_pet = self.pool_pet.exchange(tracer_maps(fake_pet, batch.tracer, self.tracers), random)
        old_mri = self.pool_mri.exchange(fake_mri, random)
        log["discriminator"] = 0.5 * (
            gan_loss(self.judged_pet(pet, batch), True, GAN)
            + gan_loss(self.discriminator_pet(old_pet), False, GAN)
            + gan_loss(self.discriminator_mri(mri), True, GAN)
            + gan_loss(self.discriminator_mri(old_mri), False, GAN)
        )
        self.descend("discriminator", log["discriminator"])
        return {name: value.detach() for name, value in log.items()}

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Volume:
        return self.generator(given.mri, given.tracer).float()

    def lr_factor(self, progress: float, optimizer: str) -> float:
        return constant_then_linear(progress)
