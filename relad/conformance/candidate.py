"""A method under examination: how the checks train it, copy it, and have it make images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relad.compute.devices import autocast
from relad.compute.randomness import generator_for
from relad.conformance.cohort import PET, write_cohort
from relad.conformance.watching import (
    ERRORS,
    attributes_of,
    before_steps,
    copied,
    modes_of,
    put,
    undisturbed,
    with_gradient,
)
from relad.data.batch import Batch, Condition
from relad.data.dataset import PackedDataset
from relad.data.scaling import KINDS
from relad.methods.method import Method, build
from relad.study.sampling import Sampling
from relad.study.settings import TrainSettings
from relad.training.loop import Trainer

if TYPE_CHECKING:
    from relad.conformance.learning import Pupil

#: Largest change by rounding alone, where the same is computed in another order.
ROUNDING = 1e-4
#: Voxels of the grid on which all is checked, and of one that suits no stride.
GRID = (16, 24, 16)
ODD_GRID = (13, 22, 15)
#: Where a method's strides do not go into that of GRID, so that all else can still be examined;
#: that they do not is told by the check of odd sizes, unless they are too many for so few voxels.
WIDE_GRID = (32, 64, 32)
ODD_WIDE_GRID = (29, 54, 31)
#: Updates of the training; zero-initialised layers, one behind the other, have opened by then.
UPDATES = 8
#: The one after which it is broken off: 2, 3 and 4 do not divide it, so that counters of such a
#: period, which no checkpoint holds, are at another place when it is taken up again.
BROKEN_OFF = 5
#: Shares of the training at which single updates are looked at: a method may learn in phases.
PHASES = (0.0, 0.5, 0.95)
#: Several evaluations, so that a method in time is asked at several times.
SAMPLING = Sampling("ddim", 3)
FOLD = 0


class Failure(Exception):  # noqa: N818, as Skip: what a check says, no error of its own
    """What a check found wrong."""


class Skip(Exception):  # noqa: N818
    """Why a check does not apply."""


class Unfit(Exception):  # noqa: N818
    """The check without which this one cannot be made."""


class NoImage(Unfit):
    """What synthesize returned is no tensor; the check of images tells it.

    Attributes
    ----------
    returned
        Of which type it is.
    """

    def __init__(self, returned: object):
        super().__init__("images")
        self.returned = type(returned).__name__

    @classmethod
    def refuse(cls, returned: object) -> Tensor:
        """What was returned, where it is a tensor."""
        if not isinstance(returned, Tensor):
            raise cls(returned)
        return returned


class Raised(Failure):
    """What a check found wrong: an error of the method in what it tries."""


class Candidate:
    """A method of a study's settings, with trainings of it that the checks share.

    Parameters
    ----------
    name
        Key of ``settings.methods``.
    folder
        Where its made-up cohort and its models are written.

    Attributes
    ----------
    failed
        Names of the checks that have failed so far.
    pupil
        What was taught a pair and came near it, once that is known.
    """

    def __init__(self, name: str, settings: TrainSettings, folder: Path):
        self.name, self.folder = name, folder
        self.failed: set[str] = set()
        self.pupil: Pupil | None = None
        self.settings = settings
        self.cohort = cache(self._cohort)
        self.trained = cache(self._trained)
        self.grid = cache(self._grid)

    def _cohort(self, shape: tuple[int, int, int], tracers: tuple[str, ...]) -> PackedDataset:
        name = "-".join(["x".join(map(str, shape)), *tracers])
        return write_cohort(self.folder / name, shape, tracers)

    def _grid(self) -> tuple[int, int, int]:
        for grid in (GRID, WIDE_GRID):
            try:
                with undisturbed():
                    self.trainer(grid=grid).step()
                return grid
            except ERRORS:  # if on none, the check `trains` tells it
                continue
        return GRID

    def trainer(
        self,
        scaling: str = KINDS[0],
        *,
        grid: tuple[int, int, int] | None = None,
        inputs: tuple[str, ...] | None = None,
        tracers: tuple[str, ...] = tuple(PET),
    ) -> Trainer:
        """A training that has not begun, where asked of some of its MRI or tracers alone."""
        options = self.settings.training
        training = replace(
            options,
            updates=UPDATES,
            batch_size=2,
            device="cpu",
            scaling=scaling,
            validation=replace(options.validation, subjects=0),
            compile=False,
            tensorboard=False,
        )
        entry = replace(self.settings.methods[self.name], updates=None)
        entry = replace(entry, inputs=inputs or entry.inputs)
        settings = TrainSettings(training=training, methods={self.name: entry})
        cohort = self.cohort(grid or self.grid(), tracers)
        return Trainer(cohort, self.name, settings, fold=FOLD, seed=0)

    def _trained(self, scaling: str) -> Training:
        try:
            return Training(self.trainer(scaling), self.folder / f"{scaling}.pt")
        except ERRORS:  # told by the check of this name
            raise Unfit("trains") from None

    def each(self) -> Iterator[tuple[str, Training]]:
        """Finished trainings in both data scalings."""
        for scaling in KINDS:
            yield scaling, self.trained(scaling)


class Training:
    """A training that has come to its end, and what was seen on the way.

    Attributes
    ----------
    trainer, method
        As they are at the end.
    initial, attributes
        State of the generator, and plain attributes of the method, before the first update.
    losses
        What every update returned.
    parameters
        Those of the whole method that were to be trained before the first update, by name, and what
        they were.
    moved
        Ids of the parameters that ever had a gradient other than 0.
    reached
        Ids of those that ever had one.
    stepped
        Ids of the optimisers that took a step.
    precision
        Arithmetic of updates and images: the study's, but for :meth:`in_float32`.
    disturbed
        What is no business of a method and was changed by it; it has been set back. Modes, of
        training and evaluation, have not.
    checkpoint
        File of the state after :attr:`broken_off` updates.
    """

    def __init__(self, trainer: Trainer, checkpoint: Path):
        self.trainer, self.method, self.checkpoint = trainer, trainer.method, checkpoint
        self.precision = trainer.options.precision
        self.initial = copied(trainer.method.generator.state_dict())
        self.attributes = attributes_of(trainer.method)
        self.parameters = {
            name: (weight, weight.detach().clone())
            for name, weight in trainer.method.named_parameters()
            if weight.requires_grad
        }
        self.losses: list[dict[str, Tensor]] = []
        self.moved: set[int] = set()
        self.reached: set[int] = set()
        self.stepped: set[int] = set()
        self.disturbed: list[str] = []
        with before_steps(self._note):
            while trainer.done < trainer.total:
                if trainer.done == self.broken_off:
                    trainer.save_checkpoint(checkpoint)
                with self._watched("an update"):
                    self.losses.append(trainer.step())

    @property
    def broken_off(self) -> int:
        """Updates before the checkpoint; one that passes over the data once makes fewer of them."""
        total = self.trainer.total
        return BROKEN_OFF if total > BROKEN_OFF else total // 2

    def _note(self, optimizer: torch.optim.Optimizer) -> None:
        self.stepped.add(id(optimizer))
        self.reached |= {id(p) for p in with_gradient(optimizer)}
        self.moved |= {id(p) for p in with_gradient(optimizer) if p.grad.any()}

    @contextmanager
    def _watched(self, work: str, method: Method | None = None) -> Iterator[None]:
        modes = modes_of(method) if method else {}
        with undisturbed() as changed:
            yield
        after = modes_of(method) if method else {}
        odd = [name for name, mode in modes.items() if after.get(name, mode) != mode]
        changed += [f"the mode (train, eval) of {name or 'the method'}" for name in odd[:1]]
        self.disturbed += [f"{work} changes {name}" for name in changed]

    # --- batches --------------------------------------------------------------------------------

    def batch(self, part: slice = slice(2)) -> Batch:
        """A batch of some training pairs, in tensors of its own."""
        return self.trainer.volumes.batch(self.trainer.pairs[part], self.trainer.scaling)

    def test(self) -> Batch:
        """Two people whom no training saw, one of each tracer that has PET."""
        pairs = self.trainer.data.pairs(FOLD, "test")
        return self.trainer.volumes.batch([pairs[0], pairs[-1]], self.trainer.scaling)

    def channels(self) -> dict[str, list[int]]:
        """What the method must look at, by name: every MRI channel that it is given.

        Of a closed form every MRI: that it has learnt no weights for one of the two ways in which
        an MRI is given is no oversight.
        """
        names = list(self.trainer.entry.inputs)
        own = {name: [i] for i, name in enumerate(names)}
        of = {
            name: [i]
            for i, name in enumerate(names[: self.trainer.inputs - len(names)], len(names))
        }
        if self.method.single_pass:
            return {name: own[name] + of.get(name, []) for name in names}
        return own | {f"deviation of {name}": channels for name, channels in of.items()}

    # --- the method at work ---------------------------------------------------------------------

    def twin(self, device: str = "cpu") -> Method:
        """The method anew, restored from its state as the training loop would."""
        twin = build(
            self.trainer.name,
            self.trainer.entry,
            inputs=self.trainer.inputs,
            tracers=len(self.trainer.data.tracers),
        ).to(device)
        twin.load_state_dict(copied(self.method.state_dict()))
        for key, optimizer in twin.optimizers.items():
            # load_state_dict would share the tensors.
            optimizer.load_state_dict(deepcopy(self.method.optimizers[key].state_dict()))
        twin.clip_norm = self.method.clip_norm
        return twin

    def update(self, method: Method, batch: Batch, *, progress: float = 0.5) -> dict[str, Tensor]:
        """One update, of always the same random numbers."""
        random = generator_for("conformance", device=batch.mri.device)
        with self._watched("an update", method), self.arithmetic(batch):
            return method.update(batch, progress=progress, random=random)

    def images(
        self,
        given: Condition,
        method: Method | None = None,
        *,
        sampling: Sampling = SAMPLING,
        seed: int = 0,
        samples: range | None = None,
    ) -> Tensor:
        """Images as ``relad synthesize`` has them made; ``samples`` as in :meth:`random`.

        They are copies, whatever the method does to its own later.
        """
        return self.returned(given, method, sampling=sampling, seed=seed, samples=samples).clone()

    def returned(
        self,
        given: Condition,
        method: Method | None = None,
        *,
        sampling: Sampling = SAMPLING,
        seed: int = 0,
        samples: range | None = None,
    ) -> Tensor:
        """The very tensor of :meth:`images`."""
        method = method or self.method
        method.eval()
        try:
            with self._watched("synthesis", method), self.arithmetic(given):
                random = self.random(given, seed=seed, samples=samples)
                return NoImage.refuse(method.synthesize(given, sampling=sampling, random=random))
        finally:
            method.train()

    def random(
        self, given: Condition, *, seed: int = 0, samples: range | None = None
    ) -> list[torch.Generator]:
        """Generators of the volumes, which ``samples`` numbers (from 0 where it is left out)."""
        numbers = range(len(given.tracer)) if samples is None else samples
        return [generator_for("conformance", seed, i, device=given.mri.device) for i in numbers]

    def arithmetic(self, given: Condition) -> torch.autocast:
        return autocast(given.mri.device, self.precision)

    def in_float32(self) -> AbstractContextManager[None]:
        """Compute in float32 whatever the study's precision, where rounding is not to show.

        In bfloat16 the same in batches of other sizes differs by some thousandths.
        """
        return put(self, precision="float32")
