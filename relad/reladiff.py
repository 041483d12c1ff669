"""RelA-Diffusion (arXiv 2602.21345), to be read beside the paper.

The noise-prediction network sees [x_t, T1w, FLAIR], the tracer and t. Its intermediate clean
prediction x0_hat is held to the truth x0 at every sampled t by an L1 and by a gradient-penalised
relativistic adversarial loss:

    L_G = ||epsilon - eps_hat||^2 + lambda_l1 ||x0_hat - x0||_1
          + lambda_adv E softplus(-(D(x0_hat) - D(x0)))
    L_D = E softplus(-(D(x0) - D(x0_hat))) + gamma/2 (R1 + R2)

At inference only the generator runs. With the adversary and the L1 off, this is `baselines.ddpm` to
the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from relad.diffusion.conditional import ConditionalDiffusion
from relad.losses.gradient_penalty import gradient_penalty
from relad.losses.relativistic import ADVERSARIES, critic
from relad.method import Batch
from relad.networks.patch_discriminator import PatchDiscriminator


class RelADiffusion(ConditionalDiffusion):
    """The proposed method.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    lr, lr_discriminator
        Adam's learning rates.
    lambda_l1, lambda_adv
        Weights of the L1 and of the adversarial loss on x0_hat; 0 leaves the term out.
    adversary
        ``relativistic`` or ``standard`` (non-saturating GAN), both with the penalty.
    gamma
        Weight of R1 + R2; 0 for none.
    penalty_every
        The penalty enters every k-th update, k times as strong (lazy regularisation, Karras et
        al. 2020).
    critic_reduction
        ``mean`` or ``sum`` over patches; gamma is stated for this reduction.
    adversary_from
        Share of the training after which the adversary starts (20 of 100 epochs in the paper).
    discriminator
        Parameters of :class:`PatchDiscriminator`.
    **diffusion
        Parameters of :class:`ConditionalDiffusion`.
    """

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        lr: float = 5e-4,
        lr_discriminator: float = 2e-4,
        lambda_l1: float = 1.0,
        lambda_adv: float = 0.003,
        adversary: str = "relativistic",
        gamma: float = 1.0,
        penalty_every: int = 4,
        critic_reduction: str = "mean",
        adversary_from: float = 0.2,
        discriminator: Mapping[str, Any] | None = None,
        **diffusion: Any,
    ):
        super().__init__(inputs=inputs, tracers=tracers, **diffusion)
        if adversary not in ADVERSARIES:
            raise TypeError(f"adversary {adversary!r} is none of {', '.join(ADVERSARIES)}")
        self.lambda_l1 = lambda_l1
        self.lambda_adv = lambda_adv
        self.loss_g, self.loss_d = ADVERSARIES[adversary]
        self.gamma = gamma
        self.penalty_every = penalty_every
        self.critic_reduction = critic_reduction
        self.adversary_from = adversary_from
        self.optimizers = {"generator": torch.optim.Adam(self.generator.parameters(), lr=lr)}
        if lambda_adv > 0:
            self.discriminator = PatchDiscriminator(
                inputs, tracers=tracers, **(discriminator or {})
            )
            self.optimizers["discriminator"] = torch.optim.Adam(
                self.discriminator.parameters(), lr=lr_discriminator, betas=(0.0, 0.99)
            )
        self.register_buffer("discriminator_updates", torch.zeros((), dtype=torch.long))

    def critic(self, pet: Tensor, batch: Batch) -> Tensor:
        """D of a PET volume given the batch's MRI and tracer, one value per sample (b,)."""
        logits = self.discriminator(pet, batch.mri, batch.tracer).float()
        return critic(logits, self.critic_reduction)

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        x_t, t = self.noised(batch, random)
        x0, x0_hat = batch.pet, self.x0_hat(x_t, t, batch)
        adversarial = self.lambda_adv > 0 and progress >= self.adversary_from

        # Discriminator: L_D on (x0, x0_hat)
        log = self.update_discriminator(x0_hat.detach(), batch) if adversarial else {}

        # Generator: L_G
        loss = log["denoising"] = self.denoising_loss(x0_hat, batch, t)
        if self.lambda_l1 > 0:
            log["l1"] = batch.brain_mean((x0_hat - x0).abs()).mean()
            loss = loss + self.lambda_l1 * log["l1"]
        if adversarial:
            self.discriminator.requires_grad_(False)
            with torch.no_grad():
                real = self.critic(x0, batch)
            log["adversarial"] = self.loss_g(self.critic(x0_hat, batch), real)
            loss = loss + self.lambda_adv * log["adversarial"]
            self.discriminator.requires_grad_(True)
        self.descend("generator", loss)
        return {name: value.detach() for name, value in log.items()}

    def update_discriminator(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """One step of D on the truth and on the detached clean prediction."""
        log = {}
        loss = log["discriminator"] = self.loss_d(
            self.critic(fake, batch), self.critic(batch.pet, batch)
        )
        if self.gamma > 0 and int(self.discriminator_updates) % self.penalty_every == 0:
            r1 = gradient_penalty(lambda x: self.critic(x, batch), batch.pet)
            r2 = gradient_penalty(lambda x: self.critic(x, batch), fake)
            log["penalty"] = 0.5 * self.gamma * (r1 + r2)
            loss = loss + self.penalty_every * log["penalty"]
        self.discriminator_updates += 1
        self.descend("discriminator", loss)
        return log
