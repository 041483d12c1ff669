"""A patch discriminator without normalisation layers.

R1 and R2 bound the gradient of D for each sample; a normalisation layer would mix samples or
rescale the very gradient that is bounded (Huang et al. 2024), so there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from relad.methods.networks.blocks import pad_to_multiple, space_to_depth, time_embedding
from relad.methods.parameters import require_kinds, require_whole, require_widths
from relad.shapes import Float, Index, Volume


class PatchDiscriminator(nn.Module):
    """Patch critic of a PET volume, conditioned on what its three switches say.

    MRI comes in as channels beside the PET; tracer and time as a bias of every patch's features.

    Parameters
    ----------
    mri_channels
        MRI channels that :meth:`forward` is given.
    tracers
        Number of tracers.
    mri, tracer, time
        Whether D sees the MRI, the tracer, and the time t at which the clean prediction was made
        (the truth is shown with the t of its partner).
    channels
        Width of each level; every level after the first halves the size.
    stem
        Space-to-depth factor of the input.
    """

    def __init__(
        self,
        mri_channels: int,
        *,
        tracers: int,
        mri: bool = True,
        tracer: bool = True,
        time: bool = False,
        channels: Sequence[int] = (16, 32, 64),
        stem: int = 2,
    ):
        super().__init__()
        require_kinds(PatchDiscriminator, {"mri": mri, "tracer": tracer, "time": time})
        require_widths(channels=channels)
        require_whole(1, stem=stem)
        self.sees_mri = mri and mri_channels > 0
        self.stem = stem
        self.multiple = stem * 2 ** (len(channels) - 1)
        in_channels = (1 + mri_channels * mri) * stem**3
        self.first, self.levels, self.last = self.layers(in_channels, tuple(channels))
        width = self.first.out_channels
        self.tracer = nn.Embedding(tracers, width) if tracer else None
        self.time = (
            nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
            if time
            else None
        )

    def layers(
        self, in_channels: int, channels: Sequence[int]
    ) -> tuple[nn.Conv3d, nn.ModuleList, nn.Module]:
        """First convolution, one module per further level, and the map to logits."""
        first = nn.Conv3d(in_channels, channels[0], 3, padding=1)
        levels = nn.ModuleList(
            nn.Conv3d(c, deeper, 4, stride=2, padding=1) for c, deeper in pairwise(channels)
        )
        return first, levels, nn.Conv3d(channels[-1], 1, 3, padding=1)

    def forward(
        self,
        pet: Volume,
        mri: Float[Tensor, "b m x y z"],
        tracer: Index,
        t: Index,
    ) -> Float[Tensor, "b 1 i j k"]:
        """Patch logits of PET under its conditions."""
        return self.judge(pet, self.conditions(mri, tracer, t))

    def conditions(
        self, mri: Float[Tensor, "b m x y z"], tracer: Index, t: Index
    ) -> Float[Tensor, "_ c _ _ _"]:
        """What the conditions add to the first layer's features, alike for every PET.

        The first layer is linear in PET and MRI side by side, so that its part of the MRI, the
        greatest of D's costs, need not be computed again for each PET that is judged under it.
        """
        added = self.first.bias[None, :, None, None, None]
        if self.sees_mri:
            added = self._first(mri, self.first.weight[:, self.stem**3 :], self.first.bias)
        if self.tracer is not None:
            added = added + self.tracer(tracer)[..., None, None, None]
        if self.time is not None:
            embedding = time_embedding(t, self.time[0].in_features).to(mri.dtype)
            added = added + self.time(embedding)[..., None, None, None]
        return added

    def judge(
        self, pet: Volume, conditions: Float[Tensor, "_ c _ _ _"]
    ) -> Float[Tensor, "b 1 i j k"]:
        """Patch logits of PET under what :meth:`conditions` gave."""
        h = self._first(pet, self.first.weight[:, : self.stem**3]) + conditions
        h = F.leaky_relu(h, 0.2)
        for level in self.levels:
            h = F.leaky_relu(level(h), 0.2)
        return self.last(h)

    def _first(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The first convolution of some of its channels."""
        x, _ = pad_to_multiple(x, self.multiple)  # logits have no voxel grid to crop back to
        stride, padding = self.first.stride, self.first.padding
        return F.conv3d(space_to_depth(x, self.stem), weight, bias, stride, padding)
