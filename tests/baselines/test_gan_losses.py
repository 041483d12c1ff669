"""The losses of the conditional GANs, and what they send to G and D, against their formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baselines.pix2pix import Pix2Pix
from baselines.resvit import ResViT
from relad.data.batch import Batch
from relad.methods.method import Method

SMALL = {
    "pix2pix": (Pix2Pix, {"channels": [4, 4, 4]}),
    "resvit": (ResViT, {"base_channels": 4, "edge_kernel": 3, "width": 16, "depth": 1}),
}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    shape = (2, 1, 16, 20, 16)
    mask = torch.rand(shape, generator=random) > 0.3
    pet = (0.4 * torch.randn(shape, generator=random)).clamp(-1, 1)
    mri = torch.randn(2, 2, *shape[2:], generator=random)
    outside = torch.tensor(-1.0)
    pet = torch.where(mask, pet, outside)
    return Batch(mri, torch.tensor([0, 1]), mask, outside, pet, torch.zeros_like(mask))


def log_sigmoid(x: Tensor) -> Tensor:
    return torch.where(x > 0, -torch.log1p(torch.exp(-x)), x - torch.log1p(torch.exp(x)))


#: l(logits, label) of the two kinds, voxel by voxel.
DISTANCE = {
    "bce": lambda x, real: -log_sigmoid(x) if real else -log_sigmoid(-x),
    "lsgan": lambda x, real: (x - real) ** 2,
}


class Watched:
    """A GAN whose update computes its losses and takes no step; what its networks were asked."""

    def __init__(self, name: str, b: Batch, **options: object):
        torch.manual_seed(0)
        make, small = SMALL[name]
        small = {**small, "discriminator_channels": 4, "discriminator_levels": 2}
        self.method: Method = make(inputs=2, tracers=2, **small, **options).double()
        with torch.no_grad():  # from N(0, 0.02), where nothing would be told from rounding
            for p in self.method.parameters():
                p.mul_(3)
        self.batch = b
        self.losses: dict[str, Tensor] = {}
        self.shown: list[tuple[Tensor, ...]] = []
        self.logits: list[Tensor] = []
        self.fake: list[Tensor] = []
        self.method.descend = self.losses.__setitem__
        self.method.discriminator.register_forward_hook(self._asked)
        self.method.generator.register_forward_hook(lambda *given: self.fake.append(given[-1]))
        self.log = self.method.update(b, progress=0.5, random=torch.Generator().manual_seed(0))

    def _asked(self, network: object, given: tuple[Tensor, ...], answer: Tensor) -> None:
        self.shown.append(given)
        self.logits.append(answer)

    def logits_of(self, pet: Tensor) -> Tensor:
        """D of other PET under the conditions of its first call, which was shown the true PET."""
        truth, replaced, found = self.batch.pet, [], 0
        for volume in self.shown[0]:
            channels = []
            for channel in volume.split(1, dim=1):
                same = channel.shape == truth.shape and torch.equal(channel, truth)
                found += same
                channels.append(pet if same else channel)
            replaced.append(torch.cat(channels, dim=1))
        assert found == 1, "D was not shown the true PET first"
        return self.method.discriminator(*replaced)


@pytest.mark.parametrize("gan", DISTANCE)
@pytest.mark.parametrize("name", SMALL)
def test_losses_and_gradients_are_those_of_the_formulas(name, gan):
    b, lambda_l1 = batch(), 7.0
    watched = Watched(name, b, gan=gan, lambda_l1=lambda_l1)
    method, distance = watched.method, DISTANCE[gan]
    losses = dict(watched.losses)
    fake = torch.where(b.mask, watched.fake[0], -1.0)
    real_logits, fake_logits = watched.logits_of(b.pet), watched.logits_of(fake)
    l1 = torch.stack([(f - x).abs()[m].mean() for f, x, m in zip(fake, b.pet, b.mask, strict=True)])
    terms = {
        "discriminator": (distance(real_logits, 1) + distance(fake_logits, 0)).mean() / 2,
        "adversarial": distance(fake_logits, 1).mean(),
        "l1": l1.mean(),
    }
    for term, value in terms.items():
        assert watched.log[term].item() == pytest.approx(value.item(), rel=1e-5), term
    whole = terms["adversarial"] + lambda_l1 * terms["l1"]
    for network, found, expected in (
        (method.discriminator, losses["discriminator"], terms["discriminator"]),
        (method.generator, losses["generator"], whole),
    ):
        weights = list(network.parameters())
        pairs = zip(*(gradients(loss, weights) for loss in (found, expected)), strict=True)
        for a, e in pairs:
            torch.testing.assert_close(a, e, rtol=1e-3, atol=1e-5)  # logits are float32 in it
    # Both terms move G, and by other amounts than the test could overlook.
    of_terms = [
        gradients(terms[term], list(method.generator.parameters())) for term in list(terms)[1:]
    ]
    assert all(max(float(g.abs().max()) for g in of) > 1e-4 for of in of_terms)


def gradients(loss: Tensor, weights: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]


@pytest.mark.parametrize("name", SMALL)
def test_the_discriminators_loss_sends_nothing_to_the_generator(name):
    watched = Watched(name, batch())
    found = gradients(watched.losses["discriminator"], list(watched.method.generator.parameters()))
    assert not any(g.any() for g in found)


@pytest.mark.parametrize("name", SMALL)
def test_the_discriminator_is_conditional_and_sees_no_background_of_the_generators(name):
    """Isola et al. 2017: other MRI or another tracer beside the same PET, other logits."""
    b = batch()
    watched = Watched(name, b)
    for given in watched.shown:
        channels = [channel for volume in given for channel in volume.split(1, dim=1)]
        assert any((channel[~b.mask] == -1).all() for channel in channels)
    for other in (replace(b, mri=b.mri + 1), replace(b, tracer=1 - b.tracer)):
        assert not torch.equal(Watched(name, other).logits[0], watched.logits[0])


@pytest.mark.parametrize(("name", "gan"), [("pix2pix", "bce"), ("resvit", "lsgan")])
def test_the_authors_settings_are_the_defaults(name, gan):
    default, same = Watched(name, batch()), Watched(name, batch(), gan=gan, lambda_l1=100.0)
    for loss in ("generator", "discriminator"):
        assert torch.equal(default.losses[loss], same.losses[loss])
    for optimizer in default.method.optimizers.values():
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))
