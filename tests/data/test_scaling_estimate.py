"""The data scaling's estimates against sums by hand, where people's brains and tracers differ."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch

from relad.data.dataset import PackedDataset
from relad.data.scaling import Scaling
from relad.fileio import read_table, write_table
from tests.helpers.packing import write_packed

SHAPE = (5, 4, 6)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PackedDataset:
    """Brains of their own, PET that differs in level and spread, and nobody with TSPO."""
    path = write_packed(tmp_path_factory.mktemp("packed") / "own", shape=SHAPE)
    random = np.random.default_rng(3)
    mask = random.random((6, *SHAPE)) > 0.5
    spread = np.array([0.2, 0.7, 0.4])[:, None, None, None]
    pet = spread * random.normal(size=(6, 3, *SHAPE)) + 0.3
    np.save(path / "mask.npy", mask)
    np.save(path / "pet.npy", np.where(mask[:, None], pet, -1).astype(np.float32))
    mri = random.normal(size=(6, 2, *SHAPE)) * np.array([0.1, 0.5])[:, None, None, None]
    np.save(path / "mri.npy", np.where(mask[:, None], mri, -1).astype(np.float32))
    table = path / "subjects.tsv"
    rows = read_table(table)
    for row in rows:
        row["tracers"] = "tau,amyloid" if int(row["index"]) % 2 else "tau"
    write_table(table, rows, list(rows[0]))
    return PackedDataset(path)


def by_hand(volumes: list[np.ndarray], masks: list[np.ndarray], mirrored: bool):
    """Voxelwise mean and three standard deviations around it, in the brains alone."""
    images = list(zip(volumes, masks, strict=True))
    everyone = images + [(v[::-1], m[::-1]) for v, m in images if mirrored]
    mean = np.full(SHAPE, np.mean(np.concatenate([v[m] for v, m in images])))
    for voxel in np.ndindex(*SHAPE):
        values = [v[voxel] for v, m in everyone if m[voxel]]
        if values:
            mean[voxel] = np.mean(values)
    rest = np.concatenate([(v - mean)[m] for v, m in images])
    return mean, 3 * np.sqrt(np.mean(np.square(rest)))


@pytest.mark.parametrize("mirrored", [False, True])
def test_means_and_deviations_are_those_of_the_brains(data, mirrored):
    pairs = data.pairs(0, "train")
    assert {k for _, k in pairs} == {0, 1}
    scaling = Scaling.of("voxel_mean", data, pairs, [1, 0], mirrored=mirrored)
    for k in (0, 1):
        people = [i for i, kk in pairs if kk == k]
        mean, scale = by_hand([data.pet[i, k] for i in people], data.mask[people], mirrored)
        np.testing.assert_allclose(scaling.pet_mean[k], mean, atol=1e-5)
        assert float(scaling.pet_scale[k]) == pytest.approx(scale, rel=1e-4)
    people = sorted({i for i, _ in pairs})
    for place, channel in enumerate([1, 0]):
        mean, scale = by_hand([data.mri[i, channel] for i in people], data.mask[people], mirrored)
        np.testing.assert_allclose(scaling.mri_mean[place], mean, atol=1e-5)
        assert float(scaling.mri_scale[place]) == pytest.approx(scale, rel=1e-4)


def test_a_tracer_that_nobody_has_stays_finite(data):
    scaling = Scaling.of("voxel_mean", data, data.pairs(0, "train"), [0], mirrored=False)
    assert float(scaling.pet_scale[2]) == 1
    mask = torch.from_numpy(np.array(data.mask[:1]))[:, None]
    y = scaling.to_target(torch.ones(mask.shape), torch.tensor([2]), mask)
    assert torch.isfinite(y).all()


def test_masks_are_in_memory_one_at_a_time(data, monkeypatch):
    """All of them at once would be as large as a cohort."""
    masks: list[weakref.ref] = []
    pair_mask = PackedDataset.pair_mask

    def watched(self, subject: int, tracer: int) -> np.ndarray:
        # The mask of the pair before is still the loop's own.
        assert sum(mask() is not None for mask in masks) <= 1
        mask = pair_mask(self, subject, tracer)
        masks.append(weakref.ref(mask))
        return mask

    monkeypatch.setattr(PackedDataset, "pair_mask", watched)
    pairs = data.pairs(0, "train")
    Scaling.of("voxel_mean", data, pairs, [0], mirrored=False)
    assert len(masks) >= len(pairs) > 2
