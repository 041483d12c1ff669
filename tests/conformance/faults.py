"""Small methods of three kinds that keep the protocol, and faults planted in two of them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relad.compute import parallel
from relad.compute.randomness import rand, randn
from relad.data.batch import Batch, Condition
from relad.methods.method import Method
from relad.methods.networks.blocks import pad_to_multiple, padded
from relad.study.sampling import Sampling


class Network(nn.Module):
    """Two convolutions, and between them the tracer (and the time) as a modulation."""

    def __init__(self, channels: int, tracers: int, width: int = 8):
        super().__init__()
        self.first = nn.Conv3d(channels, width, 3, padding=1)
        self.tracer = nn.Embedding(tracers, width)
        self.last = nn.Conv3d(width, 1, 3, padding=1)

    def forward(self, x: Tensor, tracer: Tensor, t: Tensor | None = None) -> Tensor:
        embedding = self.tracer(tracer)
        if t is not None:
            embedding = embedding + torch.stack([t, t.cos()], 1).repeat(1, 4)
        h = self.first(x)
        return self.last(F.silu(h * embedding[..., None, None, None] + h))


class Sound(Method):
    """L1 regression; nothing is wrong with it."""

    network: type[nn.Module] = Network

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__()
        self.generator = self.network(inputs, tracers)
        self.optimizers = {"generator": torch.optim.Adam(self.generator.parameters(), lr=1e-2)}

    def loss(self, batch: Batch) -> Tensor:
        image = self.generator(batch.mri, batch.tracer)
        return batch.brain_mean((image.float() - batch.pet).abs()).mean()

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        loss = self.loss(batch)
        self.descend("generator", loss)
        return {"l1": loss.detach()}

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Tensor:
        return self.generator(given.mri, given.tracer).float()


class SoundInParts(Sound):
    """Calls its network part by part, one activation at two places; nothing is wrong with it.

    Nor with attributes that are of no consequence: when it was built, what it does not know yet.
    """

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.generator.activation = nn.SiLU()
        self.built, self.unknown = time.time_ns(), math.inf

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        self.unknown = math.nan
        return super().update(batch, progress=progress, random=random)

    def image(self, given: Condition) -> Tensor:
        parts, tracer = self.generator, self.generator.tracer(given.tracer)[..., None, None, None]
        h = parts.activation(parts.first(given.mri))
        return parts.last(parts.activation(h * tracer + h)).float()

    def loss(self, batch: Batch) -> Tensor:
        return batch.brain_mean((self.image(batch) - batch.pet).abs()).mean()

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Tensor:
        return self.image(given)


class SoundDiffusion(Sound):
    """Rectified flow in as few lines as can be; nothing is wrong with it."""

    stochastic = True

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=1 + inputs, tracers=tracers)

    def velocity(self, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        return self.generator(torch.cat([x, given.mri], 1), given.tracer, t).float()

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        t = rand(batch.pet.shape[:1], random)
        noise, s = randn(batch.pet.shape, random), t[:, None, None, None, None]
        error = self.velocity((1 - s) * batch.pet + s * noise, t, batch) - (noise - batch.pet)
        loss = batch.brain_mean(error.square()).mean()
        self.descend("generator", loss)
        return {"flow": loss.detach()}

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Tensor:
        x = self.start(given, random)
        for step in range(sampling.steps):
            t = torch.full(given.tracer.shape, 1 - step / sampling.steps)
            x = x - self.velocity(x, t, given) / sampling.steps
        return x

    def start(self, given: Condition, random: Sequence[torch.Generator]) -> Tensor:
        return randn(given.mask.shape, random)

    def sampler_name(self, sampling: Sampling) -> str:
        return Sampling("euler", sampling.steps, sampling.samples).name

    def evaluations(self, sampling: Sampling) -> int:
        return sampling.evaluations


class SoundEmbedded(SoundDiffusion):
    """Embeds the time itself and hands the embedding on, as DiT's blocks have it."""

    class network(Network):  # noqa: N801
        def forward(  # type: ignore[override]
            self, x: Tensor, tracer: Tensor, t: Tensor, scale: Tensor
        ) -> Tensor:
            h = self.first(x)
            embedding = (self.tracer(tracer) + scale * t)[..., None, None, None]
            return self.last(F.silu(h * embedding + h))

    def velocity(self, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        embedded = torch.outer(t, torch.arange(1, 9)).cos()
        seen = torch.cat([x, given.mri], 1)
        return self.generator(seen, given.tracer, embedded, torch.tensor(1.0)).float()


class SoundChannel(SoundDiffusion):
    """The time is a channel beside the images, the same everywhere."""

    class network(Network):  # noqa: N801
        def __init__(self, channels: int, tracers: int):
            super().__init__(channels + 1, tracers)

    def velocity(self, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        everywhere = t[:, None, None, None, None].expand_as(x)
        seen = torch.cat([x, everywhere, given.mri], 1)
        return self.generator(seen, given.tracer).float()


class SoundDeep(Sound):
    """Six levels, at the lowest of which little is left of a small grid: a mean of several."""

    class network(Network):  # noqa: N801
        def forward(self, x: Tensor, tracer: Tensor, t: Tensor | None = None) -> Tensor:
            return padded(self.of_levels, x, 32, tracer)

        def of_levels(self, x: Tensor, tracer: Tensor) -> Tensor:
            low = F.avg_pool3d(x, 32)
            if low[0, 0].numel() < 2:
                raise ValueError("fewer than two voxels at the lowest level")
            return super().forward(x + 0.1 * F.interpolate(low, size=x.shape[2:]), tracer)


class SoundClosedForm(Method):
    """Least squares at every voxel from the MRI themselves, without their deviations."""

    single_pass = True

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__()
        self.generator = nn.Module()
        size = min(inputs, 2) + 1
        self.generator.register_buffer("products", torch.zeros(tracers, size, size))
        self.generator.register_buffer("targets", torch.zeros(tracers, size, 1))
        self.optimizers = {}

    @staticmethod
    def terms(given: Condition) -> Tensor:
        return torch.cat([given.mri[:, :2], torch.ones_like(given.mri[:, :1])], 1)

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        for k, terms, pet, mask in zip(
            batch.tracer, self.terms(batch), batch.pet, batch.mask[:, 0], strict=True
        ):
            self.generator.products[k] += terms[:, mask] @ terms[:, mask].T
            self.generator.targets[k] += terms[:, mask] @ pet[:, mask].T
        return {"volumes": torch.tensor(float(len(batch.tracer)))}

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Tensor:
        weights = torch.linalg.solve(
            self.generator.products + 1e-3 * torch.eye(self.generator.products.shape[-1]),
            self.generator.targets,
        )
        return torch.einsum("bcxyz,bco->boxyz", self.terms(given), weights[given.tracer])


class SoundStandardised(SoundInParts):
    """PET in units of its spread over people, stochastic depth; nothing is wrong with it."""

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        # Imported here: every process that makes images of some method above would wait for it.
        from monai.networks.layers.drop_path import DropPath

        self.drop = DropPath(0.1)
        self.generator.register_buffer("mean", torch.zeros(()))
        self.generator.register_buffer("sd", torch.ones(()))

    def prepare(self, batches: Iterable[Batch]) -> None:
        level = torch.stack([m for batch in batches for m in batch.brain_mean(batch.pet)])
        self.generator.mean.copy_(level.mean())
        self.generator.sd.copy_(level.std())

    def image(self, given: Condition) -> Tensor:
        residual = self.drop(self.generator(given.mri, given.tracer).float())
        return self.generator.mean + self.generator.sd * residual


# --- what an image depends on ---------------------------------------------------------------------


class ConstantChannels(Network):
    """The tracer as constant channels before an instance normalisation, which removes them."""

    def __init__(self, channels: int, tracers: int):
        super().__init__(channels + tracers, tracers)
        del self.tracer
        self.tracers = tracers
        self.first.padding_mode = "replicate"

    def forward(self, x: Tensor, tracer: Tensor, t: Tensor | None = None) -> Tensor:
        maps = F.one_hot(tracer, self.tracers).to(x.dtype)[..., None, None, None]
        x = torch.cat([x, maps.expand(-1, -1, *x.shape[2:])], 1)
        p = F.pad(x, (1,) * 6, mode="replicate")
        return self.last(F.silu(F.instance_norm(F.conv3d(p, self.first.weight, self.first.bias))))


class TracerLost(Sound):
    network = ConstantChannels


class FlairLost(Sound):
    """Takes the first channel alone."""

    def loss(self, batch: Batch) -> Tensor:
        image = self.seen(batch)
        return batch.brain_mean((image.float() - batch.pet).abs()).mean()

    def seen(self, given: Condition) -> Tensor:
        only = given.mri.clone()
        only[:, 1:] = 0
        return self.generator(only, given.tracer)

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        return self.seen(given)


class FloorThatLooks(Sound):
    reads_mri = False


class NoiseDeclaredOnly(Sound):
    stochastic = True


class NoiseUndeclared(SoundDiffusion):
    stochastic = False


class TimeLost(SoundDiffusion):
    def velocity(self, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        return self.generator(torch.cat([x, given.mri], 1), given.tracer).float() + 0 * t.mean()


class TimeIgnored(SoundDiffusion):
    class network(Network):  # noqa: N801
        def forward(self, x: Tensor, tracer: Tensor, t: Tensor | None = None) -> Tensor:
            return super().forward(x, tracer)


class EmbeddingIgnored(SoundEmbedded):
    class network(SoundEmbedded.network):  # noqa: N801
        def forward(self, x: Tensor, tracer: Tensor, t: Tensor, scale: Tensor) -> Tensor:
            return super().forward(x, tracer, t, 0 * scale)


class ChannelIgnored(SoundChannel):
    class network(Network):  # noqa: N801
        def __init__(self, channels: int, tracers: int):
            super().__init__(channels + 1, tracers)

        def forward(self, x: Tensor, tracer: Tensor, t: Tensor | None = None) -> Tensor:
            told = x[:, 1:2]
            nothing = told - told.mean((2, 3, 4), keepdim=True)
            return super().forward(torch.cat([x[:, :1], nothing, x[:, 2:]], 1), tracer)


class TimeScalesAlone(SoundDiffusion):
    """Levels of the noise scale what its network sees, and the time is not handed on to it."""

    class network(nn.Module):  # noqa: N801
        def __init__(self, channels: int, tracers: int):
            super().__init__()
            self.inner = Network(channels, tracers)

        def forward(self, x: Tensor, tracer: Tensor, t: Tensor, a: Tensor) -> Tensor:
            level = a[:, None, None, None, None]
            return (1 + level) * self.inner(x / (1 + level), tracer, torch.full_like(t, 0.7))

    def velocity(self, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        seen = torch.cat([x, given.mri], 1)
        return self.generator(seen, given.tracer, t, (1 - t).square()).float()


class TimeScalesAround(SoundDiffusion):
    """The time scales what its network sees and makes, and the network ignores it."""

    class network(nn.Module):  # noqa: N801
        def __init__(self, channels: int, tracers: int):
            super().__init__()
            self.inner = TimeIgnored.network(channels, tracers)

        def forward(self, x: Tensor, tracer: Tensor, t: Tensor) -> Tensor:
            level = 1 + t[:, None, None, None, None]
            return level * self.inner(x / level, tracer, t)


class EvaluationsUntold(SoundDiffusion):
    def evaluations(self, sampling: Sampling) -> int:
        return 2 * sampling.evaluations


# --- what it may not depend on --------------------------------------------------------------------


class Peeks(Sound):
    """Uses the true PET where it can get it."""

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        image = super().synthesize(given, sampling=sampling, random=random)
        return image + 0.01 * getattr(given, "pet", 0.0)


class KeepsTheLastPet(Sound):
    """What it remembers of training is not in the model."""

    last: Tensor | float = 0.0

    def update(self, batch, *, progress, random):
        self.last = batch.pet.mean()
        return super().update(batch, progress=progress, random=random)

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        return super().synthesize(given, sampling=sampling, random=random) + 0.1 * self.last


class OtherName(Sound):
    """Synthesises with a network that the moving average does not replace."""

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.net = self.generator

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        return self.net(given.mri, given.tracer)


class MasksAsInput(Sound):
    def loss(self, batch: Batch) -> Tensor:
        return batch.brain_mean((self.seen(batch) - batch.pet).abs()).mean()

    def seen(self, given: Condition) -> Tensor:
        image = self.generator(given.mri, given.tracer).float()
        return image / given.mask.float().mean((1, 2, 3, 4), keepdim=True)

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        return self.seen(given)


class MixesTheBatch(Sound):
    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        image = super().synthesize(given, sampling=sampling, random=random)
        return image - 0.1 * image.mean(0, keepdim=True)


class SharesNoise(SoundDiffusion):
    def start(self, given: Condition, random: Sequence[torch.Generator]) -> Tensor:
        return torch.randn(given.mask.shape, generator=random[0])


class ChangesItsBatch(Sound):
    def loss(self, batch: Batch) -> Tensor:
        batch.mri.clamp_(-0.5, 0.5)
        return super().loss(batch)


class GlobalNoise(Sound):
    """Its update draws from the global state, which the training loop happens to seed."""

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * (1 + 1e-3 * torch.rand(()))


# --- training -------------------------------------------------------------------------------------


class GraphInTheLog(Sound):
    def update(self, batch, *, progress, random):
        super().update(batch, progress=progress, random=random)
        return {"l1": self.loss(batch)}


class LogsSeconds(Sound):
    def update(self, batch, *, progress, random):
        return {"seconds": super().update(batch, progress=progress, random=random)["l1"]}


class DeadLayer(Sound):
    class network(Network):  # noqa: N801
        def __init__(self, channels: int, tracers: int):
            super().__init__(channels, tracers)
            self.unused = nn.Linear(2, 2)


class OwnSteps(Sound):
    def descend(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()


class Unlimited(Sound):
    """Averages its gradients, but limits none."""

    def descend(self, name: str, loss: Tensor) -> None:
        limit, self.clip_norm = self.clip_norm, None
        super().descend(name, loss)
        self.clip_norm = limit


class Phased(Sound):
    """Keeps at what share of the training it is."""

    early = False

    def update(self, batch, *, progress, random):
        self.early = progress < 0.3
        try:
            return super().update(batch, progress=progress, random=random)
        finally:
            self.early = False


class EarlyOwnSteps(Phased):
    """In a first phase its steps are its own."""

    def descend(self, name: str, loss: Tensor) -> None:
        (OwnSteps if self.early else Sound).descend(self, name, loss)


class EarlyCountsWhatNoPetShows(Phased):
    """In a first phase its loss is over the whole volume."""

    def loss(self, batch: Batch) -> Tensor:
        return (CountsWhatNoPetShows if self.early else Sound).loss(self, batch)


class LateSumsLosses(Phased):
    """Does nothing in a first phase, and later sums its losses."""

    def descend(self, name: str, loss: Tensor) -> None:
        if not self.early:
            super().descend(name, loss)

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * len(batch.tracer)


class AtLastSumsLosses(Sound):
    """Sums its losses in the last tenth of a training."""

    def update(self, batch, *, progress, random):
        self.summed = progress >= 0.9
        return super().update(batch, progress=progress, random=random)

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * (len(batch.tracer) if self.summed else 1)


class OwnRate(Sound):
    """Sets a learning rate of its own, whatever the study asks for."""

    def descend(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].param_groups[0]["lr"] = 1e-2
        super().descend(name, loss)


class Scheduled(Sound):
    """Has a scheduler of torch's, whose rates the training loop overwrites."""

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizers["generator"], 100)


class HeldTwice(Sound):
    """Its adversary's optimizer holds the last layer of the generator as well."""

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.discriminator = nn.Conv3d(1, 1, 3, padding=1)
        both = [*self.discriminator.parameters(), *self.generator.last.parameters()]
        self.optimizers["discriminator"] = torch.optim.Adam(both, lr=1e-3)

    def update(self, batch, *, progress, random):
        fake = self.generator(batch.mri, batch.tracer).detach()
        apart = self.discriminator(batch.in_brain(fake)) - self.discriminator(batch.pet)
        self.descend("discriminator", batch.brain_mean(F.softplus(apart)).mean())
        return super().update(batch, progress=progress, random=random)


class WarmsUp(Sound):
    """Counts updates in a plain attribute, which matters after the hundredth alone."""

    count = 0

    def loss(self, batch: Batch) -> Tensor:
        self.count += 1
        return super().loss(batch) * (2 if self.count > 100 else 1)


class KeepsAPool(Sound):
    """Keeps earlier images in a list, to be drawn from once there are fifty."""

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.pool: list[Tensor] = []

    def loss(self, batch: Batch) -> Tensor:
        self.pool.append(batch.pet)
        return super().loss(batch)


class LeavesTraining(Sound):
    """Its images are made with its layers in training, and it leaves them so."""

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        self.generator.train()
        return super().synthesize(given, sampling=sampling, random=random)


class LeavesEvaluation(Sound):
    """Its updates leave its layers as for images."""

    def loss(self, batch: Batch) -> Tensor:
        self.generator.eval()
        return super().loss(batch)


class Seen:
    """What a method has seen, by name, as an object of its own holds it."""

    def __init__(self) -> None:
        self.counts = {"updates": np.zeros(1)}


class CountsInside(Sound):
    """Counts updates in an object of its own, in a dict, in an array of NumPy."""

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.seen = Seen()

    def loss(self, batch: Batch) -> Tensor:
        self.seen.counts["updates"] += 1
        return super().loss(batch) * (2 if self.seen.counts["updates"] > 100 else 1)


class ReturnsTwo(Sound):
    def synthesize(self, given, *, sampling, random):
        return super().synthesize(given, sampling=sampling, random=random), None


class EndsPython(Sound):
    def loss(self, batch: Batch) -> Tensor:
        raise SystemExit(0)


class TenSteps(Sound):
    def update(self, batch: Batch, **options: object) -> dict[str, Tensor]:
        return [super(TenSteps, self).update(batch, **options) for _ in range(10)][-1]


class HiddenOptimizer(Sound):
    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.hidden = {"generator": torch.optim.SGD(self.generator.parameters(), lr=1e-2)}
        self.optimizers = {}

    def descend(self, name: str, loss: Tensor) -> None:
        loss.backward()
        self.hidden[name].step()
        self.hidden[name].zero_grad()


class ByHand(Sound):
    def descend(self, name: str, loss: Tensor) -> None:
        weights = list(self.generator.parameters())
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight -= 1e-2 * gradient


class StandsStill(Sound):
    def descend(self, name: str, loss: Tensor) -> None:
        pass


class CountsWhatNoPetShows(Sound):
    """Its loss is over the whole volume, as if the background were known there too."""

    def loss(self, batch: Batch) -> Tensor:
        return (self.generator(batch.mri, batch.tracer).float() - batch.pet).abs().mean()


class AveragesWhatNoPetShows(SoundClosedForm):
    """Takes the PET of all of the brain that was given, not of the part that is shown."""

    def update(self, batch, *, progress, random):
        whole = replace(batch, mask=batch.mask | batch.unseen)
        return super().update(whole, progress=progress, random=random)


class SumsLosses(Sound):
    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * len(batch.tracer)


_INSTANCES = itertools.count()


class NotTwiceTheSame(Sound):
    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.number = next(_INSTANCES)
        self.first, self.weight = True, 0.0

    def update(self, batch, *, progress, random):
        self.weight = 1e-3 * self.number if self.first and progress == 0 else 0.0
        self.first = False
        return super().update(batch, progress=progress, random=random)

    def loss(self, batch: Batch) -> Tensor:
        error = self.generator(batch.mri, batch.tracer).float() - batch.pet
        return super().loss(batch) + self.weight * batch.brain_mean(error.square()).mean()


class OrderOfASet(Sound):
    """Begins with the order of a set of words, which every process has of its own."""

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        order = torch.tensor([float(word) for word in {f"{number}" for number in range(50)}])
        self.generator.first.weight.data.view(-1)[: len(order)] += order / 1000


class Forgets(Sound):
    """A counter that no checkpoint holds decides what is learnt."""

    count = 0

    def loss(self, batch: Batch) -> Tensor:
        self.count += 1
        return super().loss(batch) * (2 if self.count > 5 else 1)


class Alternates(Sound):
    """Every second update has another loss, by a counter that no checkpoint holds."""

    period = 2
    count = 0

    def loss(self, batch: Batch) -> Tensor:
        self.count += 1
        return super().loss(batch) * (1 if self.count % self.period else 2)


class EveryFourth(Alternates):
    period = 4


class NeedsEvenSizes(Sound):
    class network(Network):  # noqa: N801
        def forward(self, x: Tensor, tracer: Tensor, t: Tensor | None = None) -> Tensor:
            return F.interpolate(super().forward(F.avg_pool3d(x, 2), tracer), scale_factor=2.0)


class SqueezesTheBatch(Sound):
    def loss(self, batch: Batch) -> Tensor:
        image = self.generator(batch.mri, batch.tracer)
        error = ((image - batch.pet) * batch.mask).abs().squeeze()
        return error.mean((1, 2, 3)).mean() if error.ndim == 4 else error.mean(2)[0]


class DividesByNothing(Sound):
    """Scales each tracer by its number of training volumes."""

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.generator.register_buffer("count", torch.zeros(tracers))

    def update(self, batch, *, progress, random):
        seen = F.one_hot(batch.tracer, len(self.generator.count)).sum(0)
        self.generator.count += parallel.total(seen)
        return super().update(batch, progress=progress, random=random)

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        image = super().synthesize(given, sampling=sampling, random=random)
        count = self.generator.count[given.tracer]
        return image * (count / count)[:, None, None, None, None]


class KeepsAGraph(Sound):
    def synthesize(self, given, *, sampling, random):
        return self.generator(given.mri, given.tracer)


class Climbs(Sound):
    def loss(self, batch: Batch) -> Tensor:
        return -super().loss(batch)


class Dawdles(Sound):
    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.optimizers["generator"].param_groups[0]["lr"] = 1e-6


class LearnsTheMirrored(Sound):
    def loss(self, batch: Batch) -> Tensor:
        return super().loss(replace(batch, pet=batch.in_brain(batch.pet.flip(2))))


class OtherUnits(Sound):
    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        return 2 * super().synthesize(given, sampling=sampling, random=random) + 1


class OtherUnitsByScaling(Sound):
    """Right where the background is 0, and off by one where it is -1."""

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        return super().synthesize(given, sampling=sampling, random=random) + given.outside


class MirrorsWhatItDraws(SoundDiffusion):
    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        return super().synthesize(given, sampling=sampling, random=random).flip(2)


class CropsFromTheStart(Sound):
    """Pads on both sides, and crops as if it had padded behind."""

    class network(Network):  # noqa: N801
        def forward(self, x: Tensor, tracer: Tensor, t: Tensor | None = None) -> Tensor:
            inner = tuple(slice(n) for n in x.shape[2:])
            return super().forward(pad_to_multiple(x, 8)[0], tracer)[(..., *inner)]


class FrozenAdversary(Sound):
    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.discriminator = nn.Conv3d(1, 1, 3)
        self.optimizers["discriminator"] = torch.optim.Adam(self.discriminator.parameters())


class InNoOptimizer(Sound):
    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        held = [*self.generator.first.parameters(), *self.generator.tracer.parameters()]
        self.optimizers = {"generator": torch.optim.Adam(held, lr=1e-2)}


class RemembersOnItsClass(Sound):
    seen: ClassVar[dict[str, float]] = {}

    def update(self, batch, *, progress, random):
        self.seen["shift"] = 0.3
        return super().update(batch, progress=progress, random=random)

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        shift = self.seen.get("shift", 0.0)
        return super().synthesize(given, sampling=sampling, random=random) + 0.3 * shift


class RunningRange(Sound):
    top = 0.0

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        self.top = max(self.top, float(given.mri.max()))
        image = super().synthesize(given, sampling=sampling, random=random)
        return image * (1 + 0.01 * self.top)


class ReturnsOneBuffer(Sound):
    out: Tensor | None = None

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        image = super().synthesize(given, sampling=sampling, random=random)
        if self.out is None or self.out.shape != image.shape:
            self.out = torch.empty_like(image)
        return self.out.copy_(image)


class RunsTwice(SoundDiffusion):
    def velocity(self, x: Tensor, t: Tensor, given: Condition) -> Tensor:
        return 0.5 * (super().velocity(x, t, given) + super().velocity(x, t, given))


class RunsInParts(Sound):
    def synthesize(self, given: Condition, **_: object) -> Tensor:
        h = sum(self.generator.first(given.mri) for _ in range(5)) / 5
        embedding = self.generator.tracer(given.tracer)[..., None, None, None]
        return self.generator.last(F.silu(h * embedding + h)).detach().float()


class NameUntold(SoundDiffusion):
    def sampler_name(self, sampling: Sampling) -> str:
        return "forward"


class NamePromises(SoundDiffusion):
    def sampler_name(self, sampling: Sampling) -> str:
        return sampling.name


class NeedsBothMri(Sound):
    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) + 0 * batch.mri.select(1, 1).sum()


class NeedsTwoTracers(Sound):
    """Learns how every tracer but the first differs from it."""

    class network(Network):  # noqa: N801
        def __init__(self, channels: int, tracers: int):
            super().__init__(channels, tracers)
            self.tracer = nn.Embedding(tracers - 1, 8)

        def forward(self, x: Tensor, tracer: Tensor, t: Tensor | None = None) -> Tensor:
            contrast = self.tracer((tracer - 1).clamp(min=0))
            embedding = torch.where((tracer > 0)[:, None], contrast, 0.0)
            h = self.first(x)
            return self.last(F.silu(h * embedding[..., None, None, None] + h))


class LeavesGradientsOff(Sound):
    def synthesize(self, given, *, sampling, random):
        torch.set_grad_enabled(False)
        return self.generator(given.mri, given.tracer).float()


class SeedsForAll(Sound):
    def loss(self, batch: Batch) -> Tensor:
        torch.manual_seed(0)
        return super().loss(batch)


class OwnMoments(Sound):
    """Its running mean is of the share of the batch that its process has."""

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__(inputs=inputs, tracers=tracers)
        self.generator.register_buffer("mean", torch.zeros(()))

    def update(self, batch, *, progress, random):
        if progress < 0.3:
            self.generator.mean.lerp_(batch.pet.mean(), 0.1)
        return super().update(batch, progress=progress, random=random)


class MultiplesOfSixteen(Sound):
    class network(Network):  # noqa: N801
        def forward(self, x: Tensor, tracer: Tensor, t: Tensor | None = None) -> Tensor:
            h = F.interpolate(F.avg_pool3d(x, 16), scale_factor=16.0)
            return super().forward(x + 0.1 * h, tracer)


class KeepsWhatItPrepared(Sound):
    mean: Tensor | None = None

    def prepare(self, batches):
        self.mean = torch.stack([batch.pet.mean() for batch in batches]).mean()

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * (1 + self.mean.abs())


class RaisesByTracer(Sound):
    """An error of its own, of which no check has heard."""

    @torch.no_grad()
    def synthesize(self, given, *, sampling, random):
        if given.mri.flatten(2).std(2).mean() > 0.7:
            raise KeyError("bright")
        return super().synthesize(given, sampling=sampling, random=random)


class NoMethod(nn.Module):
    def __init__(self, *, inputs: int, tracers: int):
        super().__init__()
        self.generator, self.optimizers = nn.Conv3d(inputs, 1, 1), {}
