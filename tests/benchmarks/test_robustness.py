"""What a benchmark of robustness changes, and what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import robustness
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


def test_a_volume_is_moved_by_millimetres():
    volume = np.zeros((9, 3, 3))
    volume[4] = 1
    np.testing.assert_allclose(robustness.moved(volume, 8, 4.0)[6], 1, atol=1e-9)


def test_a_row_per_change_of_every_model(packed, tmp_path, capsys):
    part = settings(validation={"subjects": 1, "every": 6, "steps": 1})
    models = [tmp_path / name for name in ("rela", "unet")]
    for model in models:
        assert train(packed, model, model.name, part) == 0
    capsys.readouterr()
    given = [*map(str, models), "--packed", str(packed), "--shifts-mm", "8", "--noises", "9"]
    assert robustness.main(given) == 0
    note, _, head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert note == "SIMULATED DATA (digital phantoms, no patients); validation subjects"
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    changes = ["as it is", "true PET moved 8 mm", "noise 9 on the MRI", "FLAIR of air"]
    assert [row[:2] for row in cells] == [[m, c] for m in ("rela", "unet") for c in changes]
    assert "PSNR (dB)" in head
    for k in (0, 4):
        assert len({tuple(row[2:]) for row in cells[k : k + 4]}) == 4  # each changes the numbers
    assert robustness.main([*given, "--part", "test"]) == 0
