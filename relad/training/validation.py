"""Validation on subjects taken out of the training folds: which weights synthesise best.

The held-out test fold plays no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from relad.compute import parallel
from relad.compute.randomness import generator_for
from relad.data.batch import Condition
from relad.data.batches import Pair, Volumes, in_batches
from relad.data.dataset import PackedDataset
from relad.data.scaling import Scaling
from relad.errors import ReladError
from relad.imaging.psnr import psnr_of
from relad.methods.method import Method
from relad.study.sampling import Sampling

#: Width of the SUVR window in packed units, see :mod:`relad.data.window`.
DATA_RANGE = 2.0


def cut(
    data: PackedDataset, pairs: list[Pair], subjects: int, *, fold: int
) -> tuple[list[Pair], list[Pair]]:
    """Cut training pairs by subject into (for training, for validation).

    A tracer that nobody is left to be trained on validates nothing.

    The choice is a function of the fold and of the subjects' ids: the same for all methods and
    seeds.

    Raises
    ------
    ReladError
        Where nobody would be left to train on.
    """
    indices = sorted({i for i, _ in pairs}, key=lambda i: data.subjects[i]["subject"])
    if subjects >= len(indices):
        raise ReladError(
            f"training.validation.subjects is {subjects}, but fold {fold} leaves only "
            f"{len(indices)} subjects for training and validation together",
            file=data.path,
        )
    order = torch.randperm(len(indices), generator=generator_for("validation", fold)).tolist()
    held_out = {indices[i] for i in order[:subjects]}
    training = [pair for pair in pairs if pair[0] not in held_out]
    trained = {tracer for _, tracer in training}
    return training, [(i, k) for i, k in pairs if i in held_out and k in trained]


def psnr(prediction: Tensor, truth: Tensor, mask: Tensor) -> float:
    """PSNR in dB inside the mask, of volumes (1, x, y, z) in packed units."""
    error = (prediction - truth).square()[mask].double().mean()
    return psnr_of(float(error), DATA_RANGE)


@torch.no_grad()
def mean_psnr(
    synthesize: Callable[[Condition, list[torch.Generator]], Tensor],
    volumes: Volumes,
    scaling: Scaling,
    pairs: list[Pair],
    batch_size: int,
) -> float:
    """Mean PSNR over pairs, each with its own noise.

    Several processes share the pairs.
    """
    values = torch.zeros(len(pairs), dtype=torch.float64)
    mine = range(parallel.rank(), len(pairs), parallel.size())
    for part in in_batches(mine, batch_size):
        given = volumes.given([pairs[i] for i in part], scaling)
        keys = [(volumes.data.subjects[pairs[i][0]]["subject"], pairs[i][1]) for i in part]
        random = [generator_for("validation", *key, device=volumes.device) for key in keys]
        target = synthesize(given, random).float()
        pet = scaling.to_pet(target, given.tracer, given.mask)
        for i, prediction, mask in zip(part, pet, given.mask, strict=True):
            truth = volumes.pet(pairs[i])
            values[i] = psnr(prediction, truth, mask & truth.isfinite())
    mean = float(parallel.total(values).mean())
    return mean if math.isfinite(mean) else -math.inf


def sampling_of(method: Method, validated_by: str | None) -> Sampling:
    """What weights of a method are chosen by, in as many steps as it takes to tell anything.

    ``validated_by`` is None of a method that no study samples: one evaluation.
    """
    sampling = Sampling.parse(validated_by) if validated_by else Sampling("regression", 1)
    if sampling.sampler == "regression":
        return sampling
    return replace(sampling, steps=max(sampling.steps, method.least_validation_steps))


def with_generator(method: Method, generator: torch.nn.Module, sampling: Sampling):  # type: ignore[no-untyped-def]
    """Synthesis of a method with other weights of its generator: (condition, random) -> y."""

    def synthesize(given: Condition, random: list[torch.Generator]) -> Tensor:
        own = method.generator
        method.generator = generator
        method.eval()
        try:
            return method.synthesize(given, sampling=sampling, random=random)
        finally:
            method.generator = own
            method.train()

    return synthesize
