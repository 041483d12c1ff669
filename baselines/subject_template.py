"""The subject-specific template: mean PET of the training fold, moved by what the MRI shows.

Linear in the MRI and closed in form: the floor that knows the anatomy. With x_i the MRI of person
i, smoothed on several scales (its intensity stands for the tissue, at the coarser scales for the
share of tissues in a region and in the whole brain), and voxelwise means over the training fold:

    y_hat(v) = mean y_k(v) + B_k(v) . (x(v) - mean x_k(v))                                      (1)
    B_k(v) = [sum_u g(u - v) S_xx(u) + lambda diag(s)]^-1 sum_u g(u - v) S_xy(u)                (2)

for tracer k, where S_xx(u) and S_xy(u) are the sums of squares and products over people around
their voxelwise means, g a Gaussian neighbourhood and s the mean of S_xx's diagonal over the brain.
It is ridge regression (Hoerl & Kennard 1970), weighted by distance to the voxel (Cleveland & Devlin
1988), as an atlas-based synthesis with regression on local intensity has it (e.g. Hofmann et al.
2008, for attenuation maps from MRI). Left and right share their sums, as other methods are trained
on mirrored volumes too; each keeps its own means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.template import VoxelMean
from relad.data.batch import Batch, Condition
from relad.methods.method import Method
from relad.methods.parameters import require_each_within, require_whole, require_within
from relad.shapes import Volume
from relad.study.sampling import Sampling


def smoothed(x: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing of every channel, sigma in voxels: (b, c, i, j, k) -> the same.

    What lies beyond the edge counts as 0.
    """
    for axis in (2, 3, 4):
        place = torch.arange(x.shape[axis], device=x.device, dtype=x.dtype)
        kernel = torch.exp(-0.5 * ((place[:, None] - place) / sigma) ** 2)
        kernel = kernel / (sigma * math.sqrt(2 * math.pi))
        x = torch.tensordot(x, kernel, dims=([axis], [0])).movedim(-1, axis)
    return x


