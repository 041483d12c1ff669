"""The scaling in which methods see MRI and PET: centred and scaled by the training fold, or not.

Like the SUVR window these are fixed, invertible, linear maps; they belong to the data and are the
same for all methods. With ``pet`` and ``mri`` in the units of the packed dataset, tracer k and
modality j, inside the brain:

``voxel_mean``
    y = (pet - mean_k) / (3 sd_k), and beside each MRI channel its deviation
    (mri - mean_j) / (3 sd_j); the means are voxelwise over the training fold, mirrored and averaged
    where training mirrors its volumes; the standard deviations are of what remains. Outside the
    brain y and the deviations are 0. A method then learns how a person's PET differs from the mean
    from how the MRI does, and starts from the mean: short trainings on few subjects need this.
``window``
    y = pet and the MRI alone, outside -1: the packed units themselves, as the paper has it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from relad.data.dataset import PackedDataset
from relad.shapes import Float, Index, Mask, Volume

#: PET and MRI outside the brain mask in the units of the packed dataset.
BACKGROUND = -1.0
KINDS = ("voxel_mean", "window")

#: Reads one (x, y, z) array.
Read = Callable[[], np.ndarray]


def _mean_and_scale(
    volumes: list[tuple[int, Read, Read]], count: int, shape: tuple[int, int, int], mirrored: bool
) -> tuple[Tensor, Tensor]:
    """Voxelwise means (count, x, y, z) and three standard deviations around them (count,).

    ``volumes`` lists (channel, how to read the volume, how to read its mask), so that those of one
    are in memory at a time.
    """
    total, weight = np.zeros((count, *shape)), np.zeros((count, *shape))
    for channel, read, read_mask in volumes:
        mask = read_mask()
        total[channel] += np.where(mask, read(), 0)
        weight[channel] += mask
    if mirrored:
        total, weight = (a + a[:, ::-1] for a in (total, weight))
    # Where no training brain has the voxel, the channel's mean over the brain stands in.
    overall = total.sum((1, 2, 3)) / np.maximum(weight.sum((1, 2, 3)), 1)
    mean = np.where(weight > 0, total / np.maximum(weight, 1), overall[:, None, None, None])
    mean = mean.astype(np.float32)
    square, voxels = np.zeros(count), np.zeros(count)
    for channel, read, read_mask in volumes:
        mask = read_mask()
        square[channel] += np.square(read() - mean[channel], dtype=np.float64)[mask].sum()
        voxels[channel] += mask.sum()
    scale = 3 * np.sqrt(square / np.maximum(voxels, 1))
    scale[scale == 0] = 1.0  # a tracer without training PET
    return torch.from_numpy(mean), torch.from_numpy(scale.astype(np.float32))


class Scaling(nn.Module):
    """The map between packed volumes and what methods see.

    Attributes
    ----------
    pet_mean : (k, x, y, z) or (k, 1, 1, 1) float32
    pet_scale : (k,) float32
    mri_mean : (m, x, y, z) float32; (0, 1, 1, 1) where deviations are not given
    mri_scale : (m,) float32
    outside : () float32, value of y outside the brain
    """

    def __init__(self, state: dict[str, Tensor]):
        super().__init__()
        for name in ("pet_mean", "pet_scale", "mri_mean", "mri_scale", "outside"):
            self.register_buffer(name, state[name])

    @classmethod
    def window(cls, tracers: int) -> Scaling:
        """The scaling ``window``, which is estimated from nothing."""
        return cls(
            {
                "pet_mean": torch.zeros(tracers, 1, 1, 1),
                "pet_scale": torch.ones(tracers),
                "mri_mean": torch.zeros(0, 1, 1, 1),
                "mri_scale": torch.zeros(0),
                "outside": torch.tensor(BACKGROUND),
            }
        )

    @classmethod
    def of(
        cls,
        kind: str,
        data: PackedDataset,
        pairs: list[tuple[int, int]],
        channels: list[int],
        *,
        mirrored: bool,
    ) -> Scaling:
        """Estimate the scaling from training pairs and the MRI channels a method is given."""
        tracers = len(data.tracers)
        if kind == "window":
            return cls.window(tracers)
        if kind != "voxel_mean":
            raise ValueError(f"data scaling {kind!r} is none of {', '.join(KINDS)}")
        pet = [
            (k, lambda i=i, k=k: data.pet[i, k], lambda i=i, k=k: data.pair_mask(i, k))
            for i, k in pairs
        ]
        subjects = sorted({i for i, _ in pairs})
        mri = [
            (j, lambda i=i, c=c: data.mri[i, c], lambda i=i: data.mask[i])
            for i in subjects
            for j, c in enumerate(channels)
        ]
        pet_mean, pet_scale = _mean_and_scale(pet, tracers, data.shape, mirrored)
        mri_mean, mri_scale = _mean_and_scale(mri, len(channels), data.shape, mirrored)
        return cls(
            {
                "pet_mean": pet_mean,
                "pet_scale": pet_scale,
                "mri_mean": mri_mean,
                "mri_scale": mri_scale,
                "outside": torch.tensor(0.0),
            }
        )

    def inputs(self, mri: Float[Tensor, "b m x y z"], mask: Mask) -> Float[Tensor, "b n x y z"]:
        """MRI as methods see it, n = m or 2 m channels."""
        if not len(self.mri_scale):
            return mri
        scale = self.mri_scale[:, None, None, None]
        return torch.cat([mri, torch.where(mask, (mri - self.mri_mean) / scale, 0.0)], dim=1)

    def to_target(
        self,
        pet: Volume,
        tracer: Index,
        mask: Mask,
    ) -> Volume:
        """Packed PET to y."""
        mean, scale = self._of(tracer)
        return torch.where(mask, (pet - mean) / scale, self.outside)

    def to_pet(
        self,
        target: Volume,
        tracer: Index,
        mask: Mask,
    ) -> Volume:
        """y back to packed PET: never below -1, and -1 outside the brain."""
        mean, scale = self._of(tracer)
        return torch.where(mask, (target * scale + mean).clamp(min=BACKGROUND), BACKGROUND)

    def _of(self, tracer: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale of each sample's tracer, broadcast to (b, 1, x, y, z)."""
        return self.pet_mean[tracer][:, None], self.pet_scale[tracer][:, None, None, None, None]


def input_channels(kind: str, modalities: int) -> int:
    """Channels of :meth:`Scaling.inputs` for a number of MRI modalities."""
    return 2 * modalities if kind == "voxel_mean" else modalities
