"""What is counted and compared in a series' headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.cohort import dicom_series
from relad.errors import DataError
from tests.helpers.loni import SLICES, A, write_media_directory, write_mri, write_pet


def notes(files: list[Path]) -> list[str]:
    return dicom_series.check_counts(dicom_series.read_series(files, "I1"), "I1")


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("ImagesInAcquisition", "images"),
        ("NumberOfSeriesRelatedInstances", "files"),
        ("InConcatenationTotalNumber", "files"),
    ],
)
def test_fewer_images_than_stated_are_refused(tmp_path: Path, key: str, what: str):
    def change(data, k, frame):
        setattr(data, key, SLICES)

    files = write_mri(tmp_path, A, 1, "MPRAGE", change=change)
    assert notes(files) == []
    with pytest.raises(DataError, match=rf"I1: {SLICES - 1} {what} where the header states"):
        notes(files[:-1])


def test_copies_count_once_and_the_phase_counts_too(tmp_path: Path):
    def stated(data, k, frame):
        data.ImagesInAcquisition = 2 * SLICES
        data.ImageType = ["ORIGINAL", "PRIMARY", "M" if frame == 0 else "P", "ND"]

    files = write_mri(tmp_path, A, 1, "MPRAGE", change=stated)
    with pytest.raises(DataError, match=f"{SLICES} images where the header states {2 * SLICES}"):
        notes(files)
    phase = write_mri(tmp_path, A, 2, "MPRAGE", change=lambda d, k, f: (
        stated(d, k, 1), setattr(d, "SeriesInstanceUID", "1.2.3.1")))  # fmt: skip
    series = dicom_series.read_series([*files, *phase], "I1")
    assert len(series.frames) == 1
    assert series.count == 2 * SLICES


def test_a_slice_beside_the_others_by_a_part_of_a_pixel_is_noticed(tmp_path: Path):
    def change(data, k, frame):
        if k == 3:
            data.ImagePositionPatient = [0.9, 0, 9.0]

    files = write_mri(tmp_path, A, 1, "MPRAGE", change=change)
    with pytest.raises(DataError, match=r"a slice lies 0\.\d mm beside the others"):
        dicom_series.read_series(files, "I1")


def test_temporal_positions_against_time_are_a_note_and_within_a_frame_a_reason(tmp_path: Path):
    def backwards(data, k, frame):
        data.TemporalPositionIdentifier = 3 - frame

    series = dicom_series.read_series(write_pet(tmp_path / "a", A, 1, "x", change=backwards), "I1")
    assert series.notes == ("its temporal positions do not count up with time, which was believed",)

    def mixed(data, k, frame):
        data.TemporalPositionIdentifier = 1 + (frame + (k == 2)) % 3

    with pytest.raises(DataError, match="holds planes of several temporal positions"):
        dicom_series.read_series(write_pet(tmp_path / "b", A, 1, "x", change=mixed), "I1")


def test_the_directory_of_a_medium_is_no_part_of_a_series(tmp_path: Path):
    files = write_mri(tmp_path, A, 1, "MPRAGE")
    directory = write_media_directory(files[0].with_name("0.dcm"))
    series = dicom_series.read_series([directory, *files], "I1")
    assert set(series.files) == set(files) and notes([*files, directory]) == notes(files)
    with pytest.raises(DataError, match="I1: has no files"):
        dicom_series.read_series([directory], "I1")
