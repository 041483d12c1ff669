"""Which scans of a BIDS folder are taken; files and DICOM are tested where they are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.fileio import write_json
from relad.prediction import scans

BOTH = ("T1w", "FLAIR")


def add(root: Path, label: str, session: str | None, *kinds: str, day: str | None = None) -> None:
    parts = [f"sub-{label}", *([f"ses-{session}"] if session else [])]
    folder = root.joinpath(*parts, "anat")
    folder.mkdir(parents=True)
    for kind in kinds:
        stem = "_".join([*parts, kind])
        (folder / f"{stem}.nii.gz").touch()
        if day:
            write_json(folder / f"{stem}.json", {"AcquisitionDateTime": f"{day}T10:00:00"})


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "bids"
    add(root, "A", "late", *BOTH, day="2021-05-05")
    add(root, "A", "early", "T1w", day="2019-01-01")
    add(root, "A", "middle", *BOTH, day="2020-02-02")
    add(root, "B", None, "T1w")
    write_json(root / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.10.0"})
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-A\t71\tF\n")
    return root


def found(path: Path, wanted: tuple[str, ...] = BOTH, **labels: str) -> tuple[str | None, set[str]]:
    given = scans.find(path, None, wanted, **labels)
    return given.session, {c.files[0].name.split(".")[0] for c in given.images.values()}


def test_the_earliest_session_with_all_that_the_model_needs(dataset: Path):
    middle = {f"sub-A_ses-middle_{kind}" for kind in BOTH}
    assert found(dataset, subject="A") == ("middle", middle)
    assert found(dataset / "sub-A") == ("middle", middle)
    assert found(dataset, ("T1w",), subject="A") == ("early", {"sub-A_ses-early_T1w"})
    assert scans.find(dataset / "sub-A", None, BOTH).told["age"] == "71"


def test_a_session_by_name_or_by_its_folder(dataset: Path):
    late = {f"sub-A_ses-late_{kind}" for kind in BOTH}
    assert found(dataset, subject="A", session="late") == ("late", late)
    assert found(dataset / "sub-A" / "ses-late") == ("late", late)
    assert found(dataset / "sub-B") == (None, {"sub-B_T1w"})
    with pytest.raises(ReladError, match="holds no T1w of sub-A, ses-never"):
        scans.find(dataset, None, BOTH, subject="A", session="never")


def test_the_only_person_needs_no_name(dataset: Path):
    shutil.rmtree(dataset / "sub-A")
    assert scans.find(dataset, None, BOTH).subject == "B"


def test_the_person_of_the_folder_is_nobody_else(dataset: Path):
    with pytest.raises(ReladError, match="is of sub-A, and --subject says B"):
        scans.find(dataset / "sub-A", None, BOTH, subject="B")
