"""Settings that change how fast the same method trains."""

from __future__ import annotations

import time
from typing import Any

import torch

from benchmarks.contestants import Contestant, Size
from benchmarks.costs import volumes_per_step
from benchmarks.measure import cycle, in_turns, peak_of, training_step, wait

#: Settings of `training` by name; see workflow/schemas/config.schema.yaml.
VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, channels last": {"precision": "bfloat16", "channels_last": True},
    "bfloat16, compiled": {"precision": "bfloat16", "compile": True},
    "bfloat16, compiled, channels last": {
        "precision": "bfloat16",
        "compile": True,
        "channels_last": True,
    },
    "bfloat16, compiled, channels last, CUDA graphs": {
        "precision": "bfloat16",
        "compile": True,
        "channels_last": True,
        "graphs": True,
    },
}


def variant(
    who: Contestant,
    size: Size,
    device: torch.device,
    seconds: float,
    *,
    precision: str,
    channels_last: bool = False,
    compile: bool = False,
    graphs: bool = False,
) -> dict[str, Any]:
    """Time and memory of a step, and what the first steps took, compilation included."""
    step = training_step(who, size, volumes_per_step(size), device, precision)
    if channels_last:
        step.method.to(memory_format=torch.channels_last_3d)
    if compile:
        torch._dynamo.reset()  # of another size: shapes would become variables
        step.method.generator.compile(mode="reduce-overhead" if graphs else None)
    started = time.perf_counter()
    step(cycle(who))
    wait(device)
    first = time.perf_counter() - started
    work = {who.name: (lambda: step(cycle(who)), cycle(who))}
    timed = in_turns(work, device, seconds=seconds)[who.name]
    return {
        "step (s)": float(f"{timed['seconds']:.3g}"),
        "peak memory (MB)": round(peak_of(lambda: step(cycle(who)), device)),
        "first steps (s)": float(f"{first:.3g}"),
    }
