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
from relad.shapes import Volume
from relad.study.sampling import Sampling


def tracer_maps(mri: Tensor, tracer: Tensor, tracers: int) -> Tensor:
    """Append the one-hot tracer as constant channels: (b, m, x, y, z) -> (b, m + k, x, y, z)."""
    one_hot = F.one_hot(tracer, tracers).to(mri.dtype)[..., None, None, None]
    return torch.cat([mri, one_hot.expand(-1, -1, *mri.shape[2:])], dim=1)


class PatchGAN3d(nn.Module):
    """The conditional discriminator of Isola et al. 2017 on concat(input, output), in 3D.

    ``levels`` stride-2 convolutions; three of them see 70^3 voxels. Small volumes take two (34^3).
    """

    def __init__(self, in_channels: int, base: int, levels: int):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv3d(in_channels, base, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = base
        for level in range(1, levels + 1):
            wider = min(2 * width, 8 * base)
            stride = 2 if level < levels else 1
            layers += [
                nn.Conv3d(width, wider, 4, stride, 1),
                nn.InstanceNorm3d(wider),
                nn.LeakyReLU(0.2),
            ]
            width = wider
        self.layers = nn.Sequential(*layers, nn.Conv3d(width, 1, 4, 1, 1))

    def forward(self, condition: Tensor, pet: Tensor) -> Tensor:
        """(b, c, x, y, z), (b, 1, x, y, z) -> patch logits (b, 1, i, j, k)."""
        return self.layers(torch.cat([condition, pet], dim=1))


class ConditionalGAN(Method):
    """Generator and discriminator in alternation (Isola et al. 2017).

        L_D = 1/2 (l(D(c, x0), 1) + l(D(c, G(c)), 0))
        L_G = l(D(c, G(c)), 1) + lambda_l1 ||G(c) - x0||_1

    with c = [MRI, tracer] and l the binary cross-entropy (``gan: bce``) or the squared distance
    (``gan: lsgan``, Mao et al. 2017).

    Parameters
    ----------
    generator
        Maps c (b, m + k, x, y, z) to (b, 1, x, y, z) in [-1, 1].
    """

    def __init__(
        self,
        generator: nn.Module,
        *,
        inputs: int,
        tracers: int,
        gan: str,
        lr: float,
        lambda_l1: float,
        discriminator_channels: int,
        discriminator_levels: int,
    ):
        super().__init__()
        losses = {"bce": F.binary_cross_entropy_with_logits, "lsgan": F.mse_loss}
        if gan not in losses:
            raise TypeError(f"gan {gan!r} is none of {', '.join(losses)}")
        self.distance = losses[gan]
        self.tracers = tracers
        self.lambda_l1 = lambda_l1
        self.generator = generator
        self.discriminator = PatchGAN3d(
            inputs + tracers + 1, discriminator_channels, discriminator_levels
        )
        for module in self.modules():  # N(0, 0.02), as the authors initialise
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.normal_(module.weight, 0.0, 0.02)
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999))
            for name, network in (
                ("generator", self.generator),
                ("discriminator", self.discriminator),
            )
        }

    def _loss(self, logits: Tensor, is_real: bool) -> Tensor:
        target = torch.ones_like(logits) if is_real else torch.zeros_like(logits)
        return self.distance(logits.float(), target.float())

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        c = tracer_maps(batch.mri, batch.tracer, self.tracers)
        fake = batch.in_brain(self.generator(c).float())

        loss_d = 0.5 * (
            self._loss(self.discriminator(c, batch.pet), True)
            + self._loss(self.discriminator(c, fake.detach()), False)
        )
        self.descend("discriminator", loss_d)

        self.discriminator.requires_grad_(False)
        adversarial = self._loss(self.discriminator(c, fake), True)
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
        return self.generator(tracer_maps(given.mri, given.tracer, self.tracers)).float()
