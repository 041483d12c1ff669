"""Nothing of the people who are held out reaches a model."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from relad.data.dataset import PackedDataset
from tests.helpers.trainings import settings, train, trainer

VALIDATION = {"subjects": 1, "every": 4, "steps": 1}


def spoilt(packed, folder, people):
    """A copy of the cohort in which some people have other volumes."""
    shutil.copytree(packed, folder)
    random = np.random.default_rng(0)
    for name in ("mri", "pet", "mask"):
        array = np.load(folder / f"{name}.npy")
        for i in people:
            other = random.normal(size=array[i].shape)
            array[i] = other > 0 if array.dtype == bool else other
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.mark.parametrize("method", ["rela", "template"])
def test_held_out_people_change_nothing_of_a_model(packed, tmp_path, method):
    """Neither its weights nor the scaling of its data, to the bit."""
    test = {i for i, _ in PackedDataset(packed).pairs(0, "test")}
    other = spoilt(packed, tmp_path / "other", test)
    part = settings(validation=VALIDATION)
    for name, data in (("a", packed), ("b", other)):
        assert train(data, tmp_path / name, method, part) == 0
    a, b = (tmp_path / name / "model.safetensors" for name in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_people_of_the_validation_choose_weights_and_nothing_else(packed, tmp_path):
    part = settings(validation=VALIDATION)
    one = trainer(PackedDataset(packed), "unet", part)
    (subject,) = {i for i, _ in one.validation_pairs}
    other = spoilt(packed, tmp_path / "other", [subject])
    two = trainer(PackedDataset(other), "unet", part)
    assert two.validation_pairs == one.validation_pairs
    scores = [each.advance() and each.validate() for each in (one, two)]
    states = [each.scaling.state_dict() | each.method.state_dict() for each in (one, two)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    for each in (one, two):
        each.done = each.total
        scores.append(each.validate())
    assert scores[-1] != scores[-2], "nobody was validated on the one who was spoilt"


def test_people_of_the_training_do_change_it(packed, tmp_path):
    """The test of the test: the same means show it where somebody is trained on."""
    one = trainer(PackedDataset(packed), "unet", settings())
    other = spoilt(packed, tmp_path / "other", [one.pairs[0][0]])
    two = trainer(PackedDataset(other), "unet", settings())
    assert not torch.equal(one.scaling.pet_mean, two.scaling.pet_mean)
