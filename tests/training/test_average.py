"""The moving average of the weights by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from relad.data.dataset import PackedDataset
from relad.training.average import MovingAverage
from tests.helpers.trainings import settings, trainer


class Counting(nn.Module):
    """One weight, and a buffer that takes its size late."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("seen", torch.zeros(0))


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.999])
def test_the_average_is_that_of_the_recursion(decay):
    """a_n = d a_(n-1) + (1 - d) w_n with d = min(decay, (1 + n) / (10 + n)); buffers are copied."""
    network, expected = Counting(), [0.0, 0.0]
    average = MovingAverage(network, decay)
    random = torch.Generator().manual_seed(0)
    for n in range(1, 60):
        values = torch.randn(2, generator=random)
        network.weight.data = values.clone()
        network.seen = torch.full((3,), float(n))
        average.update(network, n)
        d = min(decay, (1 + n) / (10 + n))
        expected = [d * e + (1 - d) * v for e, v in zip(expected, values.tolist(), strict=True)]
        assert average.network.weight.tolist() == pytest.approx(expected, abs=1e-6)
        assert average.network.seen.tolist() == [n] * 3
    assert not average.network.weight.requires_grad


@pytest.mark.parametrize("decay", [0.2, 0.9])
def test_the_training_averages_its_generator_after_every_update(packed, decay):
    one = trainer(PackedDataset(packed), "unet", settings(ema_decay=decay))
    expected = [p.detach().clone() for p in one.method.generator.parameters()]
    for n in range(1, 7):
        one.step()
        d = min(decay, (1 + n) / (10 + n))
        own = one.method.generator.parameters()
        expected = [d * e + (1 - d) * p.detach() for e, p in zip(expected, own, strict=True)]
        for a, e in zip(one.average.network.parameters(), expected, strict=True):
            torch.testing.assert_close(a, e, atol=1e-6, rtol=1e-5)
