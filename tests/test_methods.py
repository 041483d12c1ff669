"""Every method and ablation of the configuration keeps the protocol; a new entry is tested too."""

from __future__ import annotations

import io

import pytest
import torch

from relad import config
from relad.errors import ReladError
from relad.method import Batch, Sampling, build

METHODS = config.load()["methods"]
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
    )


@pytest.fixture(scope="module", params=list(METHODS))
def trained(request):
    """A method of the configuration after two updates."""
    entry = METHODS[request.param]
    torch.manual_seed(0)
    method = build(request.param, entry, TRACERS)
    for i in range(2):
        losses = method.update(
            batch(len(entry["inputs"])),
            progress=0.5 + i / 4,
            random=torch.Generator().manual_seed(i),
        )
    return request.param, method, losses


def test_update_changes_the_generator_and_logs_finite_scalars(trained):
    name, method, losses = trained
    torch.manual_seed(0)
    fresh = build(name, METHODS[name], TRACERS).generator.state_dict()
    now = method.generator.state_dict()
    assert any(fresh[k].shape != v.shape or not torch.equal(fresh[k], v) for k, v in now.items()), (
        "two updates changed nothing"
    )
    assert losses
    for value in losses.values():
        assert value.ndim == 0
        assert torch.isfinite(value)
        assert not value.requires_grad


def test_synthesis_has_the_shape_the_mask_and_no_negative_suvr(trained):
    name, method, _ = trained
    b = batch(len(METHODS[name]["inputs"]))
    sampling = Sampling("ddim", 2)

    def synthesize():
        return method.synthesize(
            b.mri, b.tracer, b.mask, sampling=sampling, random=torch.Generator().manual_seed(0)
        )

    pet = synthesize()
    assert pet.shape == b.pet.shape
    assert torch.isfinite(pet).all()
    assert (pet[~b.mask] == -1).all()
    assert (pet >= -1).all()
    assert not pet.requires_grad
    assert torch.equal(pet, synthesize()), "the same seed gave another volume"
    assert method.evaluations(sampling) >= 1
    assert method.sampler_name(sampling)


def test_state_survives_a_checkpoint(trained):
    name, method, _ = trained
    buffer = io.BytesIO()
    torch.save(method.state_dict(), buffer)
    buffer.seek(0)
    other = build(name, METHODS[name], TRACERS)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    for key, value in method.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)


def test_learning_rate_never_rises(trained):
    _, method, _ = trained
    factors = [method.lr_factor(i / 10) for i in range(10)]
    assert factors[0] == 1.0
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] > 0


def test_unknown_parameter_and_class_are_named():
    entry = METHODS["unet"]
    with pytest.raises(ReladError, match=r"'unet'.*learning_rate"):
        build("unet", {**entry, "params": {"learning_rate": 1}}, TRACERS)
    with pytest.raises(ReladError, match=r"'unet'.*NoSuch"):
        build("unet", {**entry, "class": "baselines.unet:NoSuch"}, TRACERS)
