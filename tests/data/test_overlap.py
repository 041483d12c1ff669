"""People whom a model knows."""

from __future__ import annotations

import shutil

import pytest

from relad.data.dataset import PackedDataset, refuse_twins
from relad.data.overlap import left_out, mri_of, seen_by
from relad.errors import ReladError
from relad.fileio import read_json, read_table, write_json, write_table
from tests.helpers.packing import write_packed


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """An external cohort of four: E000 to E003, each with the hash of its MRI."""
    path = write_packed(
        tmp_path_factory.mktemp("packed") / "elsewhere",
        subjects=4,
        cohort="elsewhere",
        role="external",
    )
    rows = read_table(path / "subjects.tsv")
    for row in rows:
        row["mri_sha256"] = f"hash-{row['subject']}"
    write_table(path / "subjects.tsv", rows, list(rows[0]))
    return path


def model(**changes):
    """What train.json says of people: S0 is trained on, S1 validated on, S2 held out."""
    told = {
        "cohort": "home",
        "subjects": {"train": ["S0"], "validation": ["S1"], "test": ["S2"]},
        "mri_sha256": {"S0": "hash-S0", "S1": "hash-S1", "S2": "hash-S2"},
    }
    return {**told, **changes}


def test_strangers_are_tested(elsewhere):
    assert left_out(model(), PackedDataset(elsewhere), "refuse", "model") == {}


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_the_same_id_is_refused_in_whichever_part_it_is(elsewhere, part):
    """A person of the held-out fold was trained on by the other folds' models."""
    info = model(subjects={**model()["subjects"], part: ["E001"]})
    with pytest.raises(
        ReladError, match=r"1 people of the cohort that m was trained on: E001"
    ) as e:
        left_out(info, PackedDataset(elsewhere), "refuse", "m")
    assert "cohorts.elsewhere.known_people: leave_out" in str(e.value)


def test_the_same_mri_under_another_id_is_recognised(elsewhere):
    info = model(mri_sha256={"S2": "hash-E003"})
    data = PackedDataset(elsewhere)
    assert seen_by(info, data.subjects, ids=True) == {"E003": "the same MRI as S2"}
    with pytest.raises(ReladError, match=r"E003 \(the same MRI as S2\)"):
        left_out(info, data, "others", "model")


def test_other_people_may_have_the_same_ids(elsewhere):
    info = model(subjects={"train": ["E000", "E001"], "validation": [], "test": []})
    assert left_out(info, PackedDataset(elsewhere), "others", "model") == {}


def test_who_is_known_can_be_left_out_and_that_is_said(elsewhere, capsys):
    info = model(subjects={"train": ["E000"], "validation": [], "test": ["E002"]})
    found = left_out(info, PackedDataset(elsewhere), "leave_out", "model")
    assert found == {"E000": "the same id", "E002": "the same id"}
    assert "left out, since model knows them: E000 (the same id), E002" in capsys.readouterr().err


def test_people_of_its_own_cohort_are_told_by_the_folds(elsewhere):
    info = model(cohort="elsewhere", subjects={"train": ["E000"], "validation": [], "test": []})
    assert left_out(info, PackedDataset(elsewhere), "refuse", "model") == {}


def test_a_model_may_be_applied_to_its_own_people_and_that_is_said(elsewhere, tmp_path, capsys):
    applied = shutil.copytree(elsewhere, tmp_path / "applied")
    write_json(applied / "dataset.json", {**read_json(applied / "dataset.json"), "role": "apply"})
    info = model(subjects={"train": ["E000"], "validation": [], "test": []})
    assert left_out(info, PackedDataset(applied), "refuse", "model") == {}
    assert "model was trained with E000 (the same id) of these people" in capsys.readouterr().err


def test_models_and_cohorts_of_before_the_hash_are_compared_by_id(elsewhere, tmp_path):
    old = write_packed(tmp_path / "old", subjects=2, cohort="old", role="external")
    info = {k: v for k, v in model().items() if k != "mri_sha256"}
    assert left_out(info, PackedDataset(old), "refuse", "model") == {}
    assert left_out(model(), PackedDataset(old), "refuse", "model") == {}
    assert mri_of(PackedDataset(old), ["E000"]) == {}


def test_hashes_of_those_who_are_asked_for(elsewhere):
    assert mri_of(PackedDataset(elsewhere), ["E001", "E003"]) == {
        "E001": "hash-E001",
        "E003": "hash-E003",
    }


def test_one_mri_under_two_ids_is_refused():
    rows = [{"subject": s, "mri_sha256": h} for s, h in (("A", "1"), ("B", "2"), ("C", "1"))]
    refuse_twins(rows[:2], "packed")
    with pytest.raises(ReladError, match="A and C have the same MRI"):
        refuse_twins(rows, "packed")
