"""The checks of whether a method learns: all of it, and the PET that it is shown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relad.compute.devices import autocast
from relad.compute.randomness import generator_for
from relad.conformance.candidate import Candidate, Failure, NoImage, Skip, Unfit
from relad.conformance.watching import ERRORS, global_seed, same, undisturbed, weights_of
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
#: The same in the other data scaling, where the PET of a pair varies less about its mean.
NOT_FAR = 2.0
#: Voxels to leave out along each axis, so that what divides the size of a grid does no longer, and
#: how many of them before it: a network that was taught one grid may move what its strides meet at
#: another place, so that it is tried with those left out that one would add, wherever it adds them.
MARGINS = (3, 2, 1)
STARTS = ((1, 1, 0), (0, 0, 0), (2, 1, 1), MARGINS)
#: The farthest that an image is looked for.
FARTHEST = 3
#: Square of an error that is none.
TINY = 1e-8
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

    What is in none stays as it was built, what is in two is moved by both, and an optimizer that
    takes no step trains nothing, such as an adversary that never learns. Give all parameters that
    are to be trained to one optimizer of self.optimizers and call self.descend with the name of
    each; set requires_grad to False where they are meant to stay. Learning rates follow lr_factor,
    and what a scheduler of torch's sets is lost.
    """
    training = of.trained(KINDS[0])
    held = training.method.optimizers
    if not training.stepped & {id(optimizer) for optimizer in held.values()}:
        raise Skip("no optimizer takes a step, see learns and descends")
    inside = {id(weight) for optimizer in held.values() for weight in weights_of(optimizer)}
    outside = [n for n, (weight, _) in training.parameters.items() if id(weight) not in inside]
    if outside:
        raise Failure(f"no optimizer holds {listed(outside)}")
    holder: dict[int, str] = {}
    names = {id(weight): name for name, (weight, _) in training.parameters.items()}
    for key, optimizer in held.items():
        if any("initial_lr" in group for group in optimizer.param_groups):
            raise Failure(f"optimizer {key!r} has a scheduler")
        for weight in weights_of(optimizer):
            other = holder.setdefault(id(weight), key)
            if other != key:
                what = names.get(id(weight), "a parameter")
                raise Failure(f"optimizers {other!r} and {key!r} both hold {what}")
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

    Nearer than before, than a constant, and than the PET mirrored along any axis; in the other data
    scaling nearer than before, and not far off. Otherwise the loss is climbed, is taken to
    something else than batch.pet, or synthesize returns something else than what was learnt, such
    as other units: images are y of relad.data.scaling, as batch.pet is. Where the error only falls
    too slowly, raise the learning rates: the default of a method is to learn a pair in some dozens
    of updates.
    """
    of.trained(KINDS[0])
    for needed in ("repeats", "learns", "one_volume"):
        if needed in of.failed:
            raise Unfit(needed)
    for scaling in KINDS:
        pupil = Pupil(of.trainer(scaling))
        # To come near it twice would take most of the time of all checks.
        limit = NEARER if scaling == KINDS[0] else NOT_FAR
        for _ in pupil.rounds():
            found = pupil.likeness()
            if found.near(limit):
                break
        else:
            _tell(found, pupil, scaling)
        if scaling == KINDS[0]:
            of.pupil = pupil


def _tell(found: Likeness, pupil: Pupil, scaling: str) -> None:
    """Tell why images of a pair that was taught are not near it."""
    if found.is_noise and (axis := found.mirrored) is not None:
        raise Failure(
            f"{scaling}: {pupil.taught} updates on a pair leave its image nearer to PET mirrored "
            f"along axis {axis} than to PET"
        )
    if found.is_noise and not found.error > DIVERGED * pupil.untaught:
        raise Skip(
            f"{scaling}: after {pupil.taught} updates images are still noise, and tell nothing"
        )
    slow = " (less than before: too slow?)" if found.error < pupil.untaught else ""
    raise Failure(f"{scaling}: {pupil.taught} updates on a pair leave {found}{slow}")


def in_place(of: Candidate) -> None:
    """Images stay in their place where the strides of a network do not divide their size.

    A pair that was taught is made once more without its outermost voxels, and may not be nearer to
    its PET when it is moved. Crop the output by as many voxels before each axis as were added to
    the input, as relad.methods.networks.blocks.padded does.
    """
    if of.pupil is None:
        raise Skip("no image is near a pair that was taught, see fits")
    moved = []
    for before in STARTS:
        batch = _without_margins(of.pupil.batch, before)
        try:
            images = of.pupil.images(batch)
        except ERRORS:
            images = []
        if not images or images[0].shape != batch.pet.shape:  # as of templates; else see odd_sizes
            raise Skip("what was learnt of one size makes no image of another")
        errors = _errors_moved(images, batch)
        by = min(errors, key=lambda moved, errors=errors: errors[moved])
        if not errors[by] < NEARER**2:
            return
        moved.append(by)
    raise Failure(
        f"an image of {' x '.join(map(str, batch.pet.shape[2:]))} voxels is nearer to its PET when "
        f"it is moved by {', '.join(map(str, moved[0]))}"
    )


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
        with suppress(*ERRORS):  # a template has no image yet, or one that is not finite
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
        return Likeness.of(self.images(self.batch), self.batch, self.untaught)

    def images(self, batch: Batch) -> list[Tensor]:
        """Two samples, whether or not the method says that it draws."""
        sampling = Sampling("ddim", max(STEPS, self.method.least_validation_steps))
        self.method.eval()
        try:
            with undisturbed(), self._arithmetic():
                return [
                    NoImage.refuse(
                        self.method.synthesize(
                            batch.condition,
                            sampling=sampling,
                            random=[generator_for("conformance", "pair", sample)],
                        )
                    )
                    .detach()
                    .clone()
                    for sample in range(2)
                ]
        finally:
            self.method.train()


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
    mirrored
        The axis along which the PET mirrored is what the samples show; None where it is not.
    """

    error: float
    common: float
    doubt: float
    limits: dict[str, float]
    mirrored: int | None

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
            next((axis - 2 for axis in (2, 3, 4) if _shows_mirrored(images, batch, axis)), None),
        )

    def near(self, share: float) -> bool:
        """Whether what all samples share is nearer than before, and than a share of the others."""
        limits = dict(self.limits)
        limit = min(NEARER * limits.pop("before"), share * min(limits.values()))
        return self.common + self.doubt < limit**2

    @property
    def is_noise(self) -> bool:
        return self.error**2 > 2 * self.common

    def __str__(self) -> str:
        name, limit = min(self.limits.items(), key=lambda item: item[1])
        return (
            f"its image with an error of {math.sqrt(self.common):.2g}, where that {name} is "
            f"{limit:.2g}"
        )


