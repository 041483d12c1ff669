"""What a validation measures, against its formula, and of whose weights."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from relad.data.batches import Volumes
from relad.data.dataset import PackedDataset
from relad.data.scaling import Scaling
from relad.methods.synthesis import load_model
from relad.study.sampling import Sampling
from relad.training import validation
from tests.helpers.trainings import settings, trainer

PAIRS = [(0, 1), (0, 2), (3, 0), (3, 1), (3, 2)]


@pytest.fixture(scope="module")
def data(packed, tmp_path_factory) -> PackedDataset:
    """The toy cohort with a brain of everybody's own."""
    path = tmp_path_factory.mktemp("packed") / "own"
    shutil.copytree(packed, path)
    mask = np.load(path / "mask.npy")
    np.save(path / "mask.npy", mask & (np.random.default_rng(0).random(mask.shape) > 0.5))
    return PackedDataset(path)


@pytest.mark.parametrize("kind", ["voxel_mean", "window"])
def test_psnr_is_the_mean_over_pairs_in_packed_units_and_in_their_brains(data, kind):
    """10 log10(2^2 / MSE) of an error of known size for each pair, in batches of any size."""
    scaling = Scaling.of(kind, data, data.pairs(1, "train"), [0, 1], mirrored=False)
    random = np.random.default_rng(1)
    made = {  # never below what PET can be
        pair: np.maximum(data.pet[pair] + 0.1 * (n + 1) * random.normal(size=data.shape), -0.99)
        for n, pair in enumerate(PAIRS)
    }
    expected = [
        10 * np.log10(4 / np.mean(np.square(made[i, k] - data.pet[i, k])[data.mask[i]]))
        for i, k in PAIRS
    ]
    volumes = Volumes(data, [0, 1], torch.device("cpu"))
    for size in (1, 2, 5):
        waiting = iter(PAIRS)

        def synthesize(given, random, waiting=waiting):
            pairs = [next(waiting) for _ in range(len(given.mri))]
            assert given.tracer.tolist() == [k for _, k in pairs]
            pet = np.stack([made[pair] for pair in pairs]).astype(np.float32)
            return scaling.to_target(torch.from_numpy(pet)[:, None], given.tracer, given.mask)

        found = validation.mean_psnr(synthesize, volumes, scaling, PAIRS, size)
        assert found == pytest.approx(np.mean(expected), abs=1e-3)


def test_the_averaged_weights_are_judged_in_evaluation_and_the_own_ones_train_on(packed):
    part = settings(validation={"subjects": 1, "every": 1})
    one = trainer(PackedDataset(packed), "unet", part)
    own, seen = one.method.generator, []
    one.step()

    def synthesize(given, *, sampling, random):
        seen.append((one.method.generator, one.method.training, sampling))
        return torch.zeros(given.mask.shape)

    one.method.synthesize = synthesize
    one.validate()
    assert seen
    for generator, training, sampling in seen:
        assert generator is one.average.network and not training
        assert sampling == Sampling("regression", 1)
    assert one.method.generator is own and one.method.training
    assert not torch.equal(own.last.weight, one.average.network.last.weight)


@pytest.mark.parametrize(("every", "updates"), [(5, [5, 10, 12]), (4, [4, 8, 12])])
def test_validations_come_at_their_interval_and_at_the_end(packed, monkeypatch, every, updates):
    monkeypatch.setattr(validation, "mean_psnr", lambda *_: 20.0)
    part = settings(validation={"subjects": 1, "every": every, "steps": 1})
    one = trainer(PackedDataset(packed), "unet", part)
    rows = [one.advance() for _ in range(one.total)]
    assert [row["update"] for row in rows if "validation_psnr" in row] == updates


def test_without_validation_the_last_averaged_weights_are_the_model(packed, tmp_path):
    one = trainer(PackedDataset(packed), "unet", settings(ema_decay=0.9))
    assert one.run(tmp_path) == 0
    method, scaling, _ = load_model(tmp_path, torch.device("cpu"))
    stored, average = method.generator.state_dict(), one.average.network.state_dict()
    assert all(torch.equal(stored[k], average[k]) for k in average)
    assert not torch.equal(stored["first.weight"], one.method.generator.first.weight)
    for name, value in one.scaling.state_dict().items():
        assert torch.equal(scaling.state_dict()[name], value)
