"""Operations, bytes and memory of a piece of PyTorch code, counted from shapes alone.

Works on real tensors and on meta tensors, which have shapes and no memory: so the paper's size can
be counted on any machine.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Counter(TorchDispatchMode):
    """Operations, bytes that operators read and write, most bytes of tensors alive at one time.

    Operations are those of PyTorch's own registry, taken below its FlopCounterMode, whose hooks do
    not bear a gradient penalty. Views move nothing. Workspaces inside operators are not seen, so a
    real peak is higher.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.moved = 0
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def hold(self, *tensors: torch.Tensor) -> None:
        """Count tensors made outside: weights, optimiser states, the batch."""
        for tensor in tensors:
            self._see(tensor)
        self._settle()

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())

    def _settle(self) -> None:
        self._alive = {k: v for k, v in self._alive.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.operations += formula(*args, **kwargs, out_val=out)
        results = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        storages = {t.untyped_storage()._cdata for t in given}
        fresh = [t for t in results if t.untyped_storage()._cdata not in storages]
        in_place = func._schema.is_mutable
        if fresh or in_place:
            self.moved += sum(t.numel() * t.element_size() for t in (*given, *results))
        for tensor in fresh:
            self._see(tensor)
        if fresh:
            self._settle()
        return out


def count(work, *held: torch.Tensor) -> dict[str, Any]:  # type: ignore[no-untyped-def]
    """Floating-point operations, bytes moved and peak memory in bytes of calling ``work``.

    A multiplication and an addition are two operations; those of matrix products, convolutions and
    attention are counted, elementwise ones are not.
    """
    counter = Counter()
    counter.hold(*held)
    with counter:
        work()
    return {
        "operations": counter.operations,
        "bytes": counter.moved,
        "memory": counter.peak,
    }