def _shows_mirrored(images: list[Tensor], batch: Batch, axis: int) -> bool:
    """Whether images are nearer to their PET mirrored along an axis, beyond doubt, noise and all.

    In a brain that is mirrored with it, where both are of one power: what is noise, and what is
    neither, then takes no side.
    """
    both = batch.mask & batch.mask.flip(axis)
    image = sum(images)[both].double() / len(images)
    side = image * (batch.pet.double() - batch.pet.double().flip(axis))[both]
    return float(side.mean()) < -4 * float(side.std()) / math.sqrt(len(side))


def _without_margins(batch: Batch, before: tuple[int, int, int]) -> Batch:
    """A batch without some of its outermost voxels, so that no stride divides its size."""
    sizes = zip(batch.mask.shape[2:], before, MARGINS, strict=True)
    inner = tuple(slice(start, start + size - margin) for size, start, margin in sizes)
    of_voxels = {k: v for k, v in vars(batch).items() if v.ndim == batch.mask.ndim}
    return replace(batch, **{k: v[(..., *inner)].clone() for k, v in of_voxels.items()})


def _errors_moved(images: list[Tensor], batch: Batch) -> dict[tuple[int, ...], float]:
    """Voxels by which images are moved -> square of what all samples are off, as a share of before.

    Over the brain as far as what is moved to it is of the brain as well.
    """
    errors = {}
    before = (images[0] - batch.pet) * (images[-1] - batch.pet)
    for by in itertools.product(range(-FARTHEST, FARTHEST + 1), repeat=3):
        one, other, mask = (v.roll(by, (2, 3, 4)) for v in (images[0], images[-1], batch.mask))
        both = mask & batch.mask
        after = (one - batch.pet) * (other - batch.pet)
        errors[by] = float(after[both].mean()) / max(float(before[both].mean()), TINY)
    return errors
