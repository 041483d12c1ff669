"""When a PET was acquired and what it is corrected for decay to, where headers contradict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from relad.cohort import join
from relad.errors import DataError, ReladError
from relad.fileio import read_json
from relad.status import SIMULATED_KEY
from relad.steps.ingest import ingest
from tests.helpers import bids_tree
from tests.helpers.loni import (
    MINUTE,
    SETTINGS,
    SLICES,
    A,
    clock,
    csv_row,
    expected,
    put,
    table,
    values,
    write_csv,
    write_enhanced_pet,
    write_pet,
)

HALF_LIFE = 6586.2
INJECTED = (13 * 60 + 10) * MINUTE
BEGIN = INJECTED + 80 * MINUTE


def ingested(root: Path, *texts: str) -> dict[str, dict]:
    """Rows of ingest.tsv of the PET 1, 2, … with these descriptions."""
    rows = [csv_row(n, A, text, "PET") for n, text in enumerate(texts, start=1)]
    write_csv(root / "c.csv", rows)
    ingest(root / "loni", root / "bids", SETTINGS)
    return table(root / "bids")


def sidecar(root: Path) -> dict:
    return read_json(next((root / "bids").rglob("*_pet.json")))


def setting(**elements):
    """A change of headers that sets elements, and removes those that are None."""

    return lambda data, k, frame: put(data, **elements)


# --- the start of a series


@pytest.mark.parametrize(
    ("first", "second", "noted"),
    [
        ({"SeriesDate": "20190203"}, {}, False),  # a year off
        ({}, {"SeriesDate": "20190203"}, False),
        ({}, {"SeriesDate": "20200202"}, False),  # a day off
        ({}, {"SeriesDate": None}, False),
        ({"SeriesDate": "20200204"}, {}, True),
        ({}, {"SeriesTime": "163000"}, True),  # reconstructed later
        ({"SeriesTime": "163000"}, {}, True),
        ({"SeriesTime": "163000"}, {"SeriesTime": "163000"}, True),
        ({}, {"SeriesDate": "20200204", "SeriesTime": "030000"}, True),  # in the night after
    ],
)
def test_runs_are_decay_corrected_alike_whatever_their_series_states(
    tmp_path: Path, first: dict, second: dict, noted: bool
):
    """Both are corrected to START, the later one's ten minutes after the earlier one's."""
    for image, elements in ((1, first), (2, second)):
        start = BEGIN + 10 * MINUTE * (image - 1)
        write_pet(tmp_path / "loni", A, image, f"AV1451 {image}", frames=2, start=start,
                  change=setting(**elements))  # fmt: skip
    rows = ingested(tmp_path, "AV1451 1", "AV1451 2")
    assert rows["I1"]["output"] == rows["I2"]["output"]
    data = values(tmp_path / "bids" / rows["I1"]["output"])
    np.testing.assert_allclose(data[..., 0], expected(1, 0) * 0.5, rtol=1e-4)
    factor = 2 ** (600 / HALF_LIFE)
    np.testing.assert_allclose(data[..., 2], expected(2, 0) * 0.5 * factor, rtol=1e-4)
    assert sidecar(tmp_path)["ImageDecayCorrectionTime"] == 80 * MINUTE
    said = " ".join(rows[i]["note"] for i in ("I1", "I2"))
    assert ("was not used: its scan began at 14:" in said) == noted


def test_a_scan_that_began_long_before_its_frame_is_corrected_to_its_start(tmp_path: Path):
    """A static image of 80 to 100 min, made later: its FrameReferenceTime counts from the start."""
    mean = 593.7  # s, of a count rate that decays over 20 minutes
    change = setting(
        SeriesTime="170000",
        ActualFrameDuration=20 * MINUTE * 1000,
        FrameReferenceTime=(80 * MINUTE + mean) * 1000,
    )
    write_pet(tmp_path / "loni", A, 1, "AV1451", frames=1, change=change)
    assert "its scan began at 13:" in ingested(tmp_path, "AV1451")["I1"]["note"]
    assert sidecar(tmp_path)["ImageDecayCorrectionTime"] == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    ("series_time", "said", "start"),
    [
        ("142000", "at 14:30:00 by AcquisitionTime, at 14:20:00 by SeriesTime and Fra", None),
        ("142900", "at 14:30:00 by AcquisitionTime, at 14:29:00 by SeriesTime and Fra", 79),
        ("170000", "its SeriesTime, 17:00:00, is after its first frame was acquired", 80),
        ("143000", None, 80),
    ],
)
def test_one_acquisition_time_of_all_frames_is_held_to_the_series_time(
    tmp_path: Path, series_time: str, said: str | None, start: float | None
):
    change = setting(AcquisitionTime=clock(BEGIN), SeriesTime=series_time)
    write_pet(tmp_path / "loni", A, 1, "AV1451", frames=4, change=change)
    if start is None:
        with pytest.raises(ReladError, match=f"{said}.*choose other frames.*put its headers right"):
            ingested(tmp_path, "AV1451")
        return
    note = ingested(tmp_path, "AV1451")["I1"]["note"]
    assert (note is None) if said is None else (said in note)
    assert sidecar(tmp_path)["FrameTimesStart"][0] == pytest.approx(start * MINUTE, abs=1)


def test_of_a_processed_series_all_frames_may_state_any_ones_acquisition_time(tmp_path: Path):
    text = "AV1451 Co-registered Dynamic"
    change = setting(AcquisitionTime=clock(BEGIN + 5 * MINUTE), FrameReferenceTime=None)

    def copied(data, k, frame):
        reference = data.FrameReferenceTime
        change(data, k, frame)
        data.FrameReferenceTime = reference

    write_pet(tmp_path / "loni", A, 1, text, frames=4, change=copied)
    assert ingested(tmp_path, text)["I1"]["note"] is None


# --- moments of decay correction


@pytest.mark.parametrize(
    ("moment", "joined"),
    [(4800, True), (5400, True), (0, True), (36000, False), (5.4e6, False), (-5.4e6, False)],
)
def test_runs_corrected_to_a_moment_far_from_their_scan_are_not_joined(
    tmp_path: Path, moment: float, joined: bool
):
    bids_tree.write_image(tmp_path / "source" / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    folder = tmp_path / "source" / "sub-01" / "pet"
    for run, late in ((1, {}), (2, {"FrameTimesStart": [5400, 5700], "ScanStart": 5400})):
        told = {**bids_tree.PET, **late, "ImageDecayCorrectionTime": moment if run == 2 else 4800}
        bids_tree.write_image(folder / f"sub-01_run-{run}_pet.nii.gz", (8, 9, 10, 2))
        bids_tree.write_json(folder / f"sub-01_run-{run}_pet.json", told)
    ingest(tmp_path / "source", tmp_path / "bids", bids_tree.SETTINGS)
    rows = bids_tree.table(tmp_path / "bids")
    first = rows["sub-01/pet/sub-01_run-1_pet.nii.gz"]
    assert len(sidecar(tmp_path)["FrameTimesStart"]) == (4 if joined else 2)
    said = "runs of one injection are joined" if joined else "not joined: its ImageDecayCorre"
    assert said in first["note"]
    assert np.isfinite(values(tmp_path / "bids" / first["output"])).all()


def test_runs_whose_joined_values_would_be_infinite_are_not_joined():
    told = {
        **bids_tree.PET,
        "SourceImageID": "I1",
        "ImageDecayCorrectionTime": 4800,
        SIMULATED_KEY: False,
    }
    later = {**told, "FrameTimesStart": [5400, 5700], "ImageDecayCorrectionTime": 5400}
    bright = np.full((2, 2, 2, 2), 3.3e38, np.float32)
    first, second = (join.Voxels(bright, np.eye(4), sidecar) for sidecar in (told, later))
    with pytest.raises(DataError, match="values beyond all measure"):
        join.joined(first, second)


@pytest.mark.parametrize(
    ("correction", "frames", "noted"),
    [
        ("NONE", 3, "its frames are not corrected for decay, so they cannot be averaged"),
        (None, 3, "whether its frames are corrected for decay is unknown"),
        ("NONE", 1, None),
        ("START", 3, None),
    ],
)
def test_frames_without_decay_correction_are_a_note(tmp_path: Path, correction, frames, noted):
    change = setting(DecayCorrection=correction)
    write_pet(tmp_path / "loni", A, 1, "AV1451", frames=frames, change=change)
    assert ingested(tmp_path, "AV1451")["I1"]["note"] == noted


def test_of_two_bids_pet_the_one_that_can_be_averaged_is_used(tmp_path: Path):
    folder = bids_tree.session(tmp_path / "source", "01", None) / "pet"
    for name, corrected in (("a", False), ("b", True)):
        told = {**bids_tree.PET, "ImageDecayCorrected": corrected}
        bids_tree.write_image(folder / f"sub-01_rec-{name}_pet.nii.gz", (8, 9, 10, 2))
        bids_tree.write_json(folder / f"sub-01_rec-{name}_pet.json", told)
    ingest(tmp_path / "source", tmp_path / "bids", bids_tree.SETTINGS)
    rows = bids_tree.table(tmp_path / "bids")
    first, second = (rows[f"sub-01/pet/sub-01_rec-{name}_pet.nii.gz"] for name in "ab")
    assert (first["status"], second["status"]) == ("dropped", "kept")
    assert first["note"] == "its frames are not corrected for decay, so they cannot be averaged"


# --- times of which a part was removed


@pytest.mark.parametrize("study_date", [True, False])
def test_times_of_day_without_their_dates_time_the_frames(tmp_path: Path, study_date: bool):
    gone = {"SeriesDate": None, "AcquisitionDate": None}
    change = setting(**gone, **({} if study_date else {"StudyDate": None}))
    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    note = ingested(tmp_path, "AV1451")["I1"]["note"]
    assert (note is None) if study_date else ("its dates were removed" in note)
    told = sidecar(tmp_path)
    assert told["FrameTimesStart"] == [80 * MINUTE, 85 * MINUTE, 90 * MINUTE]
    assert told["ImageDecayCorrectionTime"] == 80 * MINUTE


def test_dates_that_were_removed_from_a_part_of_the_planes_are_a_reason(tmp_path: Path):
    gone = setting(SeriesDate=None, AcquisitionDate=None, StudyDate=None)

    def change(data, k, frame):
        if frame == 1:
            gone(data, k, frame)

    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    with pytest.raises(ReladError, match="6 of 18 planes state no date"):
        ingested(tmp_path, "AV1451")


# --- times in other elements


@pytest.mark.parametrize(("late", "told"), [(0, True), (60 * MINUTE, False)])
def test_the_date_and_time_of_each_acquisition_tell_frames_apart(tmp_path: Path, late, told):
    """Where their AcquisitionTime is one for all; an hour later it is another clock's."""

    def change(data, k, frame):
        began = BEGIN + late + 5 * MINUTE * frame
        setting(
            AcquisitionTime=clock(BEGIN),
            AcquisitionDateTime="20200203" + clock(began),
            FrameReferenceTime=None,
        )(data, k, frame)

    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    note = ingested(tmp_path, "AV1451")["I1"]["note"]
    starts = sidecar(tmp_path)["FrameTimesStart"]
    if told:
        assert note.endswith("its AcquisitionDateTime times the frames")
        assert starts == [80 * MINUTE, 85 * MINUTE, 90 * MINUTE]
    else:
        assert (note, starts) == ("frame times unknown", "unknown")


