"""Images dressed with their own error: the formula, whose errors, and whom it is scored on."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import dressed
from benchmarks.people import pairs_of
from relad.data.dataset import PackedDataset
from relad.fileio import read_json
from relad.results.metrics.ensemble import crps


def test_crps_is_that_of_many_samples():
    random = np.random.default_rng(0)
    mean, deviation = random.normal(size=50), random.uniform(0.1, 2, 50)
    truth = mean + random.normal(size=50)
    samples = mean + deviation * random.normal(size=(20_000, 50))
    known = crps(samples, truth)
    assert dressed.crps_of_normal(mean, deviation, truth).mean() == pytest.approx(known, rel=0.01)


def test_the_deviation_is_of_what_each_person_shows():
    shape = (20, 12, 12)
    left = np.zeros(shape, bool)
    left[:10] = True
    whole = np.ones(shape, bool)
    errors = [(np.full(shape, 3.0), left), (np.full(shape, 1.0), whole)]
    found = dressed.deviation_of(errors)
    assert found[0, 6, 6] == pytest.approx(np.sqrt((9 + 1) / 2), rel=1e-3)
    assert found[-1, 6, 6] == pytest.approx(1.0, rel=1e-3)


def test_a_row_per_method_of_the_people_whom_its_fold_tests(validated, packed, capsys):
    assert dressed.main([str(validated), "--packed", str(packed)]) == 0
    note, _, head, _, row = capsys.readouterr().out.strip().splitlines()
    data, info = PackedDataset(packed), read_json(validated / "train.json")
    assert note.startswith("SIMULATED DATA") and "CRPS, dressed" in head
    name, n, mae, score, inside = (cell.strip() for cell in row.strip("|").split("|"))
    tested = {i for i, _ in pairs_of(data, info, "test")}
    assert (name, int(n)) == (info["method"], len(tested))
    assert 0 < float(score) < float(mae) and 0.3 < float(inside) <= 1


def test_elsewhere_everybody_is_scored(validated, packed, packed_external, capsys):
    given = [str(validated), "--packed", str(packed), "--elsewhere", str(packed_external)]
    assert dressed.main(given) == 0
    row = capsys.readouterr().out.strip().splitlines()[-1]
    people = {i for i, _ in PackedDataset(packed_external).pairs()}
    assert int(row.strip("|").split("|")[1]) == len(people)
