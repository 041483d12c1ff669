"""Which volumes a batch holds, in which order, and mirrored as one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from relad.data.batches import BatchSampler, Loader, PairsInTurn, Volumes, input_channels
from relad.data.dataset import PackedDataset
from relad.data.scaling import Scaling
from tests.helpers.packing import write_packed

PAIRS = [(3, 1), (0, 2), (3, 0)]
CHANNELS = [1, 0]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PackedDataset:
    """Everybody has a brain, an MRI and PET of their own, none of them symmetric."""
    path: Path = write_packed(tmp_path_factory.mktemp("packed") / "own")
    random = np.random.default_rng(5)
    for name in ("mri", "pet"):
        array = np.load(path / f"{name}.npy")
        np.save(path / f"{name}.npy", random.normal(size=array.shape).astype(np.float32))
    np.save(path / "mask.npy", random.random(np.load(path / "mask.npy").shape) > 0.4)
    return PackedDataset(path)


@pytest.fixture(scope="module")
def scaling(data) -> Scaling:
    return Scaling.of("voxel_mean", data, data.pairs(0, "train"), CHANNELS, mirrored=False)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("flips", [None, [True, False, True], [False, False, False]])
def test_a_batch_is_its_pairs_and_mirrors_mri_pet_and_mask_alike(data, scaling, flips, keep):
    volumes = Volumes(data, CHANNELS, torch.device("cpu"), keep=keep)
    for _ in range(2):  # read, then kept
        batch = volumes.batch(PAIRS, scaling, flips)
    means = {"mri": scaling.mri_mean.numpy(), "pet": scaling.pet_mean.numpy()}
    scales = {"mri": scaling.mri_scale.numpy(), "pet": scaling.pet_scale.numpy()}
    assert batch.tracer.tolist() == [k for _, k in PAIRS]
    for n, (i, k) in enumerate(PAIRS):
        turn = slice(None, None, -1 if flips and flips[n] else 1)
        mask, pet = data.mask[i][turn], data.pet[i, k][turn]
        target = np.where(mask, (pet - means["pet"][k]) / scales["pet"][k], 0)
        assert np.array_equal(batch.mask[n, 0], mask)
        np.testing.assert_allclose(batch.pet[n, 0], target, atol=1e-5)
        for place, c in enumerate(CHANNELS):
            mri = data.mri[i, c][turn]
            assert np.array_equal(batch.mri[n, place], mri)
            deviation = np.where(mask, (mri - means["mri"][place]) / scales["mri"][place], 0)
            np.testing.assert_allclose(batch.mri[n, 2 + place], deviation, atol=1e-5)


def test_channels_stand_as_the_inputs_name_them(data):
    assert input_channels(data, ["FLAIR", "T1w"]) == [1, 0]
    assert input_channels(data, ["T1w", "FLAIR"]) == [0, 1]
    assert input_channels(data, ["T1w"]) == [0]


@pytest.mark.parametrize(("flip", "mirrored"), [(True, [True, False, True]), (False, [False] * 3)])
def test_the_loader_mirrors_where_it_is_told_to(data, scaling, flip, mirrored):
    volumes = Volumes(data, CHANNELS, torch.device("cpu"))
    loader = Loader(
        volumes, scaling, lambda update: (PAIRS, [True, False, True]), flip=flip, shared=True
    )
    batch, expected = loader(0, last=True), volumes.batch(PAIRS, scaling, mirrored)
    assert all(torch.equal(getattr(batch, k), getattr(expected, k)) for k in ("mri", "pet", "mask"))


def drawn(fold: int = 0, seed: int = 0, updates: int = 14, size: int = 3):
    """Pairs and flips of the first updates, one after the other."""
    sampler = BatchSampler([(i, 0) for i in range(7)], size, fold=fold, seed=seed)
    batches = [sampler(update) for update in range(updates)]
    return [p for pairs, _ in batches for p in pairs], [f for _, flips in batches for f in flips]


def test_an_epoch_holds_every_pair_once_and_no_two_are_alike():
    order, _ = drawn()
    epochs = [tuple(order[i : i + 7]) for i in range(0, 42, 7)]
    assert all(sorted(epoch) == [(i, 0) for i in range(7)] for epoch in epochs)
    assert len(set(epochs)) == len(epochs)


def test_order_and_mirroring_are_functions_of_fold_and_seed():
    found = {(f, s): drawn(f, s) for f in range(3) for s in range(3)}
    assert drawn(1, 2) == found[1, 2]
    for part in (0, 1):  # the order, the mirroring
        assert len({tuple(each[part]) for each in found.values()}) == len(found)


def test_half_of_the_volumes_are_mirrored_and_others_in_every_update():
    _, flips = drawn(updates=700)
    count = Counter(flips)[True]
    assert abs(count - len(flips) / 2) < 4 * (len(flips) / 4) ** 0.5
    assert len({tuple(flips[i : i + 30]) for i in range(0, 2100, 30)}) == 70


def test_a_single_pass_takes_every_pair_once_unmirrored():
    pairs = [(i, k) for i in range(3) for k in range(3)]
    batches = [PairsInTurn(pairs, 4)(update) for update in range(3)]
    assert [len(part) for part, _ in batches] == [4, 4, 1]
    assert [pair for part, _ in batches for pair in part] == pairs
    assert all(flips is None for _, flips in batches)
