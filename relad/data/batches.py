"""From the packed dataset to the batch of every update."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from relad.compute import parallel
from relad.compute.randomness import generator_for
from relad.data.batch import Batch, Condition
from relad.data.dataset import PackedDataset
from relad.data.scaling import Scaling
from relad.errors import ReladError

#: (subject index, tracer index)
Pair = tuple[int, int]
Item = TypeVar("Item")

#: Share of the free GPU memory that ``device_cache: auto`` may fill with volumes.
CACHE_SHARE = 0.4


def in_batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut items into as few batches of at most ``size`` as there can be, alike in length.

    Alike, as on the CPU PyTorch computes small volumes several times more slowly where a batch
    holds only one (its own convolution in place of oneDNN's).
    """
    if not items:
        return
    count = -(-len(items) // size)
    ends = [len(items) * i // count for i in range(count + 1)]
    for start, end in pairwise(ends):
        yield items[start:end]


def input_channels(data: PackedDataset, inputs: Sequence[str]) -> list[int]:
    """Channels of the packed MRI that a method's ``inputs`` name."""
    missing = set(inputs) - set(data.modalities)
    if missing:
        raise ReladError(f"has no {', '.join(sorted(missing))}", file=data.path)
    return [data.modalities.index(name) for name in inputs]


class Volumes:
    """Single volumes of a packed dataset as tensors on a device.

    Parameters
    ----------
    channels
        Channels of the packed MRI to give.
    keep
        Keep every volume on the device once it was read.
    """

    def __init__(
        self,
        data: PackedDataset,
        channels: list[int],
        device: torch.device,
        *,
        keep: bool = False,
    ):
        self.data, self.channels, self.device, self.keep = data, channels, device, keep
        self._kept: dict[tuple, Tensor] = {}

    def _read(self, key: tuple, read: Callable[[], np.ndarray]) -> Tensor:
        if key in self._kept:
            return self._kept[key]
        volume = torch.from_numpy(np.array(read())).to(self.device)
        if self.keep:
            self._kept[key] = volume
        return volume

    def mri(self, subject: int) -> Tensor:
        """(m, x, y, z), packed units."""
        return self._read(("mri", subject), lambda: self.data.mri[subject][self.channels])

    def pet(self, pair: Pair) -> Tensor:
        """(1, x, y, z), packed units."""
        return self._read(("pet", *pair), lambda: self.data.pet[pair][None])

    def mask(self, subject: int) -> Tensor:
        """(1, x, y, z) bool."""
        return self._read(("mask", subject), lambda: self.data.mask[subject][None])

    def given(
        self, pairs: list[Pair], scaling: Scaling, flip: list[bool] | None = None
    ) -> Condition:
        """What a synthesis of some pairs may look at, read without any PET.

        ``flip`` mirrors left and right.
        """
        brain = _stacked((self.mask(subject) for subject, _ in pairs), flip)
        mri = _stacked((self.mri(subject) for subject, _ in pairs), flip)
        return Condition(
            mri=scaling.inputs(mri, brain),
            tracer=torch.tensor([k for _, k in pairs], device=self.device),
            mask=brain,
            outside=scaling.outside,
        )

    def batch(self, pairs: list[Pair], scaling: Scaling, flip: list[bool] | None = None) -> Batch:
        """Some pairs for training, in the brain that their PET shows."""
        given = self.given(pairs, scaling, flip)
        pet = _stacked((self.pet(pair) for pair in pairs), flip)
        seen = given.mask & pet.isfinite()
        return Batch(
            mri=given.mri,
            tracer=given.tracer,
            mask=seen,
            outside=given.outside,
            pet=scaling.to_target(pet, given.tracer, seen),
            unseen=given.mask & ~seen,
        )


def _stacked(volumes: Iterable[Tensor], flip: list[bool] | None) -> Tensor:
    return torch.stack([v.flip(1) if flip and flip[i] else v for i, v in enumerate(volumes)])


def fits_on(device: torch.device, data: PackedDataset, pairs: list[Pair], channels: int) -> bool:
    """Whether a GPU has room for all volumes of some pairs beside the training itself."""
    if device.type != "cuda":
        return False  # the system caches the memory map
    voxels = int(np.prod(data.shape))
    subjects = len({subject for subject, _ in pairs})
    needed = voxels * (4 * (len(pairs) + channels * subjects) + subjects)
    return needed < CACHE_SHARE * torch.cuda.mem_get_info(device)[0]


class BatchSampler:
    """Batch of every update: epochs of shuffled pairs, a function of (fold, seed, update)."""

    def __init__(self, pairs: list[Pair], batch_size: int, *, fold: int, seed: int):
        self.pairs = pairs
        self.batch_size = batch_size
        self.key = (fold, seed)
        self._orders: dict[int, list[int]] = {}  # of the epochs of the last update

    def _order(self, epoch: int) -> list[int]:
        if epoch not in self._orders:
            random = generator_for("order", *self.key, epoch)
            self._orders = {e: o for e, o in self._orders.items() if abs(e - epoch) <= 1}
            self._orders[epoch] = torch.randperm(len(self.pairs), generator=random).tolist()
        return self._orders[epoch]

    def _pair(self, draw: int) -> Pair:
        epoch, position = divmod(draw, len(self.pairs))
        return self.pairs[self._order(epoch)[position]]

    def __call__(self, update: int) -> tuple[list[Pair], list[bool]]:
        """Pairs of an update, and whether each is mirrored."""
        first = update * self.batch_size
        flips = torch.rand(self.batch_size, generator=generator_for("flip", *self.key, update))
        return (
            [self._pair(first + i) for i in range(self.batch_size)],
            [bool(value < 0.5) for value in flips],
        )


class PairsInTurn:
    """Every pair once and unmirrored, for closed-form methods."""

    def __init__(self, pairs: list[Pair], batch_size: int):
        self.pairs, self.batch_size = pairs, batch_size

    def __call__(self, update: int) -> tuple[list[Pair], None]:
        return self.pairs[update * self.batch_size :][: self.batch_size], None


class Loader:
    """Batches of successive updates; on CUDA the next is read while the GPU computes.

    On the CPU it would take a core from the training, whose number of threads is a setting.

    Parameters
    ----------
    batches
        Update -> (pairs of the whole batch, mirrored or not).
    flip
        Whether to mirror at all.
    shared
        Whether this process takes its share of the batch, or all of it.
    """

    def __init__(
        self,
        volumes: Volumes,
        scaling: Scaling,
        batches: Callable[[int], tuple[list[Pair], list[bool] | None]],
        *,
        flip: bool,
        shared: bool,
    ):
        self.volumes, self.scaling, self.batches = volumes, scaling, batches
        self.flip, self.shared = flip, shared
        ahead = volumes.device.type == "cuda"
        self.reader = ThreadPoolExecutor(1, "relad-loader") if ahead else None
        self.next: tuple[int, Future[Batch]] | None = None

    def load(self, update: int) -> Batch:
        pairs, flips = self.batches(update)
        if self.shared:
            pairs, flips = parallel.share(pairs), flips and parallel.share(flips)
        return self.volumes.batch(list(pairs), self.scaling, flips if self.flip else None)

    def __call__(self, update: int, *, last: bool) -> Batch:
        """Batch of an update; ``last`` says that none follows."""
        if self.reader is None:
            return self.load(update)
        ready = self.next[1].result() if self.next and self.next[0] == update else None
        batch = self.load(update) if ready is None else ready
        self.next = None if last else (update + 1, self.reader.submit(self.load, update + 1))
        return batch
