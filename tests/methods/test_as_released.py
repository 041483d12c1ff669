"""Each error of the published release as a switch: how large it is, and that it can be mended."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from relad.data.batch import Batch
from relad.methods.as_released import ReleasedDiscriminator, ReleasedRelADiffusion
from relad.methods.losses.gradient_penalty import gradient_penalty
from relad.study import config

MENDED = {
    "penalty_over_three_axes": False,
    "penalty_sums_logits": False,
    "batch_norm": False,
    "clamp": False,
}
BLIND = {"mri": False, "tracer": False, "time": False}


def batch(shape=(16, 12, 20), size=2) -> Batch:
    random = torch.Generator().manual_seed(0)
    mask = torch.ones(size, 1, *shape, dtype=torch.bool)
    return Batch(
        mri=torch.randn(size, 2, *shape, generator=random),
        tracer=torch.arange(size) % 2,
        mask=mask,
        pet=0.3 * torch.randn(mask.shape, generator=random),
        outside=torch.tensor(-1.0),
        unseen=torch.zeros_like(mask),
    )


def released(**switches) -> ReleasedRelADiffusion:
    """All errors off but those named; the same weights wherever the networks are the same."""
    torch.manual_seed(0)
    params = {"network": {"channels": [8, 8]}, "discriminator": BLIND, "gamma": 1e-3}
    return ReleasedRelADiffusion(inputs=2, tracers=2, **{**params, **MENDED, **switches})


def t_of(b: Batch) -> torch.Tensor:
    return torch.tensor([5, 900])[: len(b.pet)]


def test_penalty_over_three_axes_is_160_times_too_small_at_the_releases_width():
    """Axes [1, 2, 3] of (b, 1, x, y, z) leave z, of 160 voxels, to be averaged."""
    b = batch((12, 14, 160), size=1)
    wrong, right = (
        released(penalty_over_three_axes=error).penalty(b.pet, b, t_of(b))
        for error in (True, False)
    )
    assert right.item() / wrong.item() == pytest.approx(160.0, rel=1e-5)
    x = b.pet.clone().requires_grad_(True)
    model = released()
    (gradient,) = torch.autograd.grad(model.critic(b, t_of(b))(x).sum(), x)
    as_written = gradient.square().sum(dim=[1, 2, 3]).mean()  # what the release computes
    assert wrong.item() == pytest.approx(as_written.item(), rel=1e-5)


def test_summing_logits_in_the_penalty_alone_is_the_number_of_patches_squared():
    b = batch()
    wrong, right = (
        released(penalty_sums_logits=error).penalty(b.pet, b, t_of(b)) for error in (True, False)
    )
    model = released(penalty_sums_logits=True)
    patches = model.discriminator(b.pet, b.mri, b.tracer, t_of(b))[0].numel()
    assert patches > 1
    assert wrong.item() / right.item() == pytest.approx(patches**2, rel=1e-4)
    # ... while the loss still averages them
    mean = model.discriminator(b.pet, b.mri, b.tracer, t_of(b)).flatten(1).mean(1)
    torch.testing.assert_close(model.critic(b, t_of(b))(b.pet), mean)


def test_patches_at_full_size_are_those_of_the_release():
    """62,092 patches: the sum is 3.9e9 times the mean in the penalty."""
    network = ReleasedDiscriminator(0, tracers=1, batch_norm=True, **BLIND).to("meta")
    pet = torch.empty(1, 1, 160, 180, 160, device="meta")
    nothing = torch.zeros(1, dtype=torch.long, device="meta")
    assert network(pet, pet, nothing, nothing).numel() == 62_092


def test_discriminator_has_the_parameters_of_the_release():
    network = ReleasedDiscriminator(2, tracers=3, batch_norm=True, **BLIND)
    assert sum(p.numel() for p in network.parameters()) == 11_573
    without = ReleasedDiscriminator(2, tracers=3, batch_norm=False, **BLIND)
    assert not [m for m in without.modules() if isinstance(m, nn.BatchNorm3d)]


def test_batch_norm_mixes_samples_in_the_loss_and_not_in_the_penalty():
    b = batch()
    other = replace(b, pet=torch.cat([b.pet[:1], b.pet[1:] * 3 + 1]))
    t = t_of(b)
    for error in (True, False):
        model = released(batch_norm=error)
        first = [model.critic(x, t)(x.pet)[0] for x in (b, other)]
        assert torch.equal(*first) != error, "the first sample's value depends on the second"
        # the penalty is of single samples: other logits than those that the loss sees
        in_loss = gradient_penalty(model.critic(b, t), b.pet)
        same = model.penalty(b.pet, b, t).item() == pytest.approx(in_loss.item(), rel=1e-4)
        assert same != error


def test_clamp_takes_the_gradient_of_saturated_voxels():
    values = torch.tensor([-2.0, -0.5, 0.5, 2.0]).view(1, 1, 1, 1, 4)
    x0_hat = values.requires_grad_(True)
    released(clamp=True).constrained(x0_hat).sum().backward()
    assert x0_hat.grad.flatten().tolist() == [0.0, 1.0, 1.0, 0.0]
    x0_hat.grad = None
    released(clamp=False).constrained(x0_hat).sum().backward()
    assert x0_hat.grad.flatten().tolist() == [1.0] * 4


def test_clamp_leaves_the_denoising_loss_as_it_is():
    logs = []
    for error in (True, False):
        model = released(clamp=error, lambda_adv=0.0, prediction="epsilon", weighting="epsilon")
        random = torch.Generator().manual_seed(1)
        logs.append(model.update(batch(), progress=0.5, random=random))
    assert logs[0]["denoising"].item() == logs[1]["denoising"].item()
    assert logs[0]["l1"].item() < logs[1]["l1"].item(), "no voxel was saturated"


def test_without_its_errors_the_penalty_is_the_exact_one():
    b = batch()
    model = released()
    exact = gradient_penalty(model.critic(b, t_of(b)), b.pet)
    torch.testing.assert_close(model.penalty(b.pet, b, t_of(b)), exact)


def test_the_ladder_mends_one_error_after_the_other():
    """Every rung differs from the one below in what its label says, and the last has no error."""
    methods = config.load()["methods"]
    *ladder, ours = [name for name, e in methods.items() if "release_ladder" in e["groups"]]
    assert methods[ladder[0]]["params"] == methods["rela-as-released"]["params"]
    assert methods[ours]["params"] == methods["rela"]["params"]
    first = methods[ladder[0]]["params"]
    assert all(first[name] for name in MENDED)
    assert first["lr"] == pytest.approx(10 * first["lr_discriminator"])
    assert first["discriminator"] == BLIND
    changed = []
    for below, rung in pairwise(ladder):
        assert methods[rung]["ablates"] == below
        before, after = methods[below]["params"], methods[rung]["params"]
        changed.append({k for k in after if after[k] != before.get(k)})
    assert changed == [
        {"penalty_over_three_axes"},
        {"penalty_sums_logits"},
        {"batch_norm"},
        {"clamp"},
        {"discriminator"},
        {"lr_discriminator", "x0_weighting"},
    ]
    last, paper = methods[ladder[-1]]["params"], methods["rela-paper"]["params"]
    assert not any(last[name] for name in MENDED)
    shared = set(paper) - {"discriminator"}
    assert {k: last[k] for k in shared} == {k: paper[k] for k in shared}
