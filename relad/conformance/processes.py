"""The check of a training in several processes: whether it learns what one process does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from relad.compute import parallel
from relad.conformance.candidate import PHASES, Candidate, Failure, Skip, Training
from relad.conformance.watching import put, without_mixing
from relad.data.batch import Batch
from relad.data.scaling import KINDS
from relad.methods.method import Method


def shares(of: Candidate) -> None:
    """Two processes, each with half of a batch, learn what one does of the whole.

    Losses must be means over the batch, not sums, and no sample's loss may hang on the others;
    random numbers come from relad.compute.randomness (rand, randn), which gives every process
    those of its own samples. What buffers take from a batch (moments, counts) is averaged over
    processes by relad.compute.parallel (average_, total). Otherwise the result changes with the
    number of GPUs.
    """
    training = of.trained(KINDS[0])
    if training.method.single_pass:
        raise Skip("a closed-form method sees every pair in one process")
    averaged = False
    for progress in PHASES:
        alone, whole = _shared(training, [training.batch(slice(4))], progress)
        both, halves = _shared(
            training, [training.batch(slice(2)), training.batch(slice(2, 4))], progress
        )
        averaged |= bool(alone[0])
        _require_gradients(alone[0], both[0])
        before = _kept(training.method)
        for state in halves:
            _require_state(before, _kept(whole[0]), _kept(state))
    if not averaged:
        raise Skip("no gradient is averaged, see descends")


def _require_gradients(alone: list[Tensor], both: list[Tensor]) -> None:
    if len(alone) != len(both):
        raise Failure(f"two processes average {len(both)} times in an update, one {len(alone)}")
    for number, gradient in enumerate(alone):
        share = both[number]
        if share.shape != gradient.shape:
            raise Failure(f"what two processes average in step {number + 1} has another size")
        norm = float(torch.linalg.norm(gradient))
        ratio = float(torch.linalg.norm(share - gradient)) / max(norm, 1e-12)
        if not ratio < 0.02:
            raise Failure(
                f"the gradient of step {number + 1} differs by {ratio:.2g} of its norm, and is "
                f"{float(torch.linalg.norm(share)) / max(norm, 1e-12):.2g} times as large"
            )


def _kept(method: Method) -> dict[str, Tensor]:
    """What a method keeps beside the parameters that gradients change."""
    learnt = {name for name, weight in method.named_parameters() if weight.requires_grad}
    state = method.state_dict()
    return {k: v for k, v in state.items() if isinstance(v, Tensor) and k not in learnt}


def _require_state(
    before: dict[str, Tensor], alone: dict[str, Tensor], both: dict[str, Tensor]
) -> None:
    for name, value in alone.items():
        share = both.get(name)
        if share is None or share.shape != value.shape:
            raise Failure(f"{name} has another shape in two processes than in one")
        old, value, share = before.get(name), value.double(), share.double()
        moved = value - old.double() if old is not None and old.shape == value.shape else value
        off = float(torch.linalg.norm(share - value))
        if not off <= 0.02 * float(torch.linalg.norm(moved)) + 1e-5 * float(
            torch.linalg.norm(value)
        ):
            raise Failure(f"{name} is another in two processes than in one")


def _shared(
    training: Training, parts: list[Batch], progress: float
) -> tuple[list[list[Tensor]], list[Method]]:
    """Averaged gradients of every descent of one update, by process, and the methods after it.

    Processes are threads here, which wait for each other where something is averaged.
    """
    here = threading.local()
    meeting = threading.Barrier(len(parts), timeout=120)
    board: list[Any] = [None] * len(parts)
    seen: list[list[Tensor]] = [[] for _ in parts]
    errors: list[BaseException] = []

    def average(gradients: Sequence[Tensor]) -> None:
        board[here.rank] = torch.cat([g.detach().reshape(-1) for g in gradients])
        meeting.wait()
        mean = torch.stack(board).mean(0)
        meeting.wait()
        seen[here.rank].append(mean)
        for gradient, part in zip(
            gradients, mean.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def total(values: Tensor) -> Tensor:
        board[here.rank] = values.clone()
        meeting.wait()
        values.copy_(torch.stack(board).sum(0))
        meeting.wait()
        return values

    def work(rank: int, method: Method) -> None:
        here.rank = rank
        try:
            training.update(method, parts[rank], progress=progress)
        except BaseException as error:
            errors.append(error)
            meeting.abort()

    methods = [training.twin() for _ in parts]
    for method in methods:
        without_mixing(method)
    with (
        training.in_float32(),
        put(
            parallel,
            average_=average,
            total=total,
            size=lambda: len(parts),
            rank=lambda: here.rank,
        ),
    ):
        threads = [threading.Thread(target=work, args=each) for each in enumerate(methods)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise next(
            (e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0]
        )
    return seen, methods
