"""Time and memory of training steps and of sampling, and what the machine could do at best."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.contestants import (
    RELEASE,
    Contestant,
    Size,
    make,
    make_batch,
    on_meta,
    shapes_only,
)
from benchmarks.counting import count
from relad.compute.devices import autocast, peak_memory_mb
from relad.data.batch import Batch
from relad.methods.method import Method
from relad.study.sampling import Sampling


def cycle(who: Contestant) -> int:
    """Steps measured together, so that a penalty of every fourth step counts as it occurs.

    The release's steps are all alike.
    """
    return 1 if who.name == RELEASE else 4


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of ``work``, with what it left running on the GPU."""
    wait(device)
    started = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - started


class Step:
    """Training steps of a method on one batch, with its adversary on.

    Attributes
    ----------
    done
        Steps so far.
    """

    def __init__(self, method: Method, batch: Batch, device: torch.device, precision: str):
        self.method, self.batch, self.device, self.precision = method, batch, device, precision
        self.done = 0

    def __call__(self, steps: int = 1) -> None:
        for _ in range(steps):
            random = torch.Generator(self.device).manual_seed(self.done)
            with autocast(self.device, self.precision):
                self.method.update(self.batch, progress=0.5, random=random)
            self.done += 1


def training_step(
    who: Contestant, size: Size, count_: int, device: torch.device, precision: str = "auto"
) -> Step:
    method = make(who, device=device)
    return Step(method, make_batch(who, size, count_, device=device), device, precision)


class Evaluation:
    """Network evaluations of a method's synthesis of one batch."""

    def __init__(self, method: Method, batch: Batch, device: torch.device, precision: str):
        self.method, self.batch, self.device, self.precision = method, batch, device, precision
        sampling = Sampling("ddim", 2)
        #: Two evaluations of a sampler, one of a method without.
        self.evaluations = method.evaluations(sampling)
        self.sampling = sampling

    def __call__(self) -> None:
        count = len(self.batch.mri)
        random = [torch.Generator(self.device).manual_seed(i) for i in range(count)]
        with autocast(self.device, self.precision):
            self.method.synthesize(self.batch.condition, sampling=self.sampling, random=random)


def network_evaluation(
    who: Contestant, size: Size, count_: int, device: torch.device, precision: str = "auto"
) -> Evaluation:
    method = make(who, device=device).eval()
    return Evaluation(method, make_batch(who, size, count_, device=device), device, precision)


def in_turns(
    work: Mapping[str, tuple[Callable[[], Any], int]],
    device: torch.device,
    *,
    seconds: float,
    least: int = 3,
    most: int = 20,
) -> dict[str, dict[str, float]]:
    """Time contestants in turns, so that whatever else the machine does falls on all of them.

    Parameters
    ----------
    work
        Name -> (what to time, how many steps it makes).
    seconds
        After which no further turn starts, once there were ``least`` turns after the first, which
        warms up and is not counted. A turn so slow that ``least`` of them would take ten times as
        long ends it after two.

    Returns
    -------
    Name -> median, fastest and slowest seconds of one step, number of turns.
    """
    taken: dict[str, list[float]] = {name: [] for name in work}
    started = time.perf_counter()
    for turn in range(most + 1):
        for name, (call, steps) in work.items():
            one = timed(call, device) / steps
            if turn:
                taken[name].append(one)
        elapsed = time.perf_counter() - started
        if elapsed > seconds and (turn >= least or (turn >= 1 and elapsed > 10 * seconds)):
            break
    return {
        name: {
            "seconds": statistics.median(values),
            "fastest": min(values),
            "slowest": max(values),
            "turns": len(values),
        }
        for name, values in taken.items()
    }


def counted_step(who: Contestant, size: Size, count_: int) -> dict[str, float]:
    """Operations, bytes and estimated memory of one float32 training step, from shapes alone."""
    method, batch = on_meta(who, size, count_)
    random, steps = torch.Generator(), cycle(who)

    def work(times: int = steps) -> None:
        for _ in range(times):
            method.update(batch, progress=0.5, random=random)

    with shapes_only():
        work(1)  # makes the optimisers' states
        states = [
            value
            for optimizer in method.optimizers.values()
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        ]
        held = [*method.parameters(), *method.buffers(), *states, batch.mri, batch.pet, batch.mask]
        total = count(work, *held)
    return {
        "operations": total["operations"] / steps,
        "bytes": total["bytes"] / steps,
        "memory_mb": total["memory"] / 2**20,
    }


def counted_evaluation(who: Contestant, size: Size) -> dict[str, float]:
    """The same of one network evaluation in synthesis."""
    method, batch = on_meta(who, size, 1)
    method.eval()
    evaluations = method.evaluations(Sampling("ddim", 2))

    def synthesize() -> None:
        method.synthesize(batch.condition, sampling=Sampling("ddim", 2), random=[torch.Generator()])

    with shapes_only():
        total = count(synthesize, *method.parameters(), batch.mri, batch.mask)
    return {
        "operations": total["operations"] / evaluations,
        "bytes": total["bytes"] / evaluations,
        "memory_mb": total["memory"] / 2**20,
    }


def peak_of(call: Callable[[], Any], device: torch.device) -> float:
    """Peak memory in MB: on CUDA of this call's tensors, on the CPU of the process so far."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    call()
    wait(device)
    return peak_memory_mb(device)


def ceilings(device: torch.device, *, seconds: float = 4.0) -> dict[str, float]:
    """What the machine reaches at best.

    Operations per second of a large matrix product of random numbers, and bytes per second, read
    and written, of a large copy; the best of what ``seconds`` allow.
    """
    cuda = device.type == "cuda"
    size, megabytes = (8192, 2048) if cuda else (1024, 256)
    found: dict[str, float] = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        if not cuda and name == "bfloat16":
            continue
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        found[f"matmul_{name}"] = 2 * size**3 / _fastest(lambda a=a, b=b: a @ b, device, seconds)
    source = torch.randn(megabytes * 2**18, device=device)
    target = torch.empty_like(source)
    moved = 2 * source.numel() * source.element_size()
    found["copy_bytes"] = moved / _fastest(lambda: target.copy_(source), device, seconds)
    return found


def _fastest(call: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """Shortest time of a call: other work on the machine only ever makes it longer."""
    call()
    until, best = time.monotonic() + seconds, math.inf
    while time.monotonic() < until:
        best = min(best, timed(call, device))
    return best
