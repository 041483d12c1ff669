"""Which kernels a training step spends its time in."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from benchmarks.contestants import Contestant, Size
from benchmarks.measure import cycle, training_step, wait

SLOWEST = 5


def profile(who: Contestant, size: Size, device: torch.device) -> dict[str, Any]:
    """Busy share of the device and the slowest kernels of a few steps."""
    step = training_step(who, size, 1, device)
    step(cycle(who))
    cuda = device.type == "cuda"
    wait(device)
    started = time.perf_counter()
    step(cycle(who))
    wait(device)
    seconds = time.perf_counter() - started
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with torch.profiler.profile(activities=activities) as profiler:
        step(cycle(who))
        wait(device)

    def own(event: Any) -> float:
        return event.self_device_time_total if cuda else event.self_cpu_time_total

    # On CUDA a kernel is listed by itself and under the operator that launched it: count kernels.
    events = [e for e in profiler.key_averages() if not cuda or e.device_type.name == "CUDA"]
    total = sum(own(e) for e in events)
    slowest = sorted(events, key=own, reverse=True)[:SLOWEST]
    row = {
        "step (s)": float(f"{seconds / cycle(who):.3g}"),
        "busy": f"{min(total * 1e-6 / seconds, 1):.0%}",
    }
    for i, event in enumerate(slowest, 1):
        row[f"{i}"] = f"{event.key[:60]} {own(event) / max(total, 1e-9):.0%}".replace("|", "/")
    return row
