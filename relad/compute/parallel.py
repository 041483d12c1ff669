"""One training on several processes, as torchrun or :mod:`relad.training.launch` starts them.

Every process holds the whole method and computes on its share of each batch; gradients are averaged
before an optimiser's step (:meth:`relad.methods.method.Method.descend`). Random numbers belong to
the samples of the whole batch (:mod:`relad.compute.randomness`), so the result is that of one
process up to the rounding of sums. In one process every function here is the identity.

Averaging in one place instead of wrapping networks in DistributedDataParallel: a method owns
several networks, differentiates some of them twice (gradient penalties) and freezes them in turn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from relad.errors import ReladError

Item = TypeVar("Item")


def active() -> bool:
    return dist.is_available() and dist.is_initialized()


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if active() else 1


def rank() -> int:
    """Number of this process, from 0; only 0 writes files."""
    return dist.get_rank() if active() else 0


@contextmanager
def processes(wanted: str) -> Iterator[None]:
    """Join the processes that were started, if several were; each takes the GPU of its local rank.

    ``wanted`` is ``training.device``.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    cuda = wanted != "cpu" and torch.cuda.is_available()
    if cuda:
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise ReladError(
                f"process {local} of this machine has no GPU of its own "
                f"({torch.cuda.device_count()} here)",
                hint="lower training.processes (of torchrun, --nproc-per-node), or set "
                "training.device to cpu",
            )
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def share(items: Sequence[Item]) -> Sequence[Item]:
    """Give this process its part of a batch, whose length the processes divide."""
    each = len(items) // size()
    return items[rank() * each : (rank() + 1) * each]


@torch.no_grad()
def average_(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one device by their means over all processes, in one message."""
    if size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= size()
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


@torch.no_grad()
def gathered(mine: Tensor) -> Tensor:
    """Inverse of :func:`share`: the whole batch, (b, ...), of this process's part of it."""
    parts = mine.new_zeros(size(), *mine.shape)
    parts[rank()] = mine * size()
    average_([parts])
    return parts.flatten(0, 1)


def total(values: Tensor) -> Tensor:
    """Sum of a tensor over all processes."""
    if size() > 1:
        dist.all_reduce(values)
    return values


def any_of(flag: bool) -> bool:
    """Whether ``flag`` is set in any process."""
    return bool(total(torch.tensor(int(flag)))) if size() > 1 else flag
