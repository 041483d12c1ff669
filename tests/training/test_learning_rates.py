"""Every optimiser follows its schedule from its own rate, in every update."""

from __future__ import annotations

import pytest
import torch

from relad.data.dataset import PackedDataset
from relad.methods.method import Method
from tests.helpers.trainings import settings, trainer


@pytest.mark.parametrize("constant", [False, True])
def test_rates_are_the_base_rates_times_the_schedule_of_each_optimiser(packed, constant):
    part = settings(updates=40)
    own = {"lr": 3e-3, "lr_discriminator": 7e-4, "constant_lr_discriminator": constant}
    part["methods"]["rela"]["params"] |= own
    one = trainer(PackedDataset(packed), "rela", part)
    seen = []

    def update(batch, *, progress, random):
        rates = {name: o.param_groups[0]["lr"] for name, o in one.method.optimizers.items()}
        seen.append((progress, rates))
        return {"denoising": torch.tensor(0.0)}

    one.method.update = update
    while one.done < one.total:
        one.step()
    assert [progress for progress, _ in seen] == [n / 40 for n in range(40)]
    for progress, rates in seen:
        # a twentieth to warm up, constant to the half, linear to zero
        factor = min(1.0, 20 * progress + 0.01, 2 * (1 - progress))
        expected = {"generator": 3e-3 * factor, "discriminator": 7e-4 * (1 if constant else factor)}
        assert rates == pytest.approx(expected), progress


class Slope(Method):
    """One weight with the loss 3 w."""

    def __init__(self):
        super().__init__()
        self.generator = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(1))])
        self.optimizers = {"w": torch.optim.SGD(self.generator.parameters(), lr=1.0)}

    def update(self, batch, *, progress, random):
        self.descend("w", 3 * self.generator[0].sum())
        return {}

    def synthesize(self, batch, *, sampling, random):
        raise NotImplementedError


def test_every_update_follows_its_own_gradient_alone():
    method = Slope()
    for n in range(1, 4):
        method.update(None, progress=0.0, random=None)
        assert method.generator[0].item() == -3.0 * n