class LocalRegression(nn.Module):
    """Equations (1) and (2) from sums that are added up over the training pairs.

    Parameters
    ----------
    channels
        MRI channels m.
    scales
        Standard deviations of the smoothing of the MRI; m x scales features f.
    neighbourhood
        Standard deviation of g.
    ridge
        lambda.
    stride
        Edge in voxels of the blocks that are averaged before anything else; the departure from the
        mean is interpolated from them. The other lengths are in blocks.
    """

    def __init__(
        self,
        channels: int,
        *,
        tracers: int,
        scales: Sequence[float],
        neighbourhood: float,
        ridge: float,
        stride: int,
    ):
        super().__init__()
        require_whole(1, stride=stride)
        require_within(0, above=True, neighbourhood=neighbourhood)
        require_within(0, ridge=ridge)
        require_each_within(0, above=True, scales=scales)
        self.channels, self.tracers = channels, tracers
        self.scales = tuple(scales)
        self.neighbourhood, self.ridge, self.stride = neighbourhood, ridge, stride
        self.mean = VoxelMean(tracers)
        # (k, f + 2, f + 2, i, j, k) sums over people of the products of [1, x, y]
        self.register_buffer("moments", torch.zeros(0))

    def pooled(self, volume: Tensor, mask: Tensor) -> Tensor:
        """Brain mean of each block, 0 where it has no brain: (b, c, x, y, z) -> (b, c, i, j, k)."""
        inside, brain = (
            F.avg_pool3d(v, self.stride, ceil_mode=True) for v in (volume * mask, mask)
        )
        return inside / brain.clamp(min=1e-6)

    def features(self, given: Condition) -> tuple[Tensor, Tensor]:
        """MRI smoothed within the brain, (b, f, i, j, k), and the blocks with brain."""
        mask = given.mask.float()
        brain = (F.avg_pool3d(mask, self.stride, ceil_mode=True) > 0).float()
        mri = self.pooled(given.mri[:, : self.channels].float(), mask)
        scales = [
            smoothed(mri, sigma) / smoothed(brain, sigma).clamp(min=1e-6) for sigma in self.scales
        ]
        return torch.cat(scales, dim=1) * brain, brain

    def add(self, batch: Batch) -> None:
        self.mean.add(batch)
        # The features are those of synthesis, of all the brain; only blocks with PET are counted.
        x, _ = self.features(replace(batch, mask=batch.mask | batch.unseen))
        seen = batch.mask.float()
        known = (F.avg_pool3d(seen, self.stride, ceil_mode=True) > 0).float()
        z = torch.cat([known, x * known, self.pooled(batch.pet.float(), seen)], dim=1)
        products = z[:, :, None] * z[:, None]
        if self.moments.numel() == 0:  # the grid is known with the first batch
            self.moments = products.new_zeros(self.tracers, *products.shape[1:])
        self.moments.index_add_(0, batch.tracer, products)

    def coefficients(self, tracer: int) -> tuple[Tensor, Tensor]:
        """Voxelwise means of x and B of a tracer: (f, i, j, k) each."""
        moments = self.moments[tracer]
        people = moments[0, 0]
        mean = moments[0, 1:] / people.clamp(min=1.0)
        around = moments[1:, 1:] - people * mean[:, None] * mean[None]
        # Where nobody had brain or PET on this side, the other one stands in.
        mean = torch.where(people > 0, mean, mean.flip(-3))
        moments, around = (m + m.flip(-3) for m in (moments, around))
        size, brain = len(mean), moments[0, 0] > 0
        # An MRI that is the same in everybody has but rounding errors around its mean.
        raw, scale = (
            torch.diagonal(m[..., brain].mean(-1).nan_to_num())[:-1]
            for m in (moments[1:, 1:], around)
        )
        scale = torch.maximum(scale, 1e-5 * raw)
        around = smoothed(around.flatten(0, 1)[None], self.neighbourhood)[0]
        around = around.unflatten(0, (size, size))[..., brain].double().movedim(-1, 0)
        penalty = torch.diag(self.ridge * scale.double() + 1e-9)
        b = torch.zeros_like(mean[:-1])
        b[:, brain] = torch.linalg.solve(around[:, :-1, :-1] + penalty, around[:, :-1, -1]).T.to(
            b.dtype
        )
        return mean[:-1], b

    def forward(self, given: Condition) -> Volume:
        """Equation (1)."""
        x, _ = self.features(given)
        change = torch.zeros_like(x[:, :1])
        for tracer in given.tracer.unique().tolist():
            mean, b = self.coefficients(tracer)
            of = given.tracer == tracer
            change[of] = ((x[of] - mean) * b).sum(1, keepdim=True)
        if self.stride > 1:
            change = F.interpolate(change, scale_factor=self.stride, mode="trilinear")
        i, j, k = given.mask.shape[2:]
        return self.mean(given.tracer) + change[..., :i, :j, :k]

    def _load_from_state_dict(self, state_dict, prefix, *args):  # type: ignore[no-untyped-def]
        """The buffer takes the stored grid's size."""
        self.moments = torch.zeros_like(state_dict[prefix + "moments"])
        super()._load_from_state_dict(state_dict, prefix, *args)


class SubjectTemplate(Method):
    """See the module's docstring.

    Parameters
    ----------
    inputs, tracers
        MRI channels and number of tracers.
    channels
        How many of the MRI channels are used; all where it is not given. With ``scaling:
        voxel_mean`` the deviations that follow the MRI add nothing to equation (1).
    scales, neighbourhood, ridge, stride
        Of :class:`LocalRegression`.
    """

    single_pass = True

    def __init__(
        self,
        *,
        inputs: int,
        tracers: int,
        channels: int | None = None,
        scales: Sequence[float] = (1.0, 4.0, 32.0),
        neighbourhood: float = 1.5,
        ridge: float = 0.05,
        stride: int = 1,
    ):
        super().__init__()
        if channels is not None:
            require_whole(1, channels=channels)
        self.generator = LocalRegression(
            inputs if channels is None else min(channels, inputs),
            tracers=tracers,
            scales=scales,
            neighbourhood=neighbourhood,
            ridge=ridge,
            stride=stride,
        )
        self.optimizers = {}

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        self.generator.add(batch)
        residual = (self.generator.mean(batch.tracer) - batch.pet).abs()
        return {"l1": batch.brain_mean(residual).mean()}

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Volume:
        return self.generator(given)
