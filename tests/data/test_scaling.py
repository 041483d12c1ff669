"""The data scaling is invertible, estimated from the training fold alone, and the same for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relad.data.dataset import PackedDataset
from relad.data.scaling import Scaling, input_channels


@pytest.fixture
def data(packed) -> PackedDataset:
    return PackedDataset(packed)


def scaling(data, kind="voxel_mean", *, mirrored=False, channels=(0, 1), fold=0) -> Scaling:
    return Scaling.of(kind, data, data.pairs(fold, "train"), list(channels), mirrored=mirrored)


def volume(data, i, k):
    pet, mask = (torch.from_numpy(np.array(a))[None, None] for a in (data.pet[i, k], data.mask[i]))
    return pet, torch.tensor([k]), mask


@pytest.mark.parametrize("kind", ["voxel_mean", "window"])
def test_pet_survives_the_way_there_and_back(data, kind):
    s = scaling(data, kind)
    for k in range(3):
        pet, tracer, mask = volume(data, 1, k)
        y = s.to_target(pet, tracer, mask)
        assert (y[~mask] == s.outside).all()
        torch.testing.assert_close(s.to_pet(y, tracer, mask), pet, atol=1e-5, rtol=0)


def test_training_pet_is_centred_and_has_a_third_as_standard_deviation(data):
    s = scaling(data)
    for k in range(3):
        rows = [i for i, kk in data.pairs(0, "train") if kk == k]
        ys = torch.cat([s.to_target(*volume(data, i, k))[volume(data, i, k)[2]] for i in rows])
        assert ys.mean().abs() < 1e-5
        assert float(ys.square().mean().sqrt()) == pytest.approx(1 / 3, rel=1e-4)


def test_the_held_out_fold_does_not_enter(data):
    a, b = scaling(data, fold=0), scaling(data, fold=1)
    assert not torch.equal(a.pet_mean, b.pet_mean)
    train = {i for i, _ in data.pairs(0, "train")}
    mean = np.mean([data.pet[i, 0] for i in sorted(train)], axis=0)
    inside = data.mask[sorted(train)].all(0)
    np.testing.assert_allclose(a.pet_mean[0].numpy()[inside], mean[inside], atol=1e-5)


def test_mirrored_means_are_symmetric(data):
    s = scaling(data, mirrored=True)
    assert torch.equal(s.pet_mean, s.pet_mean.flip(1))
    assert torch.equal(s.mri_mean, s.mri_mean.flip(1))


def test_inputs_are_the_chosen_mri_and_its_deviation(data):
    s = scaling(data, channels=[1])
    mri = torch.from_numpy(np.array(data.mri[0][[1]]))[None]
    mask = torch.from_numpy(np.array(data.mask[0]))[None, None]
    seen = s.inputs(mri, mask)
    assert seen.shape[1] == input_channels("voxel_mean", 1) == 2
    assert torch.equal(seen[:, :1], mri)
    expected = (mri[0, 0] - s.mri_mean[0]) / s.mri_scale[0]
    torch.testing.assert_close(seen[0, 1][mask[0, 0]], expected[mask[0, 0]])
    assert (seen[:, 1:][~mask] == 0).all()


def test_window_space_hands_through(data):
    s = scaling(data, "window")
    mri = torch.from_numpy(np.array(data.mri[0]))[None]
    assert s.inputs(mri, torch.ones_like(mri[:, :1], dtype=torch.bool)) is mri
    assert input_channels("window", 2) == 2
    pet, tracer, mask = volume(data, 0, 1)
    assert torch.equal(s.to_target(pet, tracer, mask), pet)


def test_suvr_is_never_negative(data):
    s = scaling(data)
    _, tracer, mask = volume(data, 0, 0)
    pet = s.to_pet(torch.full(mask.shape, -100.0), tracer, mask)
    assert (pet == -1).all()


def test_state_restores_the_space(data):
    s = scaling(data)
    other = Scaling(s.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(s.buffers(), other.buffers(), strict=True))


def test_an_unknown_kind_is_named(data):
    with pytest.raises(ValueError, match="zscore"):
        scaling(data, "zscore")
