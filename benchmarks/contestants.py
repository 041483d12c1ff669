"""Who is measured, and on what: methods of a study's configuration, and the release's step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from relad.data import scaling as scalings
from relad.data.batch import Batch
from relad.errors import ReladError
from relad.methods.method import Method, build
from relad.status import Modality
from relad.study.settings import TrainedMethod, plain, typed

RELEASE = "release"
TRACERS = 3
Size = tuple[int, int, int]


@dataclass(frozen=True)
class Contestant:
    """One method and how it is trained and sampled.

    Attributes
    ----------
    name
        Id in the configuration, or ``release``.
    entry
        Its class, inputs and parameters, as the configuration resolves them.
    scaling
        Data scaling it is trained in, see :mod:`relad.data.scaling`.
    sampler, steps
        With which it synthesises a volume; methods without a sampler do one forward pass.
    """

    name: str
    entry: TrainedMethod
    scaling: str
    sampler: str
    steps: int


def contestant(name: str, settings: Mapping[str, Any]) -> Contestant:
    """One of the settings' methods, or the release's step with its 1000 DDPM steps.

    Raises
    ------
    ReladError
        Where the settings have no such method.
    """
    if name == RELEASE:
        entry = TrainedMethod("benchmarks.release:ReleaseStep", tuple(Modality), {}, None)
        return Contestant(name, entry, "window", "ddpm", 1000)
    if name not in settings["methods"]:
        raise ReladError(f"no method {name!r}", hint=f"known: {', '.join(settings['methods'])}")
    entry = typed(TrainedMethod, settings["methods"][name])
    sampling = settings["sampling"] | settings["methods"][name]["sampling"]
    scaling = settings["training"]["scaling"]
    return Contestant(name, entry, scaling, sampling["sampler"], sampling["steps"])


def described(names: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the measurements of these methods hang on, for JSON."""
    found = {}
    for name in names:
        who = contestant(name, settings)
        sampling = f"{who.sampler}, {who.steps} evaluations"
        found[name] = {"entry": plain(who.entry), "scaling": who.scaling, "sampling": sampling}
    return found


def parse_size(text: str) -> Size:
    """``48x56x48`` to (48, 56, 48)."""
    x, y, z = (int(part) for part in text.split("x"))
    return x, y, z


def make(who: Contestant, *, device: str | torch.device) -> Method:
    """The method with its initial weights, the same in every run."""
    torch.manual_seed(0)
    inputs = scalings.input_channels(who.scaling, len(who.entry.inputs))
    return build(who.name, who.entry, inputs=inputs, tracers=TRACERS).to(device)


def make_batch(who: Contestant, size: Size, count: int, *, device: str | torch.device) -> Batch:
    """Random volumes with an ellipsoid for a brain, which fills about half of the box."""
    random = torch.Generator().manual_seed(1)
    axes = [torch.linspace(-1, 1, n) for n in size]
    radius = sum(axis.square() for axis in torch.meshgrid(*axes, indexing="ij"))
    mask = (radius < 1.0).expand(count, 1, *size)
    outside = torch.tensor(0.0 if who.scaling == "voxel_mean" else scalings.BACKGROUND)
    inputs = scalings.input_channels(who.scaling, len(who.entry.inputs))
    volumes = torch.randn((count, inputs + 1, *size), generator=random) / 3
    return Batch(
        mri=volumes[:, 1:].contiguous().to(device),
        tracer=(torch.arange(count) % TRACERS).to(device),
        mask=mask.contiguous().to(device),
        pet=torch.where(mask, volumes[:, :1], outside).to(device),
        outside=outside.to(device),
        unseen=torch.zeros_like(mask).to(device),
    )


def awakened(method: Method) -> Method:
    """Give weights that start at zero small values: what a network computes then shows."""
    random = torch.Generator().manual_seed(2)
    for weights in method.parameters():
        if not weights.any():
            with torch.no_grad():
                weights.copy_(0.05 * torch.randn(weights.shape, generator=random))
    return method


@contextmanager
def drawn_on_cpu(device: torch.device) -> Iterator[None]:
    """Random numbers of a CPU generator for tensors anywhere: the same on every device."""
    real = {"rand": torch.rand, "randn": torch.randn}

    def drawer(name: str) -> Any:
        def draw(*args: Any, **kwargs: Any) -> Tensor:
            return real[name](*args, **{**kwargs, "device": "cpu"}).to(device)

        return draw

    with (
        mock.patch.object(torch, "rand", drawer("rand")),
        mock.patch.object(torch, "randn", drawer("randn")),
    ):
        yield


# --- without memory ------------------------------------------------------------------------------


def on_meta(who: Contestant, size: Size, count: int) -> tuple[Method, Batch]:
    """Method and batch whose tensors have shapes and no memory, for volumes of any size."""
    method = make(who, device="cpu")
    kept = {n: b for n, b in method.named_buffers() if b.ndim == 0}  # counters are read as numbers
    method.to("meta")
    for name, buffer in kept.items():
        owner, _, leaf = name.rpartition(".")
        setattr(method.get_submodule(owner), leaf, buffer)
    small = make_batch(who, (8, 8, 8), count, device="cpu")

    def grown(volume: Tensor) -> Tensor:
        return torch.empty((*volume.shape[:2], *size), dtype=volume.dtype, device="meta")

    return method, replace(
        small,
        mri=grown(small.mri),
        pet=grown(small.pet),
        mask=grown(small.mask),
        unseen=grown(small.unseen),
        tracer=small.tracer.to("meta"),
    )


def _flash(
    query: Tensor, key: Tensor, value: Tensor, *_: Any, scale: float | None = None, **__: Any
) -> Tensor:
    """Attention as CUDA's fused kernel, which holds no matrix of all pairs of tokens."""
    op = torch.ops.aten._scaled_dot_product_flash_attention
    return op(query, key, value, 0.0, False, False, scale=scale)[0]


@contextmanager
def shapes_only() -> Iterator[None]:
    """Let methods run on meta tensors: random numbers too, and attention as its fused kernel."""

    def no_numbers(*shape: Any, **_: Any) -> Tensor:
        return torch.empty(*shape, device="meta")

    with (
        mock.patch.object(torch, "rand", no_numbers),
        mock.patch.object(torch, "randn", no_numbers),
        mock.patch.object(F, "scaled_dot_product_attention", _flash),
    ):
        yield
