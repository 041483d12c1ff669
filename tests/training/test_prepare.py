"""Before the first update a method sees every training pair once, unmirrored, and nobody else."""

from __future__ import annotations

import pytest
import torch

from relad.data.dataset import PackedDataset
from tests.helpers.trainings import settings, trainer


@pytest.mark.parametrize("size", [2, 4])
def test_a_method_is_prepared_with_all_training_pairs_as_they_lie(packed, size):
    part = settings(batch_size=size, validation={"subjects": 1, "every": 4, "steps": 1})
    one = trainer(PackedDataset(packed), "unet", part)
    seen = []
    one.method.prepare = lambda batches: seen.extend(batches)
    one.step()
    count = len(seen)
    one.step()
    assert len(seen) == count, "prepared again"
    expected = one.volumes.batch(one.pairs, one.scaling)
    for name in ("mri", "pet", "mask", "tracer"):
        assert torch.equal(torch.cat([getattr(b, name) for b in seen]), getattr(expected, name))
