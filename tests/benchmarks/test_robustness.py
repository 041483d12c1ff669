"""What a benchmark of robustness changes, and what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import robustness
from benchmarks.people import pairs_of
from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr
from relad.fileio import read_json
from relad.results.metrics import compare
from tests.helpers.packing import cut_pet
from tests.helpers.trainings import settings, train

KEYS = [("A", "tau"), ("B", "tau")]


@pytest.fixture
def mask():
    brain = torch.zeros(2, 1, 8, 8, 8, dtype=torch.bool)
    brain[..., 1:7] = True
    return brain


@pytest.fixture
def mri(mask):
    return torch.where(mask, 0.5, -1.0).expand(2, 2, 8, 8, 8).clone()


def test_noise_is_as_large_as_it_says_inside_the_brain_alone(mri, mask):
    added = robustness.noisy(0.1)(mri, mask, KEYS) - mri
    inside = mask.expand_as(mri)
    assert (added[~inside] == 0).all()
    assert added[inside].std() == pytest.approx(0.1, rel=0.1)
    assert (added[0] != added[1]).any()
    assert torch.equal(added, robustness.noisy(0.1)(mri, mask, KEYS) - mri)


def test_one_mri_becomes_air_and_the_other_stays(mri, mask):
    changed = robustness.without(1)(mri, mask, KEYS)
    assert (changed[:, 1] == -1).all()
    assert torch.equal(changed[:, 0], mri[:, 0])
    assert (mri[:, 1] != -1).any()  # the batch itself is left


def test_a_volume_is_moved_by_millimetres_and_the_mask_with_it():
    """Nothing outside the mask is known, and nothing of it moves in."""
    volume, mask = np.full((9, 3, 3), np.nan), np.zeros((9, 3, 3), bool)
    volume[2:6], mask[2:6] = np.arange(4)[:, None, None], True
    for voxels, known in ((2, slice(4, 8)), (0.5, slice(3, 6))):
        there, shown = robustness.moved(volume, mask, 4.0 * voxels, 4.0)
        assert shown[known].all() and shown.sum() == 9 * len(range(9)[known])
        assert np.isfinite(there).all()
    there, _ = robustness.moved(volume, mask, 8.0, 4.0)
    np.testing.assert_allclose(there[4:8], volume[2:6], atol=1e-9)
    there, shown = robustness.moved(np.where(mask, 2.0, 0.0), mask, 2.0, 4.0)
    np.testing.assert_allclose(there[shown], 2, atol=1e-9)


def test_a_row_per_change_of_every_model(validated, packed, tmp_path, capsys):
    part = settings(validation={"subjects": 1, "every": 6, "steps": 1})
    assert train(packed, tmp_path / "unet", "unet", part) == 0
    capsys.readouterr()
    given = [str(validated), str(tmp_path / "unet"), "--packed", str(packed)]
    given += ["--shifts-mm", "8", "--noises", "9"]
    assert robustness.main(given) == 0
    note, _, head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert note == "SIMULATED DATA (digital phantoms, no patients); validation subjects"
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    changes = ["as it is", "true PET moved 8 mm", "noise 9 on the MRI", "FLAIR of air"]
    assert [row[:2] for row in cells] == [[m, c] for m in ("rela", "unet") for c in changes]
    assert "PSNR (dB)" in head
    for k in (0, 4):
        assert len({tuple(row[2:]) for row in cells[k : k + 4]}) == 4  # each changes the numbers


def test_the_test_fold_is_read_only_when_it_is_asked_for(validated, packed, tmp_path, capsys):
    other = cut_pet(tmp_path / "other", packed, [], top=8).path
    tested = [row["fold"] == 0 for row in PackedDataset(packed).subjects]
    pet = np.load(other / "pet.npy")
    pet[tested] *= 0.5
    np.save(other / "pet.npy", pet)
    told = {}
    for part in ((), ("--part", "test")):
        for folder in (packed, other):
            given = [str(validated), "--packed", str(folder), *part, "--shifts-mm", "--noises"]
            assert robustness.main(given) == 0
            told[part, folder] = capsys.readouterr().out
    assert told[(), packed] == told[(), other]
    assert told[("--part", "test"), packed] != told[("--part", "test"), other]
    assert "; test subjects" in told[("--part", "test"), packed]


def test_of_a_cut_pet_only_what_it_shows_counts(validated, packed, tmp_path, monkeypatch):
    """And of a moved one what it shows where it has moved to."""
    whole, info = PackedDataset(packed), read_json(validated / "train.json")
    pairs = pairs_of(whole, info, "validation")
    cut = cut_pet(tmp_path / "cut", packed, pairs, top=8)
    given = []

    def noted(image, truth, mask, *more, **named):
        given.append((image, truth, mask))
        return compare(image, truth, mask, *more, **named)

    monkeypatch.setattr(robustness, "compare", noted)
    rows = list(robustness.measured(validated, cut, "validation", [8.0], []))
    assert [row["change"] for row in rows][:2] == ["as it is", "true PET moved 8 mm"]
    assert all(np.isfinite(float(row["PSNR (dB)"])) for row in rows)
    for by in (0, 1):  # voxels
        for (i, k), (image, truth, mask) in zip(pairs, given[by * len(pairs) :], strict=False):
            shown = np.array(whole.mask[i]) & (np.arange(whole.shape[2]) < 8)
            pet = to_suvr(np.array(whole.pet[i, k]), whole.windows[whole.tracers[k]])
            np.testing.assert_array_equal(mask, shown & np.roll(shown, by, axis=0))
            np.testing.assert_allclose(truth[mask], np.roll(pet, by, axis=0)[mask], atol=1e-5)
            assert not image[~mask].any() and not truth[~mask].any()