@pytest.mark.parametrize("where", ["PerFrame", "Shared"])
def test_what_classic_headers_told_is_read_of_legacy_converted_pet(tmp_path: Path, where: str):
    """``where`` stands what all frames have in common."""

    def change(group, k, frame):
        (content,) = group.FrameContentSequence
        del content.FrameAcquisitionDateTime, content.FrameAcquisitionDuration
        old = Dataset()
        old.AcquisitionDate, old.AcquisitionTime = "20200203", clock(BEGIN + 5 * MINUTE * frame)
        old.DecayFactor = 1.016 * 2 ** (300 * frame / HALF_LIFE)
        if where == "PerFrame":
            old.ActualFrameDuration = 5 * MINUTE * 1000
        group.UnassignedPerFrameConvertedAttributesSequence = [old]

    file = write_enhanced_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    data, shared = pydicom.dcmread(file), Dataset()
    shared.Units, shared.DecayCorrection = data.Units, "START"
    if where == "Shared":
        shared.ActualFrameDuration = 5 * MINUTE * 1000
    groups = data.SharedFunctionalGroupsSequence[0]
    groups.UnassignedSharedConvertedAttributesSequence = [shared]
    del data.Units
    data.save_as(file)
    row = ingested(tmp_path, "AV1451")["I1"]
    told = sidecar(tmp_path)
    assert told["FrameTimesStart"] == [80 * MINUTE, 85 * MINUTE]
    assert told["FrameDuration"] == [300, 300]
    assert (told["ImageDecayCorrected"], told["ImageDecayCorrectionTime"]) == (True, 80 * MINUTE)
    np.testing.assert_allclose(
        values(tmp_path / "bids" / row["output"])[..., 1], expected(1, 1) * 0.75, rtol=1e-4
    )


