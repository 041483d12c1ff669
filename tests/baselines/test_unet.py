"""The regression U-Net: L1 over the brain, for the tracer that is asked for."""

from __future__ import annotations

import pytest
import torch

from baselines.unet import RegressionUNet
from relad.data.batch import Batch
from relad.study.sampling import Sampling


def awake() -> RegressionUNet:
    torch.manual_seed(0)
    method = RegressionUNet(inputs=2, tracers=3, lr=0.0, network={"channels": [8, 8]})
    with torch.no_grad():
        for p in method.parameters():
            p.normal_(0, 0.1)
    return method


def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    mask = torch.rand(2, 1, 8, 6, 8, generator=random) > 0.4
    pet, mri = torch.randn(2, 1, 8, 6, 8), torch.randn(2, 2, 8, 6, 8)
    return Batch(mri, torch.tensor([2, 1]), mask, torch.tensor(0.0), pet, torch.zeros_like(mask))


def test_loss_and_gradient_are_those_of_the_l1_over_the_brain():
    method, b = awake(), batch()
    error = (method.generator(b.mri, b.tracer) - b.pet).abs()
    expected = torch.stack([e[m].mean() for e, m in zip(error, b.mask, strict=True)]).mean()
    weights = list(method.generator.parameters())
    own = torch.autograd.grad(expected, weights)
    log = method.update(b, progress=0.5, random=torch.Generator())
    assert log["l1"].item() == pytest.approx(expected.item(), rel=1e-5)
    for p, g in zip(weights, own, strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-3, atol=1e-6)


def test_synthesis_is_the_networks_answer_for_the_tracer():
    method, b = awake(), batch()
    pet = method.synthesize(b.condition, sampling=Sampling("ddim", 5), random=[])
    assert torch.equal(pet, method.generator(b.mri, b.tracer))
