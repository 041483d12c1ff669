"""Every part of every configured generator moves with its loss: none is cut off."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from relad.data.batch import Batch
from relad.methods.method import build
from relad.study.settings import TrainSettings
from tests.helpers.settings import of

METHODS = of(TrainSettings).methods
TRACERS = 2


def batch(inputs: int) -> Batch:
    random = torch.Generator().manual_seed(0)
    shape = (2, 1, 16, 20, 16)
    mask = torch.rand(shape, generator=random) > 0.3
    mri = torch.randn(2, inputs, *shape[2:], generator=random)
    pet = torch.where(mask, 0.4 * torch.randn(shape, generator=random), -1.0)
    return Batch(mri, torch.tensor([0, 1]), mask, torch.tensor(-1.0), pet, torch.zeros_like(mask))


def by_input(module: nn.Module, gradient: Tensor) -> Tensor:
    """Size of a weight's gradient for each input of its layer; for an embedding, for each class."""
    axis = 0 if isinstance(module, nn.ConvTranspose3d | nn.Embedding) else 1
    return gradient.abs().movedim(axis, 0).flatten(1).sum(1)


@pytest.mark.parametrize("name", METHODS)
def test_every_input_of_every_layer_counts(name):
    entry = METHODS[name]
    torch.manual_seed(0)
    method = build(name, entry, inputs=len(entry.inputs), tracers=TRACERS)
    with torch.no_grad():  # wake the branches that start at zero
        for p in method.generator.parameters():
            if not p.any():
                p.normal_(0, 0.05)
    losses: dict[str, Tensor] = {}
    method.descend = losses.__setitem__
    method.update(batch(len(entry.inputs)), progress=0.5, random=torch.Generator().manual_seed(0))
    weights = dict(method.generator.named_parameters())
    if not weights:
        assert method.single_pass
        return
    found = torch.autograd.grad(losses["generator"], list(weights.values()), allow_unused=True)
    dead = []
    for (path, weight), gradient in zip(weights.items(), found, strict=True):
        module = method.generator.get_submodule(path.rpartition(".")[0])
        if gradient is None or not gradient.any():
            # A constant before a normalisation is taken out again: a bias may have no effect.
            dead += [path] if weight.ndim > 1 else []
        elif weight.ndim > 1:
            # A few activations may be off for two small volumes; a lost skip is half of them.
            silent = (by_input(module, gradient) == 0).double().mean()
            dead += [path] if silent > 0.25 else []
    assert not dead
