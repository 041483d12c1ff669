"""Mirrored volumes and mirrored means go together, and neither comes unasked."""

from __future__ import annotations

import pytest
import torch

from relad.data.dataset import PackedDataset
from tests.helpers.trainings import settings, trainer


@pytest.mark.parametrize("flip", [True, False])
def test_augmentation_mirrors_batches_and_the_means_they_are_compared_with(packed, flip):
    one = trainer(PackedDataset(packed), "unet", settings(flip_augmentation=flip))
    for mean in (one.scaling.pet_mean, one.scaling.mri_mean):
        assert torch.equal(mean, mean.flip(1)) == flip
    plain = 0
    for update in range(4):
        batch = one.loader(update, last=False)
        unmirrored = one.volumes.batch(one.batches(update)[0], one.scaling)
        plain += sum(map(torch.equal, batch.mri, unmirrored.mri))
    assert (plain == 4 * len(batch.mri)) != flip
