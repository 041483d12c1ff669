"""The mean template where people's brains differ."""

from __future__ import annotations

import numpy as np
import torch

from baselines.template import MeanTemplate
from relad.data.batch import Batch


def test_every_voxel_is_the_mean_over_those_whose_brain_has_it():
    """By a loop over voxels; where nobody's has it, the tracer's mean over all brains stands in."""
    random = np.random.default_rng(0)
    shape, people = (4, 3, 5), 5
    pet = random.normal(size=(people, *shape)).astype(np.float32)
    mask = random.random((people, *shape)) > 0.6
    tracer = np.array([0, 1, 0, 1, 0])
    seen_by = [mask[tracer == k].sum(0) for k in (0, 1)]
    assert all((count == 0).any() and (count > 1).any() for count in seen_by)
    method = MeanTemplate(inputs=1, tracers=2)
    for start in (0, 2, 4):
        part = slice(start, start + 2)
        volumes = [torch.from_numpy(a[part])[:, None] for a in (mask, pet)]
        index = torch.from_numpy(tracer[part])
        none = torch.zeros_like(volumes[0])
        batch = Batch(volumes[1], index, volumes[0], torch.tensor(-1.0), volumes[1], none)
        method.update(batch, progress=0.0, random=torch.Generator())
    for k in (0, 1):
        mine = tracer == k
        everywhere = pet[mine][mask[mine]].mean()
        expected = np.full(shape, everywhere)
        for voxel in zip(*np.nonzero(seen_by[k]), strict=True):
            expected[voxel] = np.mean(
                [pet[i][voxel] for i in np.nonzero(mine)[0] if mask[i][voxel]]
            )
        found = method.generator(torch.tensor([k]))[0, 0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
