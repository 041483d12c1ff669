"""The checks of whether a method learns: all of it, and the PET that it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from relad.compute.devices import autocast
from relad.compute.randomness import generator_for
from relad.conformance.candidate import Candidate, Failure, Skip, Unfit
from relad.conformance.watching import global_seed, same, undisturbed, weights_of
from relad.data.batch import Batch
from relad.data.scaling import KINDS
from relad.study.sampling import Sampling
from relad.training.loop import Trainer

#: Rounds of learning one pair: updates, and by how much the learning rates are those of the method.
#: Most know it after the first.
ROUNDS = ((24, 1.0), (48, 4.0))
#: Sampling steps of an image of it.
STEPS = 5
#: Largest error of an image of that pair, as a share of that of what knows nothing of it.
NEARER = 0.9
#: Largest growth of the error where images are still noise: nothing but divergence makes it.
DIVERGED = 2.0


def learns(of: Candidate) -> None:
    """Every part of the method that is to be trained has a gradient, and updates change it.

    A parameter that never has a gradient is not learnt: it is not part of what the loss is taken
    of, or behind a detach or a no_grad. Leave it out, or set requires_grad to False where it is
    meant to stay as it is.
    """
    training = of.trained(KINDS[0])
    generator = training.method.generator
    if same(training.initial, generator.state_dict()):
        raise Failure(f"{training.trainer.total} updates leave the generator as it was")
    working = {
        id(weight)
        for optimizer in training.method.optimizers.values()
        if id(optimizer) in training.stepped
        for weight in weights_of(optimizer)
    }
    # Elsewhere a gradient may be 0: a relativistic adversary has no use for its last bias.
    own = {id(weight) for weight in generator.parameters()}
    dead = [
        name
        for name, (weight, _) in training.parameters.items()
        if id(weight) in working - (training.moved if id(weight) in own else training.reached)
    ]
    if dead:
        raise Failure(f"no gradient ever reaches {listed(dead)}")


def optimizers(of: Candidate) -> None:
    """Every parameter is in one of the optimizers, and each of these trains what it holds.

    What is in none stays as it was built, and an optimizer that takes no step trains nothing, such
    as an adversary that never learns. Give all parameters that are to be trained to an optimizer of
    self.optimizers and call self.descend with the name of each; set requires_grad to False where
    they are meant to stay.
    """
    training = of.trained(KINDS[0])
    held = training.method.optimizers
    if not training.stepped & {id(optimizer) for optimizer in held.values()}:
        raise Skip("no optimizer takes a step, see learns and descends")
    inside = {id(weight) for optimizer in held.values() for weight in weights_of(optimizer)}
    outside = [n for n, (weight, _) in training.parameters.items() if id(weight) not in inside]
    if outside:
        raise Failure(f"no optimizer holds {listed(outside)}")
    total = training.trainer.total
    for key, optimizer in held.items():
        if id(optimizer) not in training.stepped:
            raise Failure(f"optimizer {key!r} takes no step in {total} updates")
        holds = {id(weight) for weight in weights_of(optimizer)}
        pairs = [pair for pair in training.parameters.values() if id(pair[0]) in holds]
        if all(same(weight.detach(), before) for weight, before in pairs):
            raise Failure(f"the steps of optimizer {key!r} change none of its parameters")


def listed(names: list[str]) -> str:
    """The first three of some parameters."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more + " of the method"


def fits(of: Candidate) -> None:
    """Taught a single pair, the method makes an image that is near the PET of this pair.

    Nearer than before, than a constant, and than the PET mirrored along any axis. Otherwise the
    loss is climbed, is taken to something else than batch.pet, or synthesize returns something else
    than what was learnt, such as other units: images are y of relad.data.scaling, as batch.pet is.
    Where the error only falls too slowly, raise the learning rates: the default of a method is to
    learn a pair in some dozens of updates.
    """
    of.trained(KINDS[0])
    for needed in ("repeats", "learns", "one_volume"):
        if needed in of.failed:
            raise Unfit(needed)
    pupil = Pupil(of.trainer(KINDS[0]))
    for _ in pupil.rounds():
        found = pupil.likeness()
        if found.near:
            return
    if found.is_noise and not found.error > DIVERGED * pupil.untaught:
        raise Skip(f"after {pupil.taught} updates images are still noise, and tell nothing")
    slow = " (less than before: too slow?)" if found.error < pupil.untaught else ""
    raise Failure(f"{pupil.taught} updates on a pair leave {found}{slow}")


