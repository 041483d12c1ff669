"""What pix2pix and ResViT share: a conditional GAN with a PatchGAN and an L1 of weight 100.

3D forms of the authors' networks; kernel 4, strides 2, 2, 2, 1, 1 give the 70^3 receptive field.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relad.data.batch import Batch, Condition
from relad.methods.method import Method
from relad.methods.parameters import require_choice, require_whole, require_within
from relad.shapes import Volume
from relad.study.sampling import Sampling

#: Name -> loss of logits against 1 (real) or 0: Isola et al. 2017; Mao et al. 2017.
DISTANCES = {"bce": F.binary_cross_entropy_with_logits, "lsgan": F.mse_loss}


def tracer_maps(mri: Tensor, tracer: Tensor, tracers: int) -> Tensor:
    """Append the one-hot tracer as constant channels: (b, m, x, y, z) -> (b, m + k, x, y, z).

    For networks whose first convolution is not normalised; see `baselines.resnet` for the others.
    """
    one_hot = F.one_hot(tracer, tracers).to(mri.dtype)[..., None, None, None]
    return torch.cat([mri, one_hot.expand(-1, -1, *mri.shape[2:])], dim=1)


def gan_loss(logits: Tensor, is_real: bool, kind: str) -> Tensor:
    """Distance of patch logits to 1 or 0, by one of :data:`DISTANCES`."""
    target = torch.ones_like(logits) if is_real else torch.zeros_like(logits)
    return DISTANCES[kind](logits.float(), target.float())


def constant_then_linear(progress: float) -> float:
    """Learning-rate factor of pix2pix, CycleGAN and ResViT: 1 to the half, then linear to 0."""
    return min(1.0, 2.0 * (1.0 - progress))


def initialise(method: nn.Module) -> None:
    """Draw all convolutions from N(0, 0.02), as the authors of pix2pix and CycleGAN do."""
    for module in method.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.normal_(module.weight, 0.0, 0.02)


def adam(lr: float, *networks: nn.Module) -> torch.optim.Adam:
    """Adam with beta1 = 0.5, as all these authors set it."""
    weights = [p for network in networks for p in network.parameters()]
    return torch.optim.Adam(weights, lr=lr, betas=(0.5, 0.999))


class PatchGAN3d(nn.Module):
    """The discriminator of Isola et al. 2017 in 3D: (b, c, x, y, z) -> logits (b, 1, i, j, k).

    ``levels`` stride-2 convolutions; three of them see 70^3 voxels. Small volumes take two (34^3).
    Where a volume is so small that a normalised map would be a single voxel or no logit be left, it
    is padded by its edge.
    """

    def __init__(self, in_channels: int, base: int, levels: int):
        super().__init__()
        require_whole(1, discriminator_channels=base, discriminator_levels=levels)
        self.least = 3 * 2**levels
        layers: list[nn.Module] = [nn.Conv3d(in_channels, base, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = base
        for level in range(1, levels + 1):
            wider = min(2 * width, 8 * base)
            stride = 2 if level < levels else 1
            layers += [
                nn.Conv3d(width, wider, 4, stride, 1, bias=False),
                nn.InstanceNorm3d(wider, affine=True),
                nn.LeakyReLU(0.2),
            ]
            width = wider
        self.layers = nn.Sequential(*layers, nn.Conv3d(width, 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        missing = [max(0, self.least - n) for n in x.shape[2:]]
        if any(missing):
            sides = [p for m in reversed(missing) for p in (m // 2, m - m // 2)]
            x = F.pad(x, sides, mode="replicate")
        return self.layers(x)


class ConditionalGAN(Method):
    """Generator and discriminator in alternation (Isola et al. 2017, eq. 1 to 4).

        L_D = 1/2 (l(D(c, x0), 1) + l(D(c, G(c)), 0))
        L_G = l(D(c, G(c)), 1) + lambda_l1 ||G(c) - x0||_1

    with c the MRI and the tracer and l the binary cross-entropy (``gan: bce``) or the squared
    distance (``gan: lsgan``, Mao et al. 2017).

    Parameters
    ----------
    generator
        Maps MRI (b, m, x, y, z) and tracer (b,) to (b, 1, x, y, z) in [-1, 1].
    gan, lr, lambda_l1
        Loss, learning rate of both networks, weight of the L1.
    discriminator_channels, discriminator_levels
        Base width and stride-2 levels of the PatchGAN.
    """

    def __init__(
        self,
        generator: nn.Module,
        *,
        inputs: int,
        tracers: int,
        gan: str,
        lr: float = 2e-4,
        lambda_l1: float = 100.0,
        discriminator_channels: int = 16,
        discriminator_levels: int = 2,
    ):
        super().__init__()
        require_choice(DISTANCES, gan=gan)
        require_within(0, lambda_l1=lambda_l1)
        self.gan = gan
        self.tracers = tracers
        self.lambda_l1 = lambda_l1
        self.generator = generator
        self.discriminator = PatchGAN3d(
            inputs + tracers + 1, discriminator_channels, discriminator_levels
        )
        initialise(self)
        self.optimizers = {
            "generator": adam(lr, self.generator),
            "discriminator": adam(lr, self.discriminator),
        }

    def logits(self, batch: Batch, pet: Volume) -> Tensor:
        """D of PET given the batch's MRI and tracer."""
        c = tracer_maps(batch.mri, batch.tracer, self.tracers)
        return self.discriminator(torch.cat([c, pet], dim=1))

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        fake = batch.in_brain(self.generator(batch.mri, batch.tracer).float())

        loss_d = 0.5 * (
            gan_loss(self.logits(batch, batch.pet), True, self.gan)
            + gan_loss(self.logits(batch, fake.detach()), False, self.gan)
        )
        self.descend("discriminator", loss_d)

        self.discriminator.requires_grad_(False)
        adversarial = gan_loss(self.logits(batch, fake), True, self.gan)
        self.discriminator.requires_grad_(True)
        l1 = batch.brain_mean((fake - batch.pet).abs()).mean()
        self.descend("generator", adversarial + self.lambda_l1 * l1)
        return {
            "discriminator": loss_d.detach(),
            "adversarial": adversarial.detach(),
            "l1": l1.detach(),
        }

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Volume:
        return self.generator(given.mri, given.tracer).float()

    def lr_factor(self, progress: float, optimizer: str) -> float:
        return constant_then_linear(progress)
