"""Rectified flow (Liu et al. 2023) of PET given MRI and tracer, on the network of `rela`.

The straight path between the PET x_0 and noise x_1 = epsilon and its velocity (Liu et al. 2023, eq.
1; time runs from PET to noise, as in Esser et al. 2024):

    x_t = (1 - t) x_0 + t epsilon,    L = E ||v(x_t, t) - (epsilon - x_0)||^2

and synthesis follows dx/dt = v from t = 1 to 0 by Euler's or Heun's method. t is drawn uniformly or
logit-normally (Esser et al. 2024, section 3.1), on a grid of T times. One flow, no reflow.

v is the network's output, as published, or that of a preconditioned x0_hat, v = (x_t - x0_hat) / t:
at a = 1 - t and s = t :mod:`relad.methods.diffusion.preconditioning` holds for this path, too. The
network's inputs then have unit variance at every t.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from relad.compute.randomness import rand, randn
from relad.data.batch import Batch, Condition
from relad.errors import ReladError
from relad.methods.diffusion import samplers
from relad.methods.diffusion.conditional import PRECONDITIONED
from relad.methods.diffusion.preconditioning import PreconditionedNetwork
from relad.methods.diffusion.schedule import NoiseSchedule
from relad.methods.method import Method
from relad.methods.networks.unet3d import UNet3d
from relad.methods.parameters import require_choice, require_whole, require_within, section
from relad.shapes import Index, Volume
from relad.study.sampling import Sampling

TIMES = ("uniform", "logit-normal")
PREDICTIONS = ("velocity", PRECONDITIONED)


class StraightSchedule(NoiseSchedule):
    """The path's noise levels in the terms of the samplers: t = 1/T, 2/T .. 1.

    x_t / sqrt((1 - t)^2 + t^2) is what a variance-preserving process has at abar_t = (1 - t)^2 /
    ((1 - t)^2 + t^2); samplers know no other process. Euler's method on the flow is DDIM there.
    """

    def __init__(self, steps: int):
        nn.Module.__init__(self)
        self.steps = steps
        time = torch.arange(1, steps + 1, dtype=torch.float64) / steps
        norm = (1 - time).square() + time.square()
        self.exact = (1 - time).square() / norm
        self.register_buffer("time", time.float(), persistent=False)
        self.register_buffer("norm", norm.sqrt().float(), persistent=False)

    def at(self, t: Index) -> Tensor:
        """Time in (0, 1] of an index, (b, 1, 1, 1, 1)."""
        return self._at(self.time, t)


class RectifiedFlow(Method):
    """See the module's docstring.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    lr
        Adam's learning rate.
    times
        ``uniform`` or ``logit-normal``.
    location, spread
        Of the normal distribution of log(t / (1 - t)); larger locations draw noisier times.
    steps
        T.
    from_noise
        Share of the draws at t = 1, see :class:`relad.methods.diffusion.conditional.
        ConditionalDiffusion`; the others are as ``times`` says.
    prediction
        What the network's output is: ``velocity``, or ``preconditioned``: what a linear estimate of
        x_0 leaves. A narrow network need not carry noise through for that.
    network
        Parameters of :class:`UNet3d`.
    """

    stochastic = True

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        lr: float = 5e-4,
        times: str = "uniform",
        location: float = 0.0,
        spread: float = 1.0,
        from_noise: float = 0.0,
        steps: int = 1000,
        prediction: str = "velocity",
        network: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        require_choice(TIMES, times=times)
        require_choice(PREDICTIONS, prediction=prediction)
        require_within(0, 1, below=True, from_noise=from_noise)
        require_within(-math.inf, location=location)
        require_within(0, above=True, spread=spread)
        require_whole(2, steps=steps)
        self.times, self.location, self.spread = times, location, spread
        self.from_noise = from_noise
        self.preconditioned = prediction == PRECONDITIONED
        self.schedule = StraightSchedule(steps)
        self.generator = UNet3d(
            1 + self.preconditioned + inputs,
            1,
            tracers=tracers,
            timed=True,
            **section(network=network),
        )
        if self.preconditioned:
            self.generator = PreconditionedNetwork(self.generator)
        self.optimizers = {"generator": torch.optim.Adam(self.generator.parameters(), lr=lr)}

    def prepare(self, batches: Iterable[Batch]) -> None:
        if self.preconditioned:
            self.generator.spectrum.measure(batches)

    def noised(self, batch: Batch, random: torch.Generator) -> tuple[Volume, Volume, Index]:
        """Draw t and epsilon; return (x_t, epsilon - x_0, t as an index)."""
        x0 = batch.pet
        if self.times == "uniform":
            u = rand(x0.shape[:1], random)
        else:
            u = torch.sigmoid(self.location + self.spread * randn(x0.shape[:1], random))
        u = torch.where(rand(x0.shape[:1], random) < self.from_noise, 1.0, u)
        t = (self.schedule.steps * u).long().clamp(max=self.schedule.steps - 1)
        epsilon = randn(x0.shape, random)
        time = self.schedule.at(t)
        return (1 - time) * x0 + time * epsilon, epsilon - x0, t

    def velocity(self, x_t: Volume, t: Index, given: Condition) -> Volume:
        """v(x_t, t) given MRI and tracer."""
        if self.preconditioned:
            time = self.schedule.at(t)
            return (x_t - self.generator(x_t, given, t, 1 - time, time)) / time
        return self.generator(torch.cat([x_t, given.mri], dim=1), given.tracer, t).to(x_t.dtype)

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        x_t, target, t = self.noised(batch, random)
        error = (self.velocity(x_t, t, batch) - target).square()
        loss = batch.brain_mean(error).mean()
        self.descend("generator", loss)
        return {"velocity": loss.detach()}

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Volume:
        if sampling.steps > self.schedule.steps:
            raise ReladError(
                f"{sampling.steps} sampling steps, but the model has {self.schedule.steps} times"
            )

        def x0_hat(scaled: Volume, t: Index) -> Volume:
            x_t = scaled * self.schedule._at(self.schedule.norm, t)
            return given.in_brain(x_t - self.schedule.at(t) * self.velocity(x_t, t, given))

        return samplers.sample(
            x0_hat,
            self.schedule,
            randn(given.mask.shape, random),
            sampler=sampling.sampler,
            steps=sampling.steps,
            random=random,
            temperature=sampling.temperature,
            times=self.times_of(sampling),
        )

    def times_of(self, sampling: Sampling) -> list[int]:
        """Indices of t = 1, 1 - 1/n, ..., 1/n: steps of one length, the last one to t = 0."""
        total, n = self.schedule.steps, samplers.visits(sampling.sampler, sampling.steps)
        return [round(total * (1 - i / n)) - 1 for i in range(n)]

    def sampler_name(self, sampling: Sampling) -> str:
        return sampling.name

    def evaluations(self, sampling: Sampling) -> int:
        return sampling.evaluations
