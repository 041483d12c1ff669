"""The published release's networks and training step, in MONAI parts, as a method of this project.

So that the same loop trains it, the same synthesis samples it and the same validation scores it.
Settings are the release's own: its network (`relad.methods.networks.released_unet`),
PatchDiscriminator of 11,573 parameters with BatchNorm, Adam at constant rates of 5e-5 and 5e-6. The
step is the release's with its mistakes: the clean prediction is clamped before the losses, losses
are taken over the whole volume, D sees the PET alone, and its penalty recomputes the logits sample
by sample, sums them, and leaves the last axis of the gradient out of the norm. Brain that a PET
does not show is no part of that volume: nothing is known there.

Left out, in the release's favour: the image metrics that it computes in every step, the unused
half of its scheduler's step, and its float64 volumes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.nets import PatchDiscriminator
from torch import Tensor

from relad.compute.randomness import rand, randn
from relad.data.batch import Batch, Condition
from relad.methods.diffusion import samplers
from relad.methods.diffusion.schedule import NoiseSchedule
from relad.methods.method import Method
from relad.methods.networks.released_unet import ReleasedUNet
from relad.study.sampling import Sampling


class ReleaseStep(Method):
    """See the module's docstring.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    lr, lr_discriminator
        Adam's learning rates.
    lambda_adv
        Weight of the adversarial loss of G, and of D's whole loss (the notebook's 0.1).
    gamma
        Weight of R1 + R2.
    adversary_from
        Share of the training after which the adversary starts (20 of 100 epochs).
    """

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        lr: float = 5e-5,
        lr_discriminator: float = 5e-6,
        lambda_adv: float = 0.1,
        gamma: float = 1e-3,
        adversary_from: float = 0.2,
    ):
        super().__init__()
        self.schedule = NoiseSchedule("scaled_linear", 1000, 5e-4, 1.95e-2)
        self.generator = ReleasedUNet(1 + inputs, tracers)
        self.discriminator = PatchDiscriminator(
            spatial_dims=3, channels=4, in_channels=1, out_channels=1, num_layers_d=2
        )
        self.lambda_adv, self.gamma, self.adversary_from = lambda_adv, gamma, adversary_from
        self.optimizers = {
            "generator": torch.optim.Adam(self.generator.parameters(), lr=lr),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), lr=lr_discriminator),
        }

    def lr_factor(self, progress: float, optimizer: str) -> float:
        return 1.0

    def logits(self, pet: Tensor) -> Tensor:
        return self.discriminator(pet)[-1].float()

    def clean(self, x_t: Tensor, epsilon: Tensor, t: Tensor) -> Tensor:
        """x0_hat, clamped."""
        return self.schedule.x0(x_t, epsilon, t, "epsilon").clamp(-1, 1)

    def predict(self, x_t: Tensor, t: Tensor, batch: Condition) -> Tensor:
        return self.generator(torch.cat([x_t, batch.mri], dim=1), batch.tracer, t).float()

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        x0 = batch.pet
        epsilon = randn(x0.shape, random)
        t = (self.schedule.steps * rand(x0.shape[:1], random)).long()
        x_t = self.schedule.x_t(x0, epsilon, t)
        # What is right there, the clean prediction as well, costs nothing and tells D nothing.
        epsilon_hat = torch.where(batch.unseen, epsilon, self.predict(x_t, t, batch))
        known = 1 - batch.unseen.float().mean()
        x0_hat = self.clean(x_t, epsilon_hat, t)
        adversarial = progress >= self.adversary_from

        log = {
            "denoising": F.mse_loss(epsilon_hat, epsilon) / known,
            "l1": F.l1_loss(x0_hat, x0) / known,
        }
        loss = log["denoising"] + log["l1"]
        if adversarial:
            real, fake = self.logits(x0), self.logits(x0_hat)
            log["adversarial"] = F.softplus(real - fake).mean()
            loss = loss + self.lambda_adv * log["adversarial"]
        self.descend("generator", loss)
        if adversarial:
            log["discriminator"] = self.discriminator_loss(x0, x0_hat.detach())
            self.descend("discriminator", self.lambda_adv * log["discriminator"])
        return {name: value.detach() for name, value in log.items()}

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        pairing = F.softplus(self.logits(fake) - self.logits(real)).flatten(1).mean(1)
        return torch.stack(
            [
                (loss + 0.5 * self.gamma * (self.penalty(r) + self.penalty(f))).mean()
                for loss, r, f in zip(pairing, real, fake, strict=True)
            ]
        ).mean()

    def penalty(self, sample: Tensor) -> Tensor:
        """(1, x, y, z) -> (1, z): squared gradient summed over all axes but the last."""
        sample = sample.detach().requires_grad_(True)[None]
        (gradient,) = torch.autograd.grad(self.logits(sample).sum(), sample, create_graph=True)
        return gradient.square().sum((1, 2, 3))

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Tensor:
        return samplers.sample(
            lambda x_t, t: self.clean(x_t, self.predict(x_t, t, given), t),
            self.schedule,
            randn(given.mask.shape, random),
            sampler=sampling.sampler,
            steps=sampling.steps,
            random=random,
        )

    def sampler_name(self, sampling: Sampling) -> str:
        return f"{sampling.sampler}-{sampling.steps}"

    def evaluations(self, sampling: Sampling) -> int:
        return sampling.steps
