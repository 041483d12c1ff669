"""Positivity from MRI alone: its features, and that it is fitted on training people alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relad.data.dataset import PackedDataset
from relad.imaging import atlas
from relad.results import mri_only
from relad.results.discrimination import auc
from tests.helpers.fake_study import AFFINE, SHAPE, FakeStudy, amend


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    study = FakeStudy(tmp_path_factory.mktemp("packed"), subjects=4, errors={})
    return PackedDataset(study.packed("study"))


def people(n: int, informative: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(n)
    positive = random.uniform(size=n) > 0.4
    of = random.normal(size=(n, 12))
    of[:, 3] += 3.0 * positive * informative
    return of, positive


def test_features_are_means_of_regions_inside_the_brain(dataset) -> None:
    found = mri_only.features(dataset)
    assert found.shape == (4, 2 + 2 * len(atlas.REGIONS))
    assert np.isnan(found[:, :2]).all()  # neither age nor volume is known of the made-up people
    column = 2 + list(atlas.REGIONS).index("brainstem")
    mask = atlas.region_mask("brainstem", SHAPE, AFFINE)
    assert (mask & ~dataset.mask[0]).any()  # some of it lies outside
    for person in range(4):
        for modality in range(2):
            inside = mask & dataset.mask[person]
            expected = dataset.mri[person, modality][inside].mean(dtype=float)
            shown = found[person, column + modality * len(atlas.REGIONS)]
            assert shown == pytest.approx(expected)


def test_real_suvr_is_that_of_the_packed_pet(dataset) -> None:
    found = mri_only.real_suvr(dataset, "amyloid", "thalamus")
    assert np.isfinite(found).tolist() == [True, True, True, False]  # the last lacks the tracer
    assert np.isnan(mri_only.real_suvr(dataset, "amyloid", "cortex")).all()  # the brain lacks it
    mask = atlas.region_mask("thalamus", SHAPE, AFFINE) & dataset.mask[1]
    low, high = dataset.windows["amyloid"]
    suvr = (dataset.pet[1, 1][mask].astype(float) + 1) / 2 * (high - low) + low
    assert found[1] == pytest.approx(suvr.mean())


def test_it_learns_what_there_is_and_nothing_where_there_is_nothing() -> None:
    areas = []
    for informative in (True, False):
        of, positive = people(120, informative)
        model = mri_only.fit(of[:60], positive[:60])
        areas.append(auc(model.probability(of[60:]), positive[60:]))
        assert 0 < model.cut < 1
    assert areas[0] > 0.95 and 0.3 < areas[1] < 0.7


def test_the_cut_is_chosen_on_the_training_people() -> None:
    """Where one in eight is positive, hardly anybody has a probability of a half."""
    random = np.random.default_rng(2)
    positive = np.arange(80) % 8 == 0
    of = random.normal(size=(80, 6)) + 0.8 * positive[:, None]
    model = mri_only.fit(of, positive)
    assert 0 < model.cut < 0.4
    found = model.probability(of) >= model.cut
    assert found[positive].mean() > 0.6 and found[~positive].mean() < 0.5


def test_an_unknown_feature_takes_the_training_peoples_median() -> None:
    of, positive = people(60, True)
    of[:, 0] = np.nan  # known of nobody
    of[5, 1] = np.nan
    model = mri_only.fit(of[:40], positive[:40])
    asked = of[40:].copy()
    filled = asked.copy()
    asked[:, 1], filled[:, 1] = np.nan, np.nanmedian(of[:40, 1])
    np.testing.assert_allclose(model.probability(asked), model.probability(filled))


def test_too_few_of_a_class_are_not_fitted() -> None:
    of, _ = people(20, True)
    assert mri_only.fit(of, np.arange(20) < 1) is None
    assert mri_only.fit(of, np.ones(20, bool)) is None
    assert mri_only.fit(of, np.arange(20) < 2) is not None


def test_the_same_people_give_the_same_model() -> None:
    of, positive = people(40, True)
    first, second = (mri_only.fit(of, positive) for _ in range(2))
    assert first.cut == second.cut
    np.testing.assert_array_equal(first.probability(of), second.probability(of))


def test_own_regions_stand_before_the_atlass(tmp_path: Path) -> None:
    folder = FakeStudy(tmp_path, subjects=4, errors={}).packed("study")
    own = np.zeros((4, 1, *SHAPE), bool)
    own[:, 0, 7:] = np.load(folder / "mask.npy")[:, 7:]
    np.save(folder / "regions.npy", own)
    amend(folder / "dataset.json", regions={"thalamus": ["A"]})
    dataset = PackedDataset(folder)
    by_own = mri_only.real_suvr(dataset, "tau", "thalamus")
    mask = dataset.mask[0] & own[0, 0]
    assert by_own[0] == pytest.approx((dataset.pet[0, 0][mask].astype(float).mean() + 1) * 2)
    # Of one person the PET shows less than half of the region, of another none of it.
    pet = np.load(folder / "pet.npy")
    pet[1, 0, 7:11], pet[2, 0, 7:] = np.nan, np.nan
    np.save(folder / "pet.npy", pet)
    cut = mri_only.real_suvr(PackedDataset(folder), "tau", "thalamus")
    assert np.isnan(cut).tolist() == [False, True, True, False]
    assert cut[0] == by_own[0]
