"""``ingest.overrides``: what a person puts right holds, is noted, and never passes unmatched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relad.cohort import overrides
from relad.errors import ReladError
from relad.fileio import read_json
from relad.steps.ingest import ingest
from relad.study import config
from relad.study.settings import IngestOverride, IngestSettings, of_job, typed
from tests.helpers import bids_tree
from tests.helpers.loni import A, B, csv_row, folder, table, write_csv, write_mri, write_pet
from tests.helpers.settings import ingest_settings, study, tracer

TRACERS = {"tau": tracer("AV1451"), "amyloid": tracer("AV45")}


def override(key: str, value: Any, **where: str) -> dict[str, Any]:
    return {"key": key, "value": value, "why": "the log says so", "who": "XY", **where}


@pytest.fixture
def loni(tmp_path: Path) -> Path:
    """A T1w of an odd name and a dynamic PET, whose header states an injection, per person."""
    rows = []
    for first, ptid in ((1, A), (11, B)):
        write_mri(tmp_path / "loni", ptid, first, "Kopf")
        write_pet(tmp_path / "loni", ptid, first + 1, "Dynamic", drug="Flortaucipir AV1451")
        rows += [csv_row(first, ptid, "Kopf"), csv_row(first + 1, ptid, "Dynamic", "PET")]
    write_csv(tmp_path / "c.csv", rows)
    return tmp_path / "loni"


def run(source: Path, out: Path, *entries: dict[str, Any]) -> dict[str, dict[str, str | None]]:
    ingest(source, out, ingest_settings(TRACERS, overrides=list(entries)))
    return table(out)


def sidecar(out: Path, row: dict[str, str | None]) -> dict[str, Any]:
    return read_json(out / str(row["output"]).replace(".nii.gz", ".json"))


def test_without_one_the_header_holds(loni, tmp_path) -> None:
    rows = run(loni, tmp_path / "bids")
    assert (rows["I1"]["status"], rows["I2"]["tracer"]) == ("dropped", "tau")
    told = sidecar(tmp_path / "bids", rows["I2"])
    assert told["InjectionStart"] == 0 and rows["I2"]["note"] is None


def test_each_key_holds_and_is_noted(loni, tmp_path) -> None:
    """rordenlab/dcm2niix#983: on some scanners the header's time is that of the dose's assay."""
    before = sidecar(tmp_path / "a", run(loni, tmp_path / "a")["I2"])
    zero = before["TimeZero"]
    hours, minutes, seconds = map(int, zero.split(":"))
    later = f"{hours:02d}:{minutes + 7:02d}:{seconds:02d}"
    rows = run(
        loni,
        tmp_path / "b",
        override("kind", "T1w", series="I1"),
        override("injection", later, subject=A),
        override("tracer", "amyloid", series="I12"),
    )
    assert {name: row["status"] for name, row in rows.items()} == {
        "I1": "kept", "I2": "kept", "I11": "dropped", "I12": "kept",
    }  # fmt: skip
    assert rows["I1"]["kind"] == "T1w" and rows["I12"]["tracer"] == "amyloid"
    assert rows["I1"]["note"].startswith(
        "kind set to T1w by ingest.overrides (XY: the log says so)"
    )
    assert f"injection set to {later} by ingest.overrides" in rows["I2"]["note"]
    after = sidecar(tmp_path / "b", rows["I2"])
    moved = [
        b - a for a, b in zip(after["FrameTimesStart"], before["FrameTimesStart"], strict=True)
    ]
    assert moved == [420.0] * len(moved), "frames are counted from the injection"
    told = sidecar(tmp_path / "b", rows["I12"])
    assert (told["TracerName"], told["Radiopharmaceutical"]) == ("AV45", "AV45")
    assert "_trc-AV45_" in rows["I12"]["output"]


def test_a_header_that_is_not_believed(loni, tmp_path) -> None:
    rows = run(loni, tmp_path / "bids", override("injection", "unknown", subject="*"))
    told = sidecar(tmp_path / "bids", rows["I2"])
    assert told["InjectionStart"] == "unknown"
    assert "injection time unknown" in rows["I2"]["note"]
    assert all("set to unknown" in rows[name]["note"] for name in ("I2", "I12"))


def test_a_series_can_be_left_out_and_the_later_entry_holds(loni, tmp_path) -> None:
    rows = run(
        loni,
        tmp_path / "bids",
        override("kind", "T1w", series="I*1"),
        override("kind", "none", series="I1"),
    )
    assert rows["I1"]["reason"] == "not used: the log says so"
    assert "kind set to none" in rows["I1"]["note"], "dropped, and still noted"
    assert rows["I11"]["status"] == "kept"