class Pupil:
    """A method that is taught a single pair, of which the PET shows the whole brain.

    Attributes
    ----------
    batch
        This pair.
    untaught
        Error of its image before the first update; inf of a method that then has none.
    taught
        Number of updates so far.
    """

    def __init__(self, trainer: Trainer):
        self.trainer, self.method = trainer, trainer.method
        self.batch, *self.others = sorted(
            (trainer.volumes.batch([pair], trainer.scaling) for pair in trainer.pairs),
            key=lambda batch: int(batch.unseen.sum()),
        )
        self.method.prepare([self.batch, *self.others])
        self.taught = 0
        self.untaught = math.inf
        with suppress(Exception):  # a template has no image yet, or one that is not finite
            error = self.likeness().error
            self.untaught = error if math.isfinite(error) else math.inf

    def rounds(self) -> Iterator[None]:
        """Teach, and stop after each round."""
        if self.method.single_pass:
            self._update(self.batch, 0.0)
            yield
            # What is a mean over people, or a regression over them, needs several.
            for batch in self.others:
                self._update(batch, 0.0)
            yield
            return
        for updates, pace in ROUNDS:
            for i in range(updates):
                for key, optimizer in self.method.optimizers.items():
                    factor = pace * self.method.lr_factor(i / updates, key)
                    for group, lr in zip(
                        optimizer.param_groups, self.trainer.base_lr[key], strict=True
                    ):
                        group["lr"] = factor * lr
                self._update(self.batch, i / updates)
            yield

    def _update(self, batch: Batch, progress: float) -> None:
        random = generator_for("conformance", "pair", self.taught)
        self.taught += 1
        with global_seed(self.taught), undisturbed(), self._arithmetic():
            self.method.update(batch, progress=progress, random=random)

    def _arithmetic(self) -> torch.autocast:
        return autocast(self.batch.mri.device, self.trainer.options.precision)

    def likeness(self) -> Likeness:
        sampling = Sampling("ddim", max(STEPS, self.method.least_validation_steps))
        self.method.eval()
        try:
            with undisturbed(), self._arithmetic():
                images = [
                    self.method.synthesize(
                        self.batch.condition,
                        sampling=sampling,
                        random=[generator_for("conformance", "pair", sample)],
                    )
                    .detach()
                    .clone()
                    for sample in range(2)  # whether or not it says that it draws
                ]
        finally:
            self.method.train()
        return Likeness.of(images, self.batch, self.untaught)


@dataclass(frozen=True)
class Likeness:
    """How near images of a pair are to its PET, over the brain.

    Attributes
    ----------
    error
        Root mean square of one image's error.
    common, doubt
        Square of the error that all samples share, which the product of two samples' errors tells
        without their noise, and two standard errors of it.
    limits
        What knows nothing of the pair -> its error.
    """

    error: float
    common: float
    doubt: float
    limits: dict[str, float]

    @classmethod
    def of(cls, images: list[Tensor], batch: Batch, untaught: float) -> Likeness:
        pet = batch.pet[batch.mask].double()

        def rms(image: Tensor) -> float:
            return float((image - pet).square().mean().sqrt())

        errors = [image[batch.mask].double() - pet for image in images]
        product = errors[0] * errors[-1]
        limits = {"before": untaught, "of a constant": rms(pet.mean())}
        for axis in (2, 3, 4):
            mirrored = batch.in_brain(batch.pet.flip(axis))[batch.mask]
            limits[f"of PET mirrored along axis {axis - 2}"] = rms(mirrored)
        return cls(
            rms(images[0][batch.mask]),
            max(float(product.mean()), 0.0),
            2 * float(product.std()) / math.sqrt(len(product)),
            limits,
        )

    @property
    def near(self) -> bool:
        return self.common + self.doubt < (NEARER * min(self.limits.values())) ** 2

    @property
    def is_noise(self) -> bool:
        return self.error**2 > 2 * self.common

    def __str__(self) -> str:
        name, limit = min(self.limits.items(), key=lambda item: item[1])
        return (
            f"its image with an error of {math.sqrt(self.common):.2g}, where that {name} is "
            f"{limit:.2g}"
        )
