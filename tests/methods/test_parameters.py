"""Nonsense in a method's parameters is one line that names it, or does no harm."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jaxtyping
import pytest
import torch

from baselines.unet import RegressionUNet
from relad.errors import ReladError
from relad.methods.diffusion.schedule import NoiseSchedule
from relad.methods.method import build, class_of
from relad.methods.networks.patch_discriminator import PatchDiscriminator
from relad.methods.networks.unet3d import UNet3d
from relad.methods.parameters import defaults, require_known
from relad.study.sampling import Sampling
from tests.methods.test_methods import METHODS, TRACERS, batch

NONSENSE = (-1, 0, math.nan, "x", [], [-8, 8], None)
#: Parameters that are themselves parameters of these.
PARTS = {"schedule": NoiseSchedule, "network": UNet3d, "discriminator": PatchDiscriminator}
#: What methods are given in place of their configured size, so that a thousand of them are quick.
SMALL = {
    "network": {"channels": [8, 8]},
    "discriminator": {"channels": [8, 8]},
    "base_channels": 4,
    "discriminator_channels": 4,
    "blocks": 1,
    "depth": 1,
    "width": 16,
    "art": [0],
    "autoencoder_channels": [8],
}
#: One entry of each class: the class's first.
ENTRIES = list({entry.class_: name for name, entry in reversed(METHODS.items())}.values())


@pytest.fixture(autouse=True)
def as_users_run_it() -> Iterator[None]:
    """Without the suite's checks of types, which would refuse some nonsense before relad does."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_a_parameter_without_a_default_is_known() -> None:
    require_known(PatchDiscriminator, ["mri_channels", "tracer"])
    with pytest.raises(ValueError, match="has no parameter 'tracerz' -- known: tracer"):
        require_known(PatchDiscriminator, ["tracerz"])


def owner(cls: type, parameter: str) -> type:
    """The class of a method's ancestors whose constructor has the parameter."""
    return next(
        base
        for base in inspect.getmro(cls)
        if parameter in inspect.signature(vars(base).get("__init__", object)).parameters
    )


