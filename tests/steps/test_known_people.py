"""People of another cohort whom a model knows, from its training to the evaluation."""

from __future__ import annotations

import shutil

import pytest

from relad.cli import main
from relad.fileio import read_json, read_table, write_table
from tests.helpers.settings import file_of, study
from tests.helpers.trainings import train


@pytest.fixture(scope="module")
def known(packed, packed_external, tmp_path_factory):
    """A model, and an external cohort of which the first has the MRI of a person it learnt from."""
    root = tmp_path_factory.mktemp("known")
    home, away = (
        shutil.copytree(p, root / name) for p, name in ((packed, "home"), (packed_external, "away"))
    )
    for folder, mark in ((home, "S"), (away, "E")):
        rows = read_table(folder / "subjects.tsv")
        for number, row in enumerate(rows):
            row["mri_sha256"] = f"{mark}{number}"
        if folder == away:
            rows[0]["mri_sha256"] = "S1"
        write_table(folder / "subjects.tsv", rows, list(rows[0]))
    assert train(home, root / "model", "template") == 0
    return root


def synthesize(root, out, known_people=None) -> int:
    cohort = read_json(root / "away" / "dataset.json")["cohort"]
    entry = {"role": "external", "source": "packed", "known_people": known_people}
    options = ["--settings", file_of(study(cohorts={cohort: entry}))] if known_people else []
    return main(["synthesize", *map(str, (root / "model", root / "away", out)), *options])


def test_a_model_keeps_the_mri_of_all_its_people(known):
    told = read_json(known / "model" / "train.json")
    people = {name for part in told["subjects"].values() for name in part}
    assert set(told["mri_sha256"]) == people
    assert set(told["mri_sha256"].values()) == {f"S{n}" for n in range(len(people))}


@pytest.mark.parametrize("known_people", [None, "refuse", "others"])
def test_somebody_it_learnt_from_is_not_tested(known, tmp_path, capsys, known_people):
    assert synthesize(known, tmp_path / "out", known_people) == 2
    error = capsys.readouterr().err
    assert "E000 (the same MRI as S001)" in error
    assert "known_people: leave_out" in error
    assert not (tmp_path / "out").exists()


def test_or_is_left_out_through_to_the_metrics(known, tmp_path, capsys):
    assert synthesize(known, tmp_path / "out", "leave_out") == 0
    told = read_json(tmp_path / "out" / "synthesis.json")
    assert told["left_out"] == {"E000": "the same MRI as S001"}
    assert "E000" not in told["subjects"] and "E001" in told["subjects"]
    assert "left out" in capsys.readouterr().err
    table = tmp_path / "out.csv"
    packed = ["--packed", str(known / "away")]
    assert main(["evaluate", str(tmp_path / "out"), str(table), *packed]) == 0
    assert {row["subject"] for row in read_table(table)} == set(told["subjects"])
    assert read_json(table.with_suffix(".json"))["left_out"] == told["left_out"]
