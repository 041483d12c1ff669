"""What is random in a training is a function of fold, seed and update, and of nothing else."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from relad.compute.randomness import generator_for
from relad.data.dataset import PackedDataset
from relad.training.loop import Trainer
from tests.helpers.trainings import settings, trainer

FOLDS, SEEDS = (0, 1, 2), (0, 1)


@pytest.fixture(scope="module")
def data(packed) -> PackedDataset:
    return PackedDataset(packed)


def watched(one: Trainer, before: int) -> list[tuple[float, ...]]:
    """Of three updates: the noise that the method is given, and what dropout would draw.

    ``before`` is the state of torch's own source when an update begins.
    """
    seen = []

    def update(batch, *, progress, random):
        noise = torch.randn(4, generator=random, device=random.device)
        seen.append((*noise.tolist(), *torch.randn(2).tolist()))
        return {"denoising": torch.tensor(0.0)}

    one.method.update = update
    for _ in range(3):
        torch.manual_seed(before)
        one.step()
    return seen


def test_first_weights_follow_fold_and_seed(data):
    first = {}
    for fold, seed in product(FOLDS, SEEDS):
        torch.manual_seed(fold + seed)  # what stood there before does not matter
        method = trainer(data, "rela", settings(), fold=fold, seed=seed).method
        for network in ("generator", "discriminator"):
            weights = getattr(method, network).first.weight.flatten()
            first[fold, seed, network] = tuple(weights.tolist())
    assert len(set(first.values())) == len(first)
    torch.manual_seed(99)
    again = trainer(data, "rela", settings(), fold=1, seed=1).method.generator.first.weight
    assert tuple(again.flatten().tolist()) == first[1, 1, "generator"]


def test_noise_follows_fold_seed_and_update(data):
    found = {
        (fold, seed): watched(trainer(data, "rela", settings(), fold=fold, seed=seed), before=1)
        for fold, seed in product(FOLDS, SEEDS)
    }
    for part in (slice(0, 4), slice(4, 6)):  # what the method is given; what dropout would draw
        draws = [each[part] for of_training in found.values() for each in of_training]
        assert len(set(draws)) == len(draws) == 18
    again = trainer(data, "rela", settings(), fold=2, seed=1)
    assert watched(again, before=2) == found[2, 1]


def test_a_generator_is_a_function_of_its_whole_key():
    keys = [("a", 0, 1), ("a", 1, 0), ("b", 0, 1), ("a", 0), ("a", "0", 1), ("a", 0, 1, 2)]
    draws = {torch.randn(1, generator=generator_for(*key)).item() for key in keys}
    assert len(draws) == len(keys)
    for key in keys:
        a, b = (torch.randn(3, generator=generator_for(*key)) for _ in range(2))
        assert torch.equal(a, b)


def test_every_volume_of_a_validation_has_noise_of_its_own_and_always_the_same(data, monkeypatch):
    part = settings(validation={"subjects": 2, "every": 1, "steps": 1})
    one = trainer(data, "rela", part)
    seen: list[tuple[float, ...]] = []
    monkeypatch.setattr(
        one.method,
        "synthesize",
        lambda given, *, sampling, random: (
            seen.extend(tuple(torch.randn(3, generator=g).tolist()) for g in random)
            or torch.zeros_like(given.mask, dtype=torch.float32)
        ),
    )
    for _ in range(2):
        one.validate()
    assert len(seen) == 12 and seen[:6] == seen[6:]
    assert len(set(seen)) == 6  # two people, three tracers
