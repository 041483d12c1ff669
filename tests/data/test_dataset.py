"""What a folder must hold to be a packed cohort."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from relad.data.dataset import PackedDataset
from relad.errors import DataError
from relad.fileio import read_json, write_json


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
