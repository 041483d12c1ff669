"""What a method is given: MRI, tracer and brain of some volumes, and in training their PET too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """All that a synthesis may look at.

    Attributes
    ----------
    mri : (b, m, x, y, z) float32, T1w and FLAIR (or one of them) as :mod:`relad.data.scaling` has
        them
    tracer : (b,) int64, index into the study's tracers
    mask : (b, 1, x, y, z) bool, brain
    outside : () float32, the known value of PET outside the brain
    """

    mri: Tensor
    tracer: Tensor
    mask: Tensor
    outside: Tensor

    def sample(self, i: int) -> Self:
        """What belongs to sample i alone."""
        each = {k: v[i : i + 1] for k, v in vars(self).items() if k != "outside"}
        return replace(self, **each)

    def in_brain(self, volume: Tensor) -> Tensor:
        """Set a volume (b, 1, x, y, z) to its known value outside the brain."""
        return torch.where(self.mask, volume, self.outside)

    def brain_mean(self, value: Tensor) -> Tensor:
        """Mean over brain voxels per sample: (b, 1, x, y, z) -> (b,)."""
        weight = self.mask.to(value.dtype)
        return (value * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)


@dataclass(frozen=True)
class Batch(Condition):
    """A condition with its true PET, for training.

    Attributes
    ----------
    pet : (b, 1, x, y, z) float32, x0: PET as y of :mod:`relad.data.scaling`, about [-1, 1]
    """

    pet: Tensor

    @property
    def condition(self) -> Condition:
        """The batch without its PET."""
        return Condition(self.mri, self.tracer, self.mask, self.outside)
