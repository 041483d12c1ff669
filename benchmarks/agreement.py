"""Whether devices and precisions compute the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants import Contestant, Size, awakened, drawn_on_cpu, make, make_batch
from relad.compute.devices import autocast
from relad.study.sampling import Sampling


def outputs(
    who: Contestant, size: Size, device: torch.device, precision: str
) -> tuple[Tensor, Tensor]:
    """Synthesised volume and losses of an update, from the same weights and random numbers."""
    method = awakened(make(who, device="cpu")).to(device)
    batch = make_batch(who, size, 2, device=device)
    with drawn_on_cpu(device), autocast(device, precision):
        volume = method.eval().synthesize(
            batch.condition,
            sampling=Sampling("ddim", 2),
            random=[torch.Generator().manual_seed(i) for i in range(2)],
        )
        losses = method.train().update(batch, progress=0.5, random=torch.Generator().manual_seed(0))
    return volume.float().cpu(), torch.stack([v.float() for v in losses.values()]).cpu()


def agreement(who: Contestant, size: Size, device: torch.device) -> dict[str, Any]:
    """Relative differences: the device's float32 to the CPU's, its bfloat16 to its float32."""
    cpu = outputs(who, size, torch.device("cpu"), "float32")
    full = outputs(who, size, device, "float32")
    half = outputs(who, size, device, "bfloat16")
    row = {}
    for name, a, b in (("device to CPU", full, cpu), ("bfloat16 to float32", half, full)):
        for what, x, y in zip(("volume", "losses"), a, b, strict=True):
            row[f"{name}, {what}"] = float(f"{relative(x, y):.2g}")
    return row


def relative(a: Tensor, b: Tensor) -> float:
    """||a - b|| / ||b||; infinite where either is not finite."""
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        return float("inf")
    return float(torch.linalg.norm((a - b).double()) / torch.linalg.norm(b.double()))
