"""The exponential moving average of a generator's weights, which is what synthesises."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


class MovingAverage:
    """Exponential moving average of a network's parameters; buffers are taken as they are.

    The decay rises as (1 + n) / (10 + n) up to ``decay``, so that short trainings average too.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.network = deepcopy(network).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, updates: int) -> None:
        decay = min(self.decay, (1 + updates) / (10 + updates))
        average = list(self.network.parameters())
        if average:
            torch._foreach_lerp_(average, list(network.parameters()), 1 - decay)
        for (name, old), value in zip(self.network.named_buffers(), network.buffers(), strict=True):
            if old.shape == value.shape:
                old.copy_(value)
            else:  # a buffer that took its size from the first batch
                owner, _, leaf = name.rpartition(".")
                setattr(self.network.get_submodule(owner), leaf, value.clone())
