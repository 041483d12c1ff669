"""A conditional 3D diffusion model of PET given MRI and tracer: what its methods have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from relad.compute.randomness import rand, randn
from relad.data.batch import Batch, Condition
from relad.errors import ReladError
from relad.methods.diffusion import samplers
from relad.methods.diffusion.preconditioning import PreconditionedNetwork
from relad.methods.diffusion.schedule import DENOISING_WEIGHTINGS, NoiseSchedule
from relad.methods.method import Method
from relad.methods.networks.unet3d import UNet3d
from relad.methods.parameters import require_within, section
from relad.shapes import Float, Index, Scalar, Volume
from relad.study.sampling import Sampling

#: The prediction and the weighting that :mod:`relad.methods.diffusion.preconditioning` adds.
PRECONDITIONED, UNIT = "preconditioned", "unit"


class ConditionalDiffusion(Method):
    """U-Net on [x_t, MRI], conditioned on t and tracer; sampling by any of the samplers.

    Parameters
    ----------
    prediction
        What the network's output is: ``epsilon``, ``v`` or ``sample`` (x0), see
        :meth:`NoiseSchedule.x0`; or ``preconditioned``: what a linear estimate of x0 leaves, see
        :mod:`relad.methods.diffusion.preconditioning`.
    weighting
        Of the denoising loss over t, see :meth:`NoiseSchedule.denoising_weight`; or ``unit``: the
        squared error of what a preconditioned network has to tell.
    from_noise
        Share of the draws at t = T-1, pure noise, where all sampling begins and one evaluation
        ends; the others are of all times alike. What is coarse, most of what the MRI alone tells,
        is missing in x_t at the noisiest times only: its spectrum makes it visible through noise.
    clip_sample
        Where given, clean predictions are clipped to [-clip_sample, clip_sample] while sampling, as
        the release's library does; never in training. With ``epsilon`` an untrained network's
        x0_hat is tens of times too large where almost all is noise, and sampling would not recover.
    schedule, network
        Parameters of :class:`NoiseSchedule` and :class:`UNet3d`.
    """

    stochastic = True

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        prediction: str = "sample",
        weighting: str = "clipped",
        from_noise: float = 0.0,
        clip_sample: float | None = None,
        schedule: Mapping[str, Any] | None = None,
        network: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.preconditioned = prediction == PRECONDITIONED
        weightings = (*DENOISING_WEIGHTINGS, *([UNIT] if self.preconditioned else []))
        if weighting not in weightings:
            raise ValueError(
                f"weighting {weighting!r} is none of {', '.join(weightings)} "
                f"of prediction {prediction!r}"
            )
        require_within(0, 1, below=True, from_noise=from_noise)
        require_within(0, above=True, clip_sample=clip_sample)
        self.prediction = prediction
        self.weighting = weighting
        self.from_noise = from_noise
        self.clip_sample = clip_sample
        # One step from pure noise shows 48 times the error of eps_hat and nothing else.
        self.least_validation_steps = 10 if prediction == "epsilon" else 1
        self.schedule = NoiseSchedule(**section(schedule=schedule))
        if not self.preconditioned:
            self.schedule.check(prediction)
        self.generator = UNet3d(
            1 + self.preconditioned + inputs,
            1,
            tracers=tracers,
            timed=True,
            **section(network=network),
        )
        if self.preconditioned:
            self.generator = PreconditionedNetwork(self.generator)

    def prepare(self, batches: Iterable[Batch]) -> None:
        if self.preconditioned:
            self.generator.spectrum.measure(batches)

    def x0_hat(self, x_t: Volume, t: Index, given: Condition) -> Volume:
        """The clean prediction; outside the brain it is the known value."""
        if self.preconditioned:
            return given.in_brain(self.generator(x_t, given, t, *self.schedule.levels(t)))
        output = self.generator(torch.cat([x_t, given.mri], dim=1), given.tracer, t)
        output = output.to(x_t.dtype)
        return given.in_brain(self.schedule.x0(x_t, output, t, self.prediction))

    def noised(self, batch: Batch, random: torch.Generator) -> tuple[Volume, Index]:
        """Draw t and epsilon; return (x_t, t)."""
        return self.noise(batch.pet, random)

    def noise(
        self, x0: Float[Tensor, "b c x y z"], random: torch.Generator
    ) -> tuple[Float[Tensor, "b c x y z"], Index]:
        """x_t of x_0 at times that are drawn as ``from_noise`` says, and these times."""
        u = rand(x0.shape[:1], random) / (1 - self.from_noise)
        t = (self.schedule.steps * u).long().clamp(max=self.schedule.steps - 1)
        epsilon = randn(x0.shape, random)
        return self.schedule.x_t(x0, epsilon, t), t

    def denoising_loss(self, x0_hat: Volume, batch: Batch, t: Index) -> Scalar:
        """||epsilon - eps_hat||^2 over the brain, written in x0 and weighted over t."""
        if self.weighting == UNIT:
            weight = self.generator.weight(x0_hat.shape[2:], *self.schedule.levels(t))
        else:
            weight = self.schedule.denoising_weight(t, self.weighting)
        return (weight * batch.brain_mean((x0_hat - batch.pet).square())).mean()

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Volume:
        if sampling.steps > self.schedule.steps:
            raise ReladError(
                f"{sampling.steps} sampling steps, but the model has {self.schedule.steps} times"
            )
        bound = math.inf if self.clip_sample is None else self.clip_sample
        return samplers.sample(
            lambda x_t, t: self.x0_hat(x_t, t, given).clamp(-bound, bound),
            self.schedule,
            randn(given.mask.shape, random),
            sampler=sampling.sampler,
            steps=sampling.steps,
            random=random,
            temperature=sampling.temperature,
        )

    def sampler_name(self, sampling: Sampling) -> str:
        return sampling.name

    def evaluations(self, sampling: Sampling) -> int:
        return sampling.evaluations
