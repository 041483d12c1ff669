"""Random numbers as functions of what they are for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from relad.compute import parallel

#: One generator for a whole batch, or one for each of its samples.
Source = torch.Generator | Sequence[torch.Generator]


def generator_for(*key: object, device: str | torch.device = "cpu") -> torch.Generator:
    """A random generator that is a function of ``key`` alone."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


def rand(shape: Sequence[int], random: Source) -> Tensor:
    """Uniform random numbers in [0, 1), ``shape`` (b, ...); sources as in :func:`randn`."""
    return _draw(torch.rand, shape, random, None)


def randn(shape: Sequence[int], random: Source, dtype: torch.dtype | None = None) -> Tensor:
    """Standard normal random numbers, ``shape`` (b, ...).

    With one generator, the numbers of a batch that several processes may share: each gets those of
    its own samples. With a sequence, every sample's from its own generator.

    Raises
    ------
    ValueError
        Where a sequence does not hold b generators: samples would silently share their noise.
    """
    return _draw(torch.randn, shape, random, dtype)


def _draw(
    kind: Callable[..., Tensor], shape: Sequence[int], random: Source, dtype: torch.dtype | None
) -> Tensor:
    if isinstance(random, torch.Generator):
        whole = (shape[0] * parallel.size(), *shape[1:])
        return parallel.share(kind(whole, generator=random, device=random.device, dtype=dtype))
    return torch.stack(
        [
            kind(shape[1:], generator=g, device=g.device, dtype=dtype)
            for _, g in zip(range(shape[0]), random, strict=True)
        ]
    )