def test_factors_of_each_frames_own_start_are_refused_of_legacy_converted_pet(tmp_path: Path):
    def change(group, k, frame):
        old = Dataset()
        old.DecayFactor = 1.016
        group.UnassignedPerFrameConvertedAttributesSequence = [old]

    write_enhanced_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    with pytest.raises(ReladError, match="its decay factors refer to different times"):
        ingested(tmp_path, "AV1451")


@pytest.mark.parametrize("date", ["20200203", "20190102"])  # shifted, and the others not
def test_the_moment_of_an_enhanced_pets_decay_correction(tmp_path: Path, date: str):
    file = write_enhanced_pet(tmp_path / "loni", A, 1, "AV1451")
    data = pydicom.dcmread(file)
    data.DecayCorrected, data.DecayCorrectionDateTime = "YES", date + clock(INJECTED)
    data.save_as(file)
    ingested(tmp_path, "AV1451")
    assert sidecar(tmp_path)["ImageDecayCorrectionTime"] == 0


def test_a_leap_second_is_the_next_minutes_start(tmp_path: Path):
    def change(data, k, frame):
        if frame == 0:
            data.AcquisitionTime = "142960"

    files = write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    assert len(files) == 3 * SLICES
    assert ingested(tmp_path, "AV1451")["I1"]["note"] is None
    assert sidecar(tmp_path)["FrameTimesStart"][0] == 80 * MINUTE
