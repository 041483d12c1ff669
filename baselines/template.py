"""The mean PET of the training fold, per tracer: what can be had without looking at the MRI."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from relad.data.batch import Batch, Condition
from relad.methods.method import Method
from relad.shapes import Volume
from relad.study.sampling import Sampling


class VoxelMean(nn.Module):
    """Running sum and count of brain voxels per tracer, (k, 1, x, y, z)."""

    def __init__(self, tracers: int):
        super().__init__()
        self.tracers = tracers
        self.register_buffer("total", torch.zeros(0))
        self.register_buffer("count", torch.zeros(0))

    def add(self, batch: Batch) -> None:
        if self.total.numel() == 0:  # the grid is known with the first batch
            shape = (self.tracers, *batch.pet.shape[1:])
            self.total = torch.zeros(shape, device=batch.pet.device)
            self.count = torch.zeros(shape, device=batch.pet.device)
        weight = batch.mask.float()
        self.total.index_add_(0, batch.tracer, batch.pet * weight)
        self.count.index_add_(0, batch.tracer, weight)

    def forward(self, tracer: Tensor) -> Tensor:
        """(b,) -> (b, 1, x, y, z).

        Where no training brain has the voxel, the tracer's mean over all brain voxels stands in.
        """
        overall = self.total.flatten(1).sum(1) / self.count.flatten(1).sum(1).clamp(min=1)
        overall = overall[:, None, None, None, None]
        mean = torch.where(self.count > 0, self.total / self.count.clamp(min=1), overall)
        return mean[tracer]

    def _load_from_state_dict(self, state_dict, prefix, *args):  # type: ignore[no-untyped-def]
        """The buffers take the stored grid's size."""
        for name in ("total", "count"):
            setattr(self, name, torch.zeros_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *args)


class MeanTemplate(Method):
    """Averages the training PET; the MRI serves only for its brain mask."""

    single_pass = True
    reads_mri = False

    def __init__(self, *, inputs: int, tracers: int):
        super().__init__()
        self.generator = VoxelMean(tracers)
        self.optimizers = {}

    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        self.generator.add(batch)
        residual = (self.generator(batch.tracer) - batch.pet).abs()
        return {"l1": batch.brain_mean(residual).mean()}

    @torch.no_grad()
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Volume:
        return self.generator(given.tracer)
