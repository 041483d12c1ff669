"""Temperatures tried on validation subjects: whose, what is measured, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import temperature
from relad.data.dataset import PackedDataset
from tests.helpers.trainings import settings, train


@pytest.fixture(scope="module")
def model(packed, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "rela"
    part = settings(validation={"subjects": 1, "every": 6, "steps": 1})
    assert train(packed, out, "rela", part) == 0
    return out


def test_a_row_per_temperature_of_the_validation_subjects(model, packed, capsys):
    given = [str(model), "--packed", str(packed), "--sampling", "ddim-3x2", "--temperatures"]
    assert temperature.main([*given, "1", "3"]) == 0
    note, _, head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert note.startswith("SIMULATED DATA") and note.endswith("scans of validation subjects")
    assert "spread/skill" in head
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == ["regression-1", "ddim-3x2", "ddim-3-t3x2"]
    assert cells[0][4] == "" and float(cells[2][4]) > float(cells[1][4]) > 0


def test_the_pairs_are_of_the_people_who_chose_the_weights(model, packed):
    info, data = json.loads((model / "train.json").read_text()), PackedDataset(packed)
    pairs = temperature.validation_pairs(data, info)
    assert data.names(pairs) == info["subjects"]["validation"]
    assert len(pairs) == info["validation"]["pairs"]


def test_scores_are_those_of_the_formulas():
    random = np.random.default_rng(0)
    truth = random.normal(size=20_000)
    samples = 0.5 + random.normal(size=(8, 20_000))
    one, mean, crps, ratio = temperature.scores(samples, truth, data_range=10.0)
    assert one == pytest.approx(10 * np.log10(100 / 2.25), abs=0.1)
    assert mean == pytest.approx(10 * np.log10(100 / (1 + 0.25 + 1 / 8)), abs=0.1)
    assert crps == pytest.approx(np.abs(samples - truth).mean() - 1 / np.pi**0.5, abs=0.01)
    assert ratio == pytest.approx((9 / 8 / (1.25 + 1 / 8)) ** 0.5, abs=0.02)


def test_a_model_without_validation_subjects_and_other_data_are_refused(
    packed, packed_external, model, tmp_path, capsys
):
    assert train(packed, tmp_path / "rela", "rela") == 0
    capsys.readouterr()
    for folder, cohort, said in (
        (tmp_path / "rela", packed, "no validation subjects"),
        (model, packed_external, "not the cohort that the model was trained on"),
    ):
        assert temperature.main([str(folder), "--packed", str(cohort)]) == 2
        assert said in capsys.readouterr().err
    wrong = [str(model), "--packed", str(packed), "--sampling", "rk4-2"]
    assert temperature.main(wrong) == 2 and "rk4" in capsys.readouterr().err
