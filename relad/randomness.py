"""Random numbers as functions of what they are for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator_for(*key: object, device: str | torch.device = "cpu") -> torch.Generator:
    """A random generator that is a function of ``key`` alone."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


def randn(
    shape: Sequence[int], random: Sequence[torch.Generator], dtype: torch.dtype | None = None
) -> Tensor:
    """Standard normal random numbers, ``shape`` (b, ...): every sample's from its own generator.

    Raises
    ------
    ValueError
        Where there are not b generators: samples would silently share their noise.
    """
    return torch.stack(
        [
            torch.randn(shape[1:], generator=g, device=g.device, dtype=dtype)
            for _, g in zip(range(shape[0]), random, strict=True)
        ]
    )
