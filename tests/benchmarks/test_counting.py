"""Operations, bytes and memory counted from shapes are those of the real computation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.contestants import contestant, on_meta, shapes_only
from benchmarks.counting import Counter, count
from benchmarks.gpu import learned
from benchmarks.measure import counted_step, cycle, training_step
from relad.study import config
from relad.study.sampling import Sampling

SIZE = (16, 20, 12)


def test_a_convolution_by_hand():
    conv = nn.Conv3d(2, 3, 3, padding=1, bias=False)
    x = torch.zeros(1, 2, 4, 5, 6)
    found = count(lambda: conv(x), x, conv.weight)
    voxels = 4 * 5 * 6
    assert found["operations"] == 2 * 27 * 2 * 3 * voxels
    assert found["bytes"] == 4 * (2 * voxels + 27 * 2 * 3 + 3 * voxels)
    assert found["memory"] == found["bytes"]


def test_memory_is_of_what_is_alive():
    def work():
        a = torch.ones(1000)
        b = a + 1
        del a
        return b * 2

    assert count(work)["memory"] == 2 * 4000


def test_views_move_nothing():
    x = torch.zeros(10, 10)
    assert count(lambda: x.view(100).unsqueeze(0).expand(5, 100))["bytes"] == 0


@pytest.mark.parametrize("name", ["rela", "pix2pix"])
def test_shapes_alone_count_what_a_real_step_does(name):
    who = contestant(name, config.load())
    step = training_step(who, SIZE, 2, torch.device("cpu"))
    step(1)
    with Counter() as real:
        step(cycle(who))
    assert counted_step(who, SIZE, 2)["operations"] == real.operations / cycle(who)


@pytest.mark.parametrize("name", learned(config.load()))
def test_every_method_runs_on_shapes_alone(name):
    method, batch = on_meta(contestant(name, config.load()), SIZE, 1)
    with shapes_only():
        losses = method.update(batch, progress=0.5, random=torch.Generator())
        image = method.eval().synthesize(
            batch.condition, sampling=Sampling("ddim", 2), random=[torch.Generator()]
        )
    assert losses
    assert image.is_meta
    assert image.shape == (1, 1, *SIZE)


def test_operations_grow_with_the_volume():
    who = contestant("unet", config.load())
    small, large = (counted_step(who, size, 1) for size in ((16, 16, 16), (32, 32, 32)))
    assert large["operations"] == pytest.approx(8 * small["operations"], rel=0.01)
    assert 2 < large["memory_mb"] / small["memory_mb"] < 8.1
