"""Times and names of a BIDS source that contradict themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relad.cohort.frame_times import check_sidecar
from relad.errors import DataError
from relad.fileio import read_json
from relad.steps.ingest import ingest
from tests.helpers.bids_tree import PET, SETTINGS, session, table, write_image

NAN = float("nan")
WINDOW = (80, 100)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"FrameTimesStart": [4800, NAN]}, "its FrameTimesStart is not a list of numbers"),
        ({"FrameDuration": [300, float("inf")]}, "its FrameDuration is not a list of numbers"),
        ({"FrameTimesStart": ["4800", "5100"]}, "its FrameTimesStart is not a list of numbers"),
        ({"InjectionStart": NAN}, "its InjectionStart is not a number"),
        ({"FrameDuration": [300, 0]}, "a frame of no duration"),
        ({"FrameDuration": [5100, 5400]}, "lasts into frame 2"),
        ({"FrameTimesStart": [5100, 4800]}, "lasts into frame 2"),
        *(({"ImageDecayCorrected": w}, "is neither true nor false") for w in ("no", 0, 1, [True])),
        ({"FrameTimesStart": [0, 300]}, "counted from the scan's start other frames would be"),
    ],
)
def test_a_sidecar_that_cannot_be_right_is_refused(told: dict, said: str):
    with pytest.raises(DataError, match=said):
        check_sidecar({**PET, **told}, WINDOW)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, None),
        ({"ScanStart": 0}, None),  # frames of a part of a scan
        ({"InjectionStart": "unknown"}, None),
        ({"FrameTimesStart": [4800, 5400]}, "no frame covers the 300 s between frames 1 and 2"),
        ({"ScanStart": 4860}, "before its scan at 4860 s"),
        (
            {"FrameTimesStart": [80, 85], "FrameDuration": [5, 5], "ScanStart": 80},
            r"no frame lies within 80 to 100 min .* from 1\.33333 to 1\.5 min",
        ),
        (
            {"FrameTimesStart": [4.8e6, 5.1e6], "FrameDuration": [3e5, 3e5]},
            "no frame lies within .* from 80000 to 90000 min",
        ),
    ],
)
def test_what_may_be_right_is_a_note(told: dict, said: str | None):
    notes = check_sidecar({**PET, **told}, WINDOW)
    assert (notes == []) if said is None else any(re.search(said, note) for note in notes)


@pytest.mark.parametrize(
    ("told", "meant"), [("false", False), (" False", False), ("True", True), ("n/a", "unknown")]
)
def test_decay_correction_in_plain_words_is_read(tmp_path: Path, told, meant):
    session(tmp_path / "in", "01", None, {**PET, "ImageDecayCorrected": told})
    ingest(tmp_path / "in", tmp_path / "out", SETTINGS)
    (file,) = (tmp_path / "out").rglob("*_pet.json")
    assert read_json(file)["ImageDecayCorrected"] == meant


def test_decay_correction_in_other_words_is_a_reason(tmp_path: Path):
    session(tmp_path / "in", "01", None, {**PET, "ImageDecayCorrected": "no"})
    ingest(tmp_path / "in", tmp_path / "out", SETTINGS)
    reason = table(tmp_path / "out")["sub-01/pet/sub-01_pet.nii.gz"]["reason"]
    assert "its ImageDecayCorrected is neither true nor false ('no')" in reason


@pytest.mark.parametrize("label", ["acq-postgad", "acq-localizer", "rec-masked", "chunk-1"])
def test_a_file_whose_labels_say_that_it_is_no_t1w_to_use(tmp_path: Path, label: str):
    folder = session(tmp_path / "in", "01", "a", PET)
    (whole,) = (folder / "anat").glob("*_T1w.nii.gz")
    whole.unlink()
    image = write_image(folder / "anat" / f"sub-01_ses-a_{label}_T1w.nii.gz")
    ingest(tmp_path / "in", tmp_path / "bids", SETTINGS)
    row = table(tmp_path / "bids")[image.relative_to(tmp_path / "in").as_posix()]
    assert row["status"] == "dropped" and "not used" in row["reason"]
