"""What a folder must hold to be a packed cohort."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from relad.data.dataset import PackedDataset
from relad.errors import DataError, ReladError
from relad.fileio import read_json, read_table, write_json, write_table
from tests.helpers.packing import write_packed


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [("kind", None, "'kind'"), ("kind", "fake", "'fake'"), ("shape", None, "'shape'")],
)
def test_a_folder_that_does_not_say_what_its_data_are_is_refused(
    packed: Path, tmp_path: Path, key: str, value: str | None, told: str
) -> None:
    shutil.copytree(packed, tmp_path / "packed")
    file = tmp_path / "packed" / "dataset.json"
    info = {**read_json(file), key: value}
    write_json(file, {k: v for k, v in info.items() if v is not None})
    with pytest.raises(DataError, match=f"no description of a packed cohort.*{told}") as caught:
        PackedDataset(tmp_path / "packed")
    assert caught.value.file == str(file)


def test_what_is_told_beside_the_data_does_not_make_them_others(
    packed: Path, tmp_path: Path
) -> None:
    """A cohort packed again with its scanners and settings is the one that models know."""
    shutil.copytree(packed, tmp_path / "packed")
    file, table = tmp_path / "packed" / "dataset.json", tmp_path / "packed" / "subjects.tsv"
    before = PackedDataset(packed).fingerprint
    write_json(file, {**read_json(file), "preprocessing": {"seed": 0}})
    rows = read_table(table)
    for row in rows:
        row |= {"scanner": "GE", "brain_volume_ml": "1500"}
    write_table(table, rows, list(rows[0]))
    again = PackedDataset(tmp_path / "packed")
    assert again.fingerprint == before
    assert again.subjects[0]["brain_volume_ml"] == 1500.0
    assert again.preprocessing == {"seed": 0}
    rows[0]["age"] = "90"
    write_table(table, rows, list(rows[0]))
    assert PackedDataset(tmp_path / "packed").fingerprint != before


def test_a_cohort_that_models_are_applied_to_has_every_tracer_and_no_pet(tmp_path: Path) -> None:
    folder = write_packed(tmp_path / "packed", subjects=2, role="apply")
    (folder / "pet.npy").unlink()
    rows = read_table(folder / "subjects.tsv")
    for row in rows:
        row["tracers"] = None
    write_table(folder / "subjects.tsv", rows, list(rows[0]))
    data = PackedDataset(folder)
    assert data.pairs() == [(i, k) for i in range(2) for k in range(3)]
    assert data.pet.shape == (2, 3, *data.shape) and np.isnan(data.pet[1, 2]).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fold": None}, "has no fold"),
        ({"tracers": "amylid"}, "has PET of amylid, of which dataset.json knows nothing"),
        ({"mri_sha256": "twin"}, "have the same MRI"),
    ],
)
def test_people_who_would_be_trained_on_and_tested_or_lose_a_scan_are_refused(
    packed: Path, tmp_path: Path, change: dict, told: str
) -> None:
    shutil.copytree(packed, tmp_path / "packed")
    table = tmp_path / "packed" / "subjects.tsv"
    rows = read_table(table)
    included = [row for row in rows if row["included"] == "yes"]
    included[0] |= {"mri_sha256": "twin"}
    included[1] |= change
    write_table(table, rows, list(rows[0]))
    with pytest.raises(ReladError, match=told) as caught:
        PackedDataset(tmp_path / "packed")
    assert caught.value.file == str(table)