def test_where_a_table_has_no_modality_the_files_tell_what_is_a_pet(tmp_path: Path) -> None:
    """LONI's table of all images has no such column."""
    root = tmp_path / "loni"
    write_mri(root, A, 1, "MPRAGE")
    write_pet(root, A, 2, "Dynamic", drug="Flortaucipir AV1451")
    told = {"Modality": "PT", **bids_tree.PET}
    for image, text, beside in ((3, "Coreg", told), (4, "FLAIR", {"Modality": "MR"})):
        stem = folder(root, B, text, f"I{image}") / f"x_I{image}"
        shape = (8, 9, 10, 2) if text == "Coreg" else (8, 9, 10)
        bids_tree.write_image(stem.with_name(f"{stem.name}.nii.gz"), shape)
        bids_tree.write_json(stem.with_name(f"{stem.name}.json"), beside)
    rows = [(1, A, "MPRAGE"), (2, A, "Dynamic"), (3, B, "Coreg"), (4, B, "FLAIR")]
    lines = [f"{image},{ptid},v1,2020-02-03,{text}" for image, ptid, text in rows]
    head = "image_id,subject_id,image_visit,image_date,image_description"
    (tmp_path / "c.csv").write_text("\n".join([head, *lines]))
    every = (override("tracer", "amyloid", subject="*"), override("injection", "9:55", series="I*"))
    got = run(root, tmp_path / "bids", *every)
    noted = {name for name, row in got.items() if "by ingest.overrides" in (row["note"] or "")}
    assert noted == {"I2", "I3"}
    assert {name: (row["status"], row["tracer"]) for name, row in got.items()} == {
        "I1": ("kept", None), "I2": ("kept", "amyloid"),
        "I3": ("kept", "amyloid"), "I4": ("kept", None),
    }  # fmt: skip
    for file in root.rglob("*_I2.dcm"):
        file.write_bytes(file.read_bytes()[:100])
    # A damaged scan is dropped for what is wrong with it and does not take the cohort down.
    row = run(root, tmp_path / "again", override("tracer", "tau", series="I2"))["I2"]
    assert row["status"] == "dropped" and "tracer set to tau" in row["note"]
    with pytest.raises(ReladError, match="series I1 is not a PET of the source"):
        run(root, tmp_path / "third", override("tracer", "tau", series="I1"))


def test_a_modality_is_not_put_right(loni, tmp_path) -> None:
    rows = run(loni, tmp_path / "bids", override("kind", "PET", series="I1"))
    assert "its header states the modality MR, not PET's" in rows["I1"]["reason"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (override("injection", "10:00:00", series="I1"), "series I1 is not a PET of the source"),
        (override("kind", "T1w", series="I99"), "series I99 is not an image of the source"),
        (override("tracer", "tau", subject="941_S_9999"), "subject 941_S_9999 is not a PET"),
        (override("tracer", "fdg", series="I2"), "tracer cannot be 'fdg' -- known: tau, amyloid"),
        (override("kind", "T2w", series="I2"), "kind cannot be 'T2w'"),
        (override("kind", "T1w", subject=A), "a kind is of one series"),
        (override("injection", "25:00:00", series="I2"), "injection cannot be '25:00:00'"),
        (override("injection", -1, series="I2"), "injection cannot be '-1'"),
        (override("injection", 1500, series="I2"), "injection cannot be '1500'"),
        (override("injection", "noon", series="I2"), "injection cannot be 'noon'"),
    ],
)
def test_what_matches_nothing_or_is_no_value_is_an_error(loni, tmp_path, entry, said) -> None:
    with pytest.raises(ReladError) as error:
        run(loni, tmp_path / "bids", entry)
    assert said in str(error.value)
    assert not (tmp_path / "bids").exists()


@pytest.mark.parametrize(
    ("value", "start"),
    [("10:05:00", 300), (36300, 300), (605, 300), ("9:55", -300), ("23:00:00", -39600)],
)
def test_an_injection_of_a_nifti_counts_from_its_time_zero(tmp_path, value, start) -> None:
    """Without quotes YAML reads 10:05:00 as 36300 and 10:05 as 605 (yaml/pyyaml#272)."""
    bids_tree.session(tmp_path / "in", "01", "a", bids_tree.PET)
    entry = override("injection", value, subject="01")
    rows = run(tmp_path / "in", tmp_path / "bids", entry)
    (pet,) = [row for row in rows.values() if row["kind"] == "PET"]
    assert sidecar(tmp_path / "bids", pet)["InjectionStart"] == start


