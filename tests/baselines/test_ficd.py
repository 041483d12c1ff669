"""FICD is an entry of the configuration, not a class: RelA-Diffusion without its adversary."""

from __future__ import annotations

import pytest
import torch

from relad.data.batch import Batch
from relad.methods.method import build
from relad.methods.reladiff import RelADiffusion
from relad.study import config
from relad.study.paths import REPOSITORY
from relad.study.settings import TrainedMethod, typed


def method(**params):
    entry = typed(TrainedMethod, config.load()["methods"]["ficd"])
    entry.params.update({"network": {"channels": [8, 8]}, **params})
    torch.manual_seed(0)
    made = build("ficd", entry, inputs=2, tracers=2)
    torch.nn.init.normal_(made.generator.last.weight, std=0.05)
    return made


def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    shape = (2, 1, 8, 6, 10)
    mask = torch.rand(shape, generator=random) > 0.3
    return Batch(
        mri=torch.randn(2, 2, *shape[2:], generator=random),
        tracer=torch.tensor([0, 1]),
        mask=mask,
        pet=torch.where(mask, 0.3 * torch.randn(shape, generator=random), -1.0),
        outside=torch.tensor(-1.0),
        unseen=torch.zeros_like(mask),
    )


@pytest.mark.parametrize("study", ["config.yaml", "adni.yaml"])
def test_the_entry_is_the_papers_method_without_its_adversary(study):
    methods = config.load(REPOSITORY / "config" / study)["methods"]
    ficd, paper = methods["ficd"], methods["rela-paper"]
    assert ficd["params"] == paper["params"] | {"lambda_adv": 0.0}
    assert (ficd["class"], ficd["sampling"]) == (paper["class"], paper["sampling"])
    assert ficd["params"]["prediction"] == ficd["params"]["weighting"] == "epsilon"
    assert ficd["params"]["lambda_l1"] == 1.0


def test_its_gradient_is_that_of_the_noise_error_and_the_voxel_constraint():
    """||epsilon - eps_hat||^2 + w(t) ||x0_hat - x0||_1, and nothing else."""
    b, ours = batch(), method()
    assert type(ours) is RelADiffusion
    assert list(ours.optimizers) == ["generator"] and not hasattr(ours, "discriminator")
    ours.optimizers["generator"].step = lambda: None
    log = ours.update(b, progress=0.9, random=torch.Generator().manual_seed(3))
    assert set(log) == {"denoising", "l1"}
    gradient = [p.grad.clone() for p in ours.generator.parameters()]
    x_t, t = ours.noised(b, torch.Generator().manual_seed(3))
    eps_hat = ours.generator(torch.cat([x_t, b.mri], 1), b.tracer, t)
    abar = ours.schedule.exact[t].float().view(-1, 1, 1, 1, 1)
    epsilon = (x_t - abar.sqrt() * b.pet) / (1 - abar).sqrt()
    x0_hat = (x_t - (1 - abar).sqrt() * eps_hat) / abar.sqrt()
    w = (abar / (1 - abar)).sqrt().clamp(max=1.0)
    loss = sum(
        (epsilon - eps_hat)[i][b.mask[i]].square().mean()
        + w[i].squeeze() * (x0_hat - b.pet)[i][b.mask[i]].abs().mean()
        for i in range(2)
    )
    exact = torch.autograd.grad(loss / 2, list(ours.generator.parameters()))
    for found, expected in zip(gradient, exact, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)
