"""What a method is given: MRI, tracer and brain of some volumes, and in training their PET too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from relad.shapes import Float, Index, Mask, PerSample, Scalar, Volume

Given = TypeVar("Given", bound="Condition")


@dataclass(frozen=True)
class Condition:
    """All that a synthesis may look at.

    Attributes
    ----------
    mri
        T1w and FLAIR (or one of them) as :mod:`relad.data.scaling` has them.
    tracer
        Index into the study's tracers.
    mask
        Brain; of a :class:`Batch` the part of it that the PET shows.
    outside
        The known value of PET outside the brain.
    """

    mri: Float[Tensor, "b m x y z"]
    tracer: Index
    mask: Mask
    outside: Scalar

    def sample(self: Given, i: int) -> Given:
        """What belongs to sample i alone."""
        own = {k: v for k, v in vars(self).items() if k != "outside"}
        return replace(self, **{k: v[i : i + 1] for k, v in own.items()})

    def in_brain(self, volume: Volume) -> Volume:
        """Set volumes to their known value outside the brain; of a batch, outside its mask."""
        return torch.where(self.mask, volume, self.outside)

    def brain_mean(self, value: Volume) -> PerSample:
        """Mean over brain voxels per sample."""
        weight = self.mask.to(value.dtype)
        return (value * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)


@dataclass(frozen=True)
class Batch(Condition):
    """A condition with its true PET, for training.

    Brain that the PET does not show is no part of ``mask``, so that no loss counts it, and holds
    ``outside`` in the truth as in whatever went through :meth:`in_brain`: an adversary cannot tell
    them by it.

    Attributes
    ----------
    pet
        x0: PET as y of :mod:`relad.data.scaling`, about [-1, 1].
    unseen
        Brain outside the field of view of the PET. Only for losses that count what lies outside the
        brain as well.
    """

    pet: Volume
    unseen: Mask

    @property
    def condition(self) -> Condition:
        """The batch without its PET."""
        return Condition(self.mri, self.tracer, self.mask, self.outside)
