"""Temperatures tried on validation subjects: whose, what is measured, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import temperature
from benchmarks.people import pairs_of
from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr
from relad.fileio import read_json
from tests.helpers.packing import cut_pet
from tests.helpers.trainings import train


def test_a_row_per_temperature_of_the_validation_subjects(validated, packed, capsys):
    given = [str(validated), "--packed", str(packed), "--sampling", "ddim-3x2", "--temperatures"]
    assert temperature.main([*given, "1", "3"]) == 0
    note, _, head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert note.startswith("SIMULATED DATA") and note.endswith("scans of validation subjects")
    assert "spread/skill" in head
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == ["regression-1", "ddim-3x2", "ddim-3-t3x2"]
    assert cells[0][4] == "" and float(cells[2][4]) > float(cells[1][4]) > 0


def test_of_a_cut_pet_only_what_it_shows_counts(validated, packed, tmp_path, monkeypatch):
    whole, info = PackedDataset(packed), read_json(validated / "train.json")
    pairs = pairs_of(whole, info, "validation")
    cut = cut_pet(tmp_path / "cut", packed, pairs, top=8)
    given, scores = [], temperature.scores

    def noted(samples, truth, data_range):
        given.append((samples, truth))
        return scores(samples, truth, data_range)

    monkeypatch.setattr(temperature, "scores", noted)
    _, (row,) = temperature.measured(validated, cut.path, [])
    assert float(row["one sample (dB)"]) > 0 and len(given) == len(pairs)
    for (i, k), (samples, truth) in zip(pairs, given, strict=True):
        pet = to_suvr(whole.pet[i, k][..., :8], whole.windows[whole.tracers[k]])
        np.testing.assert_array_equal(truth, pet[whole.mask[i][..., :8]])
        assert samples.shape == (1, len(truth))


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
    packed, packed_external, validated, tmp_path, capsys
):
    assert train(packed, tmp_path / "rela", "rela") == 0
    capsys.readouterr()
    for folder, cohort, said in (
        (tmp_path / "rela", packed, "no validation subjects"),
        (validated, packed_external, "not the cohort that the model was trained on"),
    ):
        assert temperature.main([str(folder), "--packed", str(cohort)]) == 2
        assert said in capsys.readouterr().err
    wrong = [str(validated), "--packed", str(packed), "--sampling", "rk4-2"]
    assert temperature.main(wrong) == 2 and "rk4" in capsys.readouterr().err
