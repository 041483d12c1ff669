"""Every method and ablation of the configuration keeps the protocol; a new entry is tested too."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch

from relad.data.batch import Batch
from relad.errors import ReladError
from relad.methods.method import build
from relad.study.sampling import SAMPLERS, Sampling
from relad.study.settings import TrainSettings
from tests.helpers.settings import of

METHODS = of(TrainSettings).methods
TRACERS = 3


def batch(inputs: int) -> Batch:
    random = torch.Generator().manual_seed(0)
    shape = (2, 1, 16, 20, 16)
    mask = torch.rand(shape, generator=random) > 0.5
    return Batch(
        mri=torch.rand(2, inputs, *shape[2:], generator=random) * 2 - 1,
        pet=torch.where(mask, torch.rand(shape, generator=random) - 0.5, -1.0),
        tracer=torch.tensor([0, 2]),
        mask=mask,
        outside=torch.tensor(-1.0),
        unseen=torch.zeros_like(mask),
    )


@pytest.fixture(scope="module", params=list(METHODS))
def trained(request):
    """A method of the configuration after two updates."""
    entry = METHODS[request.param]
    torch.manual_seed(0)
    method = build(request.param, entry, inputs=len(entry.inputs), tracers=TRACERS)
    for i in range(2):
        losses = method.update(
            batch(len(entry.inputs)),
            progress=0.5 + i / 4,
            random=torch.Generator().manual_seed(i),
        )
    return request.param, method, losses


def test_update_changes_the_generator_and_logs_finite_scalars(trained):
    name, method, losses = trained
    torch.manual_seed(0)
    inputs = len(METHODS[name].inputs)
    fresh = build(name, METHODS[name], inputs=inputs, tracers=TRACERS).generator.state_dict()
    now = method.generator.state_dict()
    assert any(fresh[k].shape != v.shape or not torch.equal(fresh[k], v) for k, v in now.items()), (
        "two updates changed nothing"
    )
    assert losses
    for value in losses.values():
        assert value.ndim == 0
        assert torch.isfinite(value)
        assert not value.requires_grad


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_synthesis_repeats_and_is_not_given_the_truth(trained, sampler):
    name, method, _ = trained
    b = batch(len(METHODS[name].inputs))
    given = b.condition
    assert not hasattr(given, "pet")
    sampling = Sampling(sampler, 2)

    def synthesize(seed=0, sampling=sampling):
        random = [torch.Generator().manual_seed(seed + i) for i in range(len(b.mri))]
        return method.synthesize(given, sampling=sampling, random=random)

    pet = synthesize()
    assert pet.shape == b.pet.shape
    assert torch.isfinite(pet).all()
    warmer = synthesize(sampling=replace(sampling, temperature=2.0))
    assert torch.equal(pet, warmer) != method.stochastic
    assert not pet.requires_grad
    assert torch.equal(pet, synthesize()), "the same seed gave another volume"
    assert torch.equal(pet, synthesize(1)) != method.stochastic, "another seed must tell"
    assert method.evaluations(sampling) == (sampling.evaluations if method.stochastic else 1)
    assert method.sampler_name(sampling) == (sampling.name if method.stochastic else "forward")


def test_state_survives_a_checkpoint(trained):
    name, method, _ = trained
    buffer = io.BytesIO()
    torch.save(method.state_dict(), buffer)
    buffer.seek(0)
    inputs = len(METHODS[name].inputs)
    other = build(name, METHODS[name], inputs=inputs, tracers=TRACERS)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    for key, value in method.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)


def test_learning_rate_warms_up_and_decays(trained):
    _, method, _ = trained
    for name in method.optimizers:
        factors = [method.lr_factor(i / 100, name) for i in range(100)]
        if set(factors) == {1.0}:  # a method may hold the rate of its discriminator
            assert name != "generator"
            continue
        assert 0 < factors[0] <= factors[4] <= factors[5] == 1.0  # GANs have no warm-up
        assert factors[5:] == sorted(factors[5:], reverse=True)
        assert 0 < factors[-1] < 0.05


def test_unknown_parameter_and_class_are_named():
    entry = METHODS["unet"]
    for wrong, near in (("net_work", "network"), ("q", "lr, network")):
        told = f"'unet': has no parameter '{wrong}' -- known: {near}$"
        with pytest.raises(ReladError, match=told):
            build("unet", replace(entry, params={wrong: 1}), inputs=2, tracers=TRACERS)
    with pytest.raises(ReladError, match=r"'unet'.*NoSuch"):
        build("unet", replace(entry, class_="baselines.unet:NoSuch"), inputs=2, tracers=TRACERS)


@pytest.mark.parametrize(
    "old", ["relad.reladiff:RelADiffusion", "relad.as_released:ReleasedRelADiffusion"]
)
def test_models_name_their_class_where_it_lay_before(old):
    entry = replace(METHODS["rela"], class_=old, params={})
    method = build("rela", entry, inputs=2, tracers=TRACERS)
    assert type(method).__name__ == old.partition(":")[2]