def spoiled(name: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A method's parameters, one of them made nonsense: its name, all of them, and which.

    What an entry above has by the same constructor is tried there.
    """
    above: set[tuple[type, str]] = set()
    for other in (*ENTRIES[: ENTRIES.index(name)], name):
        entry = METHODS[other]
        cls = class_of(other, entry)
        known = defaults(cls)
        params = {**entry.params, **{k: v for k, v in SMALL.items() if k in known}}
        if cls.__name__ == "ReleasedRelADiffusion":
            params["discriminator"] = {"mri": False, "tracer": False, "time": False}
        for key in known:
            part = PARTS.get(key)
            inner = (params.get(key) or {}) if part else {}
            for one in defaults(part) if part else (key,):
                place = (part or owner(cls, key), one)
                if place in above or one == "released_network":  # twenty times as large
                    continue
                above.add(place)
                for value in NONSENSE if other == name else ():
                    changed = {**inner, one: value} if part else value
                    yield one, {**params, key: changed}, f"{key}: {changed!r}"


@pytest.mark.parametrize("name", ENTRIES)
def test_nonsense_is_told_or_harmless(name: str) -> None:
    tried = 0
    for parameter, params, what in spoiled(name):
        entry = replace(METHODS[name], params=params)
        inputs = len(entry.inputs)
        torch.manual_seed(0)
        tried += 1
        try:
            method = build(name, entry, inputs=inputs, tracers=TRACERS)
        except ReladError as error:
            told = str(error).replace("learning rate", "lr")  # as torch has it, too
            assert parameter.partition("_")[0] in told or "art at" in told, f"{what}: {told}"
            assert "\n" not in told and "cannot be built" not in told, f"{what}: {told}"
            continue
        given = batch(inputs)
        method.prepare([given])
        random = torch.Generator().manual_seed(0)
        losses = method.update(given, progress=0.6, random=random)
        method.eval()
        y = method.synthesize(
            given.condition, sampling=Sampling("regression", 1), random=[random, random]
        )
        for key, value in {**losses, "synthesis": y}.items():
            assert torch.isfinite(value).all(), f"{what}: {key}"
    assert tried or not defaults(class_of(name, METHODS[name]))


@pytest.mark.parametrize(
    ("name", "params", "told"),
    [
        ("rela", {"clip_sample": -1}, "clip_sample -1 is not a number above 0"),
        ("rela", {"schedule": {"steps": 0}}, "steps 0 is not a whole number of at least 2"),
        ("rela", {"network": {"stem": 0}}, "stem 0 is not a whole number of at least 1"),
        ("rela", {"network": {"channels": []}}, "channels [] is not a list of at least one number"),
        ("rela", {"betas": [0.9]}, "betas [0.9] are not two numbers"),
        (
            "rela",
            {"anneal_until": -1},
            "anneal_until -1 is not a number of at least 0 and at most 1",
        ),
        (
            "rela-as-released",
            {"discriminator": {"mri": False, "tracer": False, "time": False, "channels": 0}},
            "channels 0 is not a whole number of at least 1",
        ),
        ("ddpm", {"lr": 0}, "learning rate of generator: 0.0 is not a number above 0"),
        ("unet", {"lr": "fast"}, "lr 'fast' is not a number"),
        ("resvit", {"art": [9]}, "art at blocks [9] of 9 blocks"),
        (
            "ficd",
            {"network": {"channels": [8, 8], "attention": [1], "head_channels": 0}},
            "head_channels 0 is not a whole number of at least 1",
        ),
        ("rela", {"schedule": {"zero_terminal_snr": "no"}}, "zero_terminal_snr 'no' is not true"),
        ("resvit", {"lr": 0, "lr_whole": 1e-3}, "lr 0 is not a number above 0"),
        ("resvit", {"tokens": [0, 4, 4]}, "tokens: entry 0 is not a whole number of at least 1"),
        ("cyclegan", {"lambda_identity": -1}, "lambda_identity -1 is not a number of at least 0"),
        ("latent-rela", {"beta": -1}, "beta -1 is not a number of at least 0"),
        ("pix2pix", {"channels": [8]}, "channels [8]: a U-Net has at least two levels"),
        ("pix2pix", {"dropout": -1}, "dropout -1 is not a number of at least 0 and below 1"),
        ("resvit", {"tokens": [4, 4]}, "tokens [4, 4] are not three numbers"),
        ("resvit", {"art": [0, 12]}, "art at blocks [0, 12] of 9 blocks"),
        ("resvit", {"art": []}, "art at no block: the transformer takes part nowhere"),
        ("resvit", {"art": [True]}, "art at blocks [True] of 9 blocks"),
        ("rela", {"network": {"attention": [9]}}, "attention at levels [9] of 3 levels"),
        ("rela", {"network": {"attention": [0, 0]}}, "attention at levels [0, 0] of 3 levels"),
        (
            "rela",
            {"network": {"channels": [16, 50], "attention": [1]}},
            "head_channels 16: 50 channels are not those of whole heads",
        ),
        ("rela", {"network": False}, "network False is not a section of parameters"),
        ("rela", {"schedule": ""}, "schedule '' is not a section of parameters"),
        ("rela", {"discriminator": []}, "discriminator [] is not a section of parameters"),
        ("unet", {"network": 0}, "network 0 is not a section of parameters"),
        ("rectified-flow", {"network": 0}, "network 0 is not a section of parameters"),
        ("latent-rela", {"network": 0}, "network 0 is not a section of parameters"),
        (
            "rela",
            {"adversary_from": 1},
            "adversary_from 1 is a share of the training: at its end the adversary would never",
        ),
        (
            "rela-as-released",
            {"discriminator": {"batch_norm": False}},
            "discriminator.batch_norm: it is the method's own batch_norm",
        ),
        (
            "rela-as-released",
            {"released_network": True, "prediction": "preconditioned"},
            "released_network is the release's own: it has no prediction 'preconditioned'",
        ),
        ("rela", {"schedule": {"start": 0.5}}, "start 0.5 of the noise is above its end 0.0195"),
        ("ficd", {"schedule": {"kind": "linear", "end": 0.5}}, "prediction 'epsilon' has no clean"),
        ("rectified-flow", {"location": math.nan}, "location nan is not a finite number"),
        ("cyclegan", {"edge_kernel": 4}, "edge_kernel 4 has no middle"),
    ],
)
def test_the_line_says_what_may_stand_there(name: str, params: dict[str, Any], told: str) -> None:
    entry = replace(METHODS[name], params={**METHODS[name].params, **params})
    with pytest.raises(ReladError) as caught:
        build(name, entry, inputs=2, tracers=TRACERS)
    assert str(caught.value).startswith(f"method '{name}': {told}")


def test_a_fault_of_another_kind_is_one_line_with_its_type() -> None:
    entry = replace(METHODS["resvit"], params={**METHODS["resvit"].params, "heads": 7})
    with pytest.raises(ReladError, match=r"'resvit' cannot be built: AssertionError: .*heads"):
        build("resvit", entry, inputs=2, tracers=TRACERS)


class Foreign(RegressionUNet):
    """As another distribution may have it: kinds that a default does not tell, a frozen network."""

    def __init__(self, *, inputs: int, tracers: int, clip: float | None = 1.0, wrong: bool = False):
        super().__init__(inputs=inputs, tracers=tracers)
        self.clip = clip
        self.optimizers["generator"].param_groups[0]["lr"] = 0.0
        if wrong:
            self.cilp  # noqa: B018


def test_a_method_of_another_distribution_judges_its_own_parameters() -> None:
    entry = replace(METHODS["unet"], class_=f"{__name__}:Foreign", params={"clip": None})
    assert build("mine", entry, inputs=2, tracers=TRACERS).clip is None
    with pytest.raises(AttributeError, match="cilp"):
        build("mine", replace(entry, params={"wrong": True}), inputs=2, tracers=TRACERS)
