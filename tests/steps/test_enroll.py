"""Who may be of use is known before anything is registered."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad import cli
from relad.fileio import read_table, write_json
from tests.helpers.settings import file_of, study, tracer


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """Four complete people, one without FLAIR, one without PET, one without T1w."""
    root = tmp_path / "bids"
    for number in range(7):
        for folder, suffix in (("anat", "T1w"), ("anat", "FLAIR"), ("pet", "trc-AV1451_pet")):
            if {4: "FLAIR", 5: "trc-AV1451_pet", 6: "T1w"}.get(number) == suffix:
                continue
            file = root / f"sub-S{number}" / folder / f"sub-S{number}_{suffix}.nii.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            told = {"TracerName": "AV1451"} if folder == "pet" else {}
            write_json(file.with_name(file.name.replace(".nii.gz", ".json")), told)
    return root


def enroll(bids: Path, *, folds: int = 4, validation: int = 0, role: str = "train") -> int:
    settings = study(
        tracers={"tau": tracer("AV1451")},
        cohorts={"toy": {"role": role}},
        folds={"count": folds},
        training={"validation": {"subjects": validation, "every": 1, "steps": 1}},
    )
    words = ["enroll", str(bids), str(bids.parent / "enrolled.tsv"), "--cohort", "toy"]
    return cli.main([*words, "--settings", file_of(settings)])


def test_everybody_has_a_row_and_a_reason(bids: Path, capsys) -> None:
    assert enroll(bids) == 0
    rows = {row["subject"]: row for row in read_table(bids.parent / "enrolled.tsv")}
    assert [rows[f"S{i}"]["usable"] for i in range(7)] == ["yes"] * 4 + ["no"] * 3
    assert rows["S0"]["tracers"] == "tau"
    assert rows["S4"]["reason"] == "no FLAIR with its T1w"
    assert rows["S5"]["reason"] == "no PET with its T1w"
    assert rows["S6"]["reason"] == "sub-S6 has no session with a T1w"
    assert "toy: 4 of 7 people have what methods need; without: S4" in capsys.readouterr().err


def test_more_folds_or_validation_subjects_than_people_name_those_who_lack_what(
    bids: Path, capsys
) -> None:
    assert enroll(bids, folds=5) == 2
    said = capsys.readouterr().err
    assert "folds.count is 5, but cohort toy has 4 people to cut into folds" in said
    assert "cannot be used: S4 (no FLAIR with its T1w); S5 (no PET with its T1w); S6" in said
    assert enroll(bids, folds=2, validation=2) == 2
    assert "training.validation.subjects is 2, but of the 4 people" in capsys.readouterr().err
    assert enroll(bids, folds=2, validation=1) == 0
    assert enroll(bids, folds=5, role="external") == 0


def test_who_only_has_models_applied_needs_no_pet(bids: Path) -> None:
    assert enroll(bids, role="apply") == 0
    rows = {row["subject"]: row for row in read_table(bids.parent / "enrolled.tsv")}
    assert [rows[f"S{i}"]["usable"] for i in range(7)] == ["yes"] * 4 + ["no", "yes", "no"]


def test_nobody_at_all_is_refused(bids: Path, capsys) -> None:
    for number in range(4):
        (bids / f"sub-S{number}" / "anat" / f"sub-S{number}_FLAIR.nii.gz").unlink()
    assert enroll(bids, role="external") == 2
    assert "nobody of cohort toy can be used" in capsys.readouterr().err
