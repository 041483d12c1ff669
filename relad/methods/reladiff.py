"""RelA-Diffusion (arXiv 2602.21345), to be read beside the paper.

The noise-prediction network sees [x_t, T1w, FLAIR], the tracer and t. Its intermediate clean
prediction x0_hat is held to the truth x0 at every sampled t by an L1 and by a gradient-penalised
relativistic adversarial loss:

    L_G = ||epsilon - eps_hat||^2 + w(t) lambda_l1 ||x0_hat - x0||_1
          + w(t) lambda_adv E softplus(-(D(x0_hat) - D(x0)))
    L_D = E softplus(-(D(x0) - D(x0_hat))) + gamma/2 (R1 + R2)

The paper has w(t) = 1. At inference only the generator runs. With the adversary and the L1 off,
this is `baselines.ddpm` to the bit. What the published release does otherwise:
`relad.methods.as_released`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from relad.data.batch import Batch
from relad.methods.diffusion.conditional import ConditionalDiffusion
from relad.methods.diffusion.schedule import X0_WEIGHTINGS
from relad.methods.losses.gradient_penalty import gradient_penalty
from relad.methods.losses.relativistic import ADVERSARIES, REDUCTIONS, Values, critic
from relad.methods.networks.patch_discriminator import PatchDiscriminator
from relad.methods.parameters import (
    require_choice,
    require_each_within,
    require_whole,
    require_within,
    section,
)
from relad.shapes import Float, Index, PerSample, Scalar, Volume

Critic = Callable[[Volume], Values]
#: What a loss or a norm that may underflow is divided by at least.
TINY = torch.finfo(torch.float32).eps


def per_sample(values: Values) -> PerSample:
    """Mean over patches, where a loss has a value for each."""
    return values.flatten(1).mean(1) if values.ndim > 1 else values


class RelADiffusion(ConditionalDiffusion):
    """The proposed method.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    lr, betas, lr_discriminator, betas_discriminator
        Adam's learning rates and betas of G and D.
    constant_lr_discriminator
        Whether D's learning rate stays as it is while G's warms up and decays.
    lambda_l1, lambda_adv
        Weights of the L1 and of the adversarial loss on x0_hat; 0 leaves the term out.
    x0_weighting
        w(t) of these two terms, see :meth:`NoiseSchedule.x0_weight`; with ``balance``, which takes
        it out of the adversary again, of the L1 alone.
    balance
        Whether lambda_adv is the ratio of the adversarial loss's gradient at x0_hat to that of the
        other terms, both as norms and per sample, so that it means the same at every size of
        volume, t and prediction (for x0_hat what Esser et al. 2021, eq. 7, do for the last layer).
    adversary
        ``relativistic`` or ``standard`` (non-saturating GAN), both with the penalty.
    gamma
        Weight of R1 + R2; 0 for none.
    gamma_end, beta2_end
        Where given, gamma and D's beta2 run to these values along half a cosine, from the
        adversary's start to the share ``anneal_until`` of the training (R3GAN: gamma falls tenfold,
        beta2 rises from 0.9 to 0.99).
    penalty_every
        The penalty enters every k-th update, k times as strong (lazy regularisation, Karras et
        al. 2020).
    critic_reduction
        ``mean`` or ``sum`` over patches before the losses, or ``patch``: a loss for every patch.
        gamma is stated for this reduction.
    adversary_from
        Share of the training after which the adversary starts (20 of 100 epochs in the paper).
    discriminator
        Parameters of :class:`PatchDiscriminator`.
    **diffusion
        Parameters of :class:`ConditionalDiffusion`.
    """

    discriminator_class = PatchDiscriminator

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        lr: float = 5e-4,
        betas: Sequence[float] = (0.9, 0.999),
        lr_discriminator: float = 2e-4,
        betas_discriminator: Sequence[float] = (0.0, 0.99),
        constant_lr_discriminator: bool = False,
        lambda_l1: float = 1.0,
        lambda_adv: float = 0.003,
        x0_weighting: str = "uniform",
        balance: bool = False,
        adversary: str = "relativistic",
        gamma: float = 1.0,
        gamma_end: float | None = None,
        beta2_end: float | None = None,
        anneal_until: float = 0.5,
        penalty_every: int = 4,
        critic_reduction: str = "mean",
        adversary_from: float = 0.2,
        discriminator: Mapping[str, Any] | None = None,
        **diffusion: Any,
    ):
        super().__init__(inputs=inputs, tracers=tracers, **diffusion)
        for name, pair in (("betas", betas), ("betas_discriminator", betas_discriminator)):
            require_each_within(0, 1, **{name: pair})
            if len(pair) != 2:
                raise ValueError(f"{name} {list(pair)} are not two numbers")
        require_choice(ADVERSARIES, adversary=adversary)
        require_choice(X0_WEIGHTINGS, x0_weighting=x0_weighting)
        require_choice(REDUCTIONS, critic_reduction=critic_reduction)
        require_within(
            0, lambda_l1=lambda_l1, lambda_adv=lambda_adv, gamma=gamma, gamma_end=gamma_end
        )
        require_within(0, 1, adversary_from=adversary_from, anneal_until=anneal_until)
        if lambda_adv > 0 and adversary_from == 1:
            raise ValueError(
                f"adversary_from {adversary_from!r} is a share of the training: at its end the "
                "adversary would never act"
            )
        require_within(0, 1, below=True, beta2_end=beta2_end)
        require_whole(1, penalty_every=penalty_every)
        self.lambda_l1 = lambda_l1
        self.lambda_adv = lambda_adv
        self.x0_weighting = x0_weighting
        self.balance = balance
        self.loss_g, self.loss_d = ADVERSARIES[adversary]
        self.gamma, self.gamma_end = gamma, gamma_end
        self.beta2, self.beta2_end = betas_discriminator[1], beta2_end
        self.anneal_until = anneal_until
        self.penalty_every = penalty_every
        self.critic_reduction = critic_reduction
        self.adversary_from = adversary_from
        self.constant_lr_discriminator = constant_lr_discriminator
        self.optimizers = {
            "generator": torch.optim.Adam(self.generator.parameters(), lr=lr, betas=tuple(betas))
        }
        if lambda_adv > 0:
            self.discriminator = self.discriminator_class(
                inputs, tracers=tracers, **section(discriminator=discriminator)
            )
            self.optimizers["discriminator"] = torch.optim.Adam(
                self.discriminator.parameters(),
                lr=lr_discriminator,
                betas=tuple(betas_discriminator),
            )
        self.discriminator_updates = 0  # no buffer, so that nothing waits for the GPU

    def get_extra_state(self) -> Tensor:
        """State of a checkpoint beside parameters: D's number of updates, ()."""
        return torch.tensor(self.discriminator_updates)

    def set_extra_state(self, state: Tensor) -> None:
        self.discriminator_updates = int(state)

    def critic(self, batch: Batch, t: Index) -> Critic:
        """D given the batch's MRI and tracer, and t: PET -> a value per sample, or per patch."""
        given = self.discriminator.conditions(batch.mri, batch.tracer, t)

        def d(pet: Volume) -> Values:
            logits = self.discriminator.judge(pet, given).to(pet.dtype)
            return critic(logits, self.critic_reduction)

        return d

    def constrained(self, x0_hat: Volume) -> Volume:
        """What the L1 and D see of x0_hat: all of it, as clamped voxels would have no gradient."""
        return x0_hat

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        x_t, t = self.noised(batch, random)
        x0, x0_hat = batch.pet, self.x0_hat(x_t, t, batch)
        fake = self.constrained(x0_hat)
        w = self.schedule.x0_weight(t, self.x0_weighting)
        adversarial = self.lambda_adv > 0 and progress >= self.adversary_from

        # Discriminator: L_D on (x0, x0_hat)
        log = {}
        if adversarial:
            log = self.update_discriminator(fake.detach(), batch, t, progress, random)

        # Generator: L_G
        loss = log["denoising"] = self.denoising_loss(x0_hat, batch, t)
        if self.lambda_l1 > 0:
            log["l1"] = (w * batch.brain_mean((fake - x0).abs())).mean()
            loss = loss + self.lambda_l1 * log["l1"]
        if adversarial:
            self.discriminator.requires_grad_(False)
            d = self.critic(batch, t)
            with torch.no_grad():
                real = d(x0)
            each = w * per_sample(self.loss_g(d(fake), real))
            log["adversarial"] = each.mean()
            strength, log["adversarial_share"] = self.strength(
                loss, log["adversarial"], x0_hat, self.free(batch)
            )
            loss = loss + (strength * each).mean()
            self.discriminator.requires_grad_(True)
        self.descend("generator", loss)
        return {name: value.detach() for name, value in log.items()}

    def free(self, batch: Batch) -> Tensor:
        """Where x0_hat follows G: outside of what the PET shows of the brain it is set."""
        return batch.mask

    def strength(
        self,
        others: Scalar,
        adversarial: Scalar,
        x0_hat: Float[Tensor, "b c x y z"],
        free: Tensor,
    ) -> tuple[PerSample, Scalar]:
        """lambda_adv of each sample, and the adversary's share of the gradient norms at x0_hat.

        Norms are over the voxels where x0_hat is ``free``; D's gradient elsewhere reaches nothing.
        """
        of_others, of_adversary = (
            (torch.autograd.grad(term, x0_hat, retain_graph=True)[0] * free).flatten(1).norm(dim=1)
            for term in (others, adversarial)
        )
        strength = torch.full_like(of_others, self.lambda_adv)
        if self.balance:
            strength = strength * of_others / of_adversary.clamp(min=TINY)
        of_adversary = strength * of_adversary
        return strength, (of_adversary / (of_others + of_adversary).clamp(min=TINY)).mean()

    def update_discriminator(
        self, fake: Volume, batch: Batch, t: Index, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        """One step of D on the truth and on the detached clean prediction."""
        log = {}
        d = self.critic(batch, t)
        of_fake, of_real = d(fake), d(batch.pet)
        loss = log["discriminator"] = self.loss_d(of_fake, of_real).mean()
        log["discriminator_accuracy"] = (of_real > of_fake).to(loss.dtype).mean()
        if self.gamma > 0 and self.discriminator_updates % self.penalty_every == 0:
            gamma = self.annealed(self.gamma, self.gamma_end, progress)
            r1, r2 = (self.penalty(x, batch, t, random, d) for x in (batch.pet, fake))
            log["penalty"] = 0.5 * gamma * (r1 + r2)
            # Tells whether gamma binds at all. The loss of a D that has won underflows to 0.
            log["penalty_ratio"] = log["penalty"] / loss.clamp(min=TINY)
            loss = loss + self.penalty_every * log["penalty"]
        self.discriminator_updates += 1
        for group in self.optimizers["discriminator"].param_groups:
            beta2 = self.annealed(self.beta2, self.beta2_end, progress)
            group["betas"] = (group["betas"][0], beta2)
        self.descend("discriminator", loss)
        return log

    def penalty(
        self,
        x: Volume,
        batch: Batch,
        t: Index,
        random: torch.Generator | None = None,
        d: Critic | None = None,
    ) -> Scalar:
        """R1 (x real) or R2 (x synthetic) of D given the batch's MRI and tracer, and t.

        ``d`` is what :meth:`critic` gave of these, where it is there already.
        """
        return gradient_penalty(d or self.critic(batch, t), x, random)

    def annealed(self, start: float, end: float | None, progress: float) -> float:
        """A setting of the adversary at ``progress``; constant where it has no ``end``."""
        if end is None:
            return start
        span = max(self.anneal_until - self.adversary_from, 1e-9)
        done = min(max((progress - self.adversary_from) / span, 0.0), 1.0)
        return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * done))

    def lr_factor(self, progress: float, optimizer: str) -> float:
        if optimizer == "discriminator" and self.constant_lr_discriminator:
            return 1.0
        return super().lr_factor(progress, optimizer)
