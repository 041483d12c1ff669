"""PET frame times in s after the injection, from what the headers of real scanners look like."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from relad.cohort import dicom_pet_checks, dicom_series
from relad.cohort.adni import Entry
from relad.cohort.bids import pet_sidecar
from relad.cohort.images import session_label
from relad.errors import DataError
from tests.helpers.loni import MINUTE, SLICES, clock, write_pet

PTID = "941_S_0001"
HOUR = 60 * MINUTE


def times(tmp_path: Path, **options) -> dict:
    files = write_pet(tmp_path, PTID, 1, "AV1451", **options)
    series = dicom_series.read_series(files, "I1")
    return pet_sidecar(Entry("I1", PTID), {"FrameTimesStart": [0, 0, 0]}, series, "AV1451")


def test_frames_count_from_the_injection_not_from_the_scan(tmp_path: Path):
    got = times(tmp_path, start=14.5 * HOUR, injected=13.25 * HOUR)
    assert got["TimeZero"] == "13:15:00"
    assert (got["InjectionStart"], got["ScanStart"]) == (0, 75 * MINUTE)
    assert got["FrameTimesStart"] == [75 * MINUTE, 80 * MINUTE, 85 * MINUTE]


def test_a_scan_that_begins_before_the_injection(tmp_path: Path):
    got = times(tmp_path, start=14 * HOUR, injected=14 * HOUR + 20)
    assert got["FrameTimesStart"] == [-20, 280, 580]


def test_an_injection_before_midnight(tmp_path: Path):
    got = times(tmp_path, start=0.5 * HOUR, injected=23.5 * HOUR)
    assert got["FrameTimesStart"][0] == HOUR
    assert got["TimeZero"] == "23:30:00"


def test_a_scan_across_midnight(tmp_path: Path):
    def date(data, k, frame):
        if frame > 0:
            data.AcquisitionDate = "20200204"

    got = times(tmp_path, start=24 * HOUR - 150, injected=22.5 * HOUR, change=date)
    assert got["FrameTimesStart"] == [5250, 5550, 5850]


def test_a_scan_across_midnight_whose_date_stays(tmp_path: Path):
    got = times(tmp_path, start=24 * HOUR - 150, injected=22.5 * HOUR)
    assert got["FrameTimesStart"] == [5250, 5550, 5850]


def test_an_injection_whose_date_was_shifted_keeps_its_time_of_day(tmp_path: Path):
    def shifted(data, k, frame):
        drug = data.RadiopharmaceuticalInformationSequence[0]
        drug.RadiopharmaceuticalStartDateTime = "19000101131500.000000+0100"

    got = times(tmp_path, start=14.5 * HOUR, injected=None, change=shifted)
    assert got["FrameTimesStart"][0] == 75 * MINUTE


def test_without_an_injection_time_the_scan_is_time_zero_and_the_sidecar_says_so(tmp_path: Path):
    got = times(tmp_path, start=14.5 * HOUR, injected=None)
    assert got["InjectionStart"] == "unknown"
    assert (got["TimeZero"], got["ScanStart"]) == ("14:30:00", 0)
    assert got["FrameTimesStart"] == [0, 300, 600]


def test_frames_of_a_processed_series_are_told_apart_by_their_reference_time(tmp_path: Path):
    half_life, length = 6586.2, 300
    rate = math.log(2) / half_life
    mean = math.log(rate * length / (1 - math.exp(-rate * length))) / rate

    def processed(data, k, frame):
        data.AcquisitionTime = clock(14.5 * HOUR)
        data.FrameReferenceTime = (frame * length + mean) * 1000

    got = times(tmp_path, start=14.5 * HOUR, injected=13.25 * HOUR, change=processed)
    assert got["FrameTimesStart"] == pytest.approx([4500, 4800, 5100], abs=0.01)


def test_frames_that_nothing_tells_apart_have_unknown_times(tmp_path: Path):
    def bare(data, k, frame):
        data.AcquisitionTime = clock(14.5 * HOUR)
        del data.FrameReferenceTime

    got = times(tmp_path, change=bare)
    assert got["FrameTimesStart"] == got["ScanStart"] == "unknown"
    assert got["FrameDuration"] == [300, 300, 300]


def test_two_beds_are_one_volume_that_starts_with_the_first_bed(tmp_path: Path):
    def beds(data, k, frame):
        data.AcquisitionTime = clock(14.5 * HOUR + 120 * (k >= SLICES // 2))

    got = times(tmp_path, frames=1, start=14.5 * HOUR, injected=13.5 * HOUR, change=beds)
    assert got["FrameTimesStart"] == [HOUR]


def test_frames_do_not_depend_on_file_names_or_instance_numbers(tmp_path: Path):
    def jumbled(data, k, frame):
        data.InstanceNumber = data.ImageIndex = (7 * data.InstanceNumber) % 19

    files = write_pet(tmp_path, PTID, 1, "AV1451", change=jumbled)
    frames = dicom_series.read_series(files[::-1], "I1").frames
    assert [f.reference_s for f in frames] == [150, 450, 750]


@pytest.mark.parametrize(
    ("correction", "series_time", "expected"),
    [
        ("ADMIN", 14.5 * HOUR, (True, 0)),
        ("START", 14.5 * HOUR, (True, 75 * MINUTE)),
        ("START", 14.4 * HOUR, (True, 69 * MINUTE)),  # SeriesTime, not the first acquisition
        ("NONE", 14.5 * HOUR, (False, "n/a")),
        ("", 14.5 * HOUR, ("unknown", "unknown")),
    ],
)
def test_decay_correction_refers_to_injection_or_series_time(
    tmp_path: Path, correction, series_time, expected
):
    def change(data, k, frame):
        data.DecayCorrection, data.SeriesTime = correction, clock(series_time)

    got = times(tmp_path, start=14.5 * HOUR, injected=13.25 * HOUR, change=change)
    assert (got["ImageDecayCorrected"], got["ImageDecayCorrectionTime"]) == expected


def test_a_session_is_the_visit_in_letters_and_digits_or_the_date():
    assert session_label(Entry("I1", PTID, visit="ADNI3 Year-1 (é)")) == "ADNI3Year1e"
    assert session_label(Entry("I1", PTID, acq_date="2020-02-03")) == "20200203"
    with pytest.raises(DataError, match="neither a visit nor a date"):
        session_label(Entry("I1", PTID))


def beds(factors: tuple[float, float], seconds: float = 600.0):
    """Two beds, the second ``seconds`` later, each with its own DecayFactor."""

    def change(data, k, frame):
        upper = k >= SLICES // 2
        data.AcquisitionTime = clock(14.5 * HOUR + seconds * upper)
        data.DecayFactor = factors[int(upper)]

    return change


RATE = math.log(2) / 6586.2


def checked(tmp_path: Path, change, frames: int = 1) -> dicom_series.Series:
    files = write_pet(tmp_path, PTID, 1, "AV1451", frames=frames, change=change)
    series = dicom_series.read_series(files, "I1")
    dicom_pet_checks.check_decay(series, "I1")
    return series


def test_beds_corrected_to_the_series_start_are_one_volume(tmp_path: Path):
    x = RATE * 300
    within = x / (1 - math.exp(-x))
    checked(tmp_path / "a", beds((within, within * math.exp(RATE * 600))))
    checked(tmp_path / "b", beds((1.0, math.exp(RATE * 600))))  # no decay within a frame


def test_beds_each_corrected_to_their_own_start_are_refused(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"I1: its decay factors refer to different times \(6% apart"
    ):
        checked(tmp_path, beds((1.016, 1.016)))


def test_beds_without_correction_are_refused(tmp_path: Path):
    def change(data, k, frame):
        beds((1.0, 1.0))(data, k, frame)
        data.DecayCorrection = "NONE"

    with pytest.raises(DataError, match="its beds are not corrected for decay to one time"):
        checked(tmp_path, change)


def test_frames_each_corrected_to_their_own_start_are_refused(tmp_path: Path):
    def one(data, k, frame):
        data.DecayFactor = 1.016

    with pytest.raises(DataError, match="its decay factors refer to different times"):
        checked(tmp_path / "a", one, frames=3)

    def right(data, k, frame):
        data.DecayFactor = 1.016 * math.exp(RATE * 300 * frame)

    assert len(checked(tmp_path / "b", right, frames=3).frames) == 3


def test_a_plane_whose_time_belongs_to_another_frame_is_noticed(tmp_path: Path):
    def swapped(data, k, frame):
        if k == 2 and frame == 1:
            data.AcquisitionTime = clock(14.5 * HOUR - 60)

    files = write_pet(tmp_path, PTID, 1, "AV1451", start=14.5 * HOUR, change=swapped)
    with pytest.raises(DataError, match="planes of frames 1 and 2 overlap in time"):
        dicom_series.read_series(files, "I1")