def test_without_time_zero_it_cannot_be_counted(tmp_path) -> None:
    told = {key: value for key, value in bids_tree.PET.items() if key != "TimeZero"}
    bids_tree.session(tmp_path / "in", "01", "a", told)
    rows = run(tmp_path / "in", tmp_path / "bids", override("injection", "9:55", subject="01"))
    (reason,) = [row["reason"] for row in rows.values() if row["status"] == "dropped"]
    assert "has no TimeZero" in reason


def test_a_nifti_with_the_wrong_tracer(tmp_path) -> None:
    bids_tree.session(tmp_path / "in", "01", "a", {**bids_tree.PET, "TracerName": "FDG"})
    rows = run(tmp_path / "in", tmp_path / "bids", override("tracer", "tau", subject="sub*")
               | {"subject": "01"})  # fmt: skip
    (pet,) = [row for row in rows.values() if row["kind"] == "PET"]
    assert sidecar(tmp_path / "bids", pet)["TracerName"] == "AV1451"


def test_a_study_has_them_by_cohort() -> None:
    raw = config.read_yaml(config.DEFAULT)
    entry = override("tracer", "tau", series="I2", cohort="sim-train")
    raw["ingest"] = {"overrides": [entry]}
    whole = config.resolve(raw)
    (entry,) = of_job("ingest", whole, cohort="sim-train").ingest.overrides
    assert (entry.series, entry.value, entry.subject) == ("I2", "tau", None)
    assert of_job("ingest", whole, cohort="sim-external").ingest.overrides == ()
    everywhere = typed(IngestSettings, whole).ingest.overrides
    assert overrides.of_cohort(everywhere, "sim-external") == []
    with pytest.raises(ReladError, match=r"of several cohorts \(sim-external, sim-train\)"):
        overrides.of_cohort([entry, replace(entry, cohort="sim-external")], None)


@pytest.mark.parametrize(
    "entry",
    [
        {"key": "tracer", "value": "tau", "why": "x"},  # of what?
        override("tracer", "tau", series="I1", subject="x"),
        override("dose", 3, series="I1"),
        {"key": "tracer", "value": "tau", "series": "I1"},  # why?
    ],
)
def test_a_bad_entry_is_named(entry: dict[str, Any]) -> None:
    raw = config.read_yaml(config.DEFAULT)
    raw["ingest"] = {"overrides": [entry]}
    with pytest.raises(ReladError, match=r"at ingest\.overrides\.0"):
        config.resolve(raw)


def test_settings_hold_none_by_default() -> None:
    assert typed(IngestSettings, study()).ingest.overrides == ()
    assert "overrides" in json.dumps(study()["ingest"])
    assert IngestOverride("tracer", "tau", "x", None, "I1", None, None).who is None


def test_an_override_settles_what_a_header_says_twice(tmp_path: Path) -> None:
    def twice(data, k, frame):
        drug = data.RadiopharmaceuticalInformationSequence[0]
        drug.RadiopharmaceuticalStartDateTime = "20200203121000"  # and 13:10:00

    write_pet(tmp_path / "loni", A, 1, "AV1451", change=twice)
    write_mri(tmp_path / "loni", A, 2, "MPRAGE", change=lambda d, k, f: setattr(
        d, "ContrastBolusAgent", "see notes"))  # fmt: skip
    write_mri(tmp_path / "loni", A, 3, "MPRAGE")
    rows = [csv_row(1, A, "AV1451", "PET"), csv_row(2, A, "MPRAGE"), csv_row(3, A, "MPRAGE")]
    write_csv(tmp_path / "c.csv", [{**row, "Visit": f"v{k}"} for k, row in enumerate(rows)])
    before = run(tmp_path / "loni", tmp_path / "a")
    assert "say it by ingest.overrides" in str(before["I1"]["reason"])
    assert "contrast agent (see notes)" in str(before["I2"]["reason"])
    after = run(
        tmp_path / "loni", tmp_path / "b",
        override("injection", "13:10:00", series="I1"), override("kind", "T1w", series="I2"),
    )  # fmt: skip
    assert {row["status"] for row in after.values()} == {"kept"}
    assert sidecar(tmp_path / "b", after["I1"])["FrameTimesStart"][0] == 4800
