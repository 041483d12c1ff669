"""Damage in a LONI download: every kind is a stated exclusion."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np

from relad.cohort import convert
from relad.fileio import read_table
from relad.steps.ingest import ingest
from tests.helpers.loni import (
    SETTINGS,
    A,
    B,
    csv_row,
    expected,
    folder,
    good_subject,
    table,
    values,
    write_csv,
    write_mri,
    write_pet,
)


def test_every_kind_of_damage_is_a_stated_exclusion(tmp_path: Path):
    loni = tmp_path / "loni"
    rows = good_subject(loni, A, 11)
    bad: dict[str, str] = {}  # image id -> what its reason holds

    def damaged(image: int, ptid: str, reason: str, description: str = "MPRAGE", **cells):
        cells = {"Visit": f"m{image}", **cells}
        modality = cells.pop("modality", "MRI")
        rows.append(csv_row(image, ptid, description, modality, **cells))
        bad[f"I{image}"] = reason

    short = write_mri(loni, A, 31, "MPRAGE")[2]
    short.write_bytes(short.read_bytes()[:-100])
    damaged(31, A, f"{short.name}: truncated (holds 140 of 240 bytes of pixels)")

    cut = write_mri(loni, A, 32, "MPRAGE")[0]
    cut.write_bytes(cut.read_bytes()[:400])
    damaged(32, A, f"{cut.name}: ")

    text = write_mri(loni, A, 33, "MPRAGE")[0]
    text.write_text("<html>session expired</html>")
    damaged(33, A, f"{text.name}: not a DICOM file")

    write_mri(loni, A, 34, "MPRAGE")[3].unlink()
    damaged(34, A, "I34: slices are missing (a gap of 6.0 mm where 3.0 mm is usual)")

    write_pet(loni, A, 35, "AV1451")[-1].unlink()
    damaged(
        35, A, "I35: slices are missing or repeated (17 at 6 positions)", "AV1451", modality="PET"
    )

    for file in write_pet(loni, A, 36, "AV1451")[-6:]:
        file.unlink()
    damaged(36, A, "I36: 2 frames where the header states 3", "AV1451", modality="PET")

    def zero(data, k, frame):
        data.PixelData = bytes(len(data.PixelData))

    write_mri(loni, A, 37, "MPRAGE", change=zero)
    damaged(37, A, "I37: the image is empty (all voxels have one value)")

    def zero_frame(data, k, frame):
        if frame == 1:
            zero(data, k, frame)

    write_pet(loni, A, 38, "AV1451", change=zero_frame)
    damaged(38, A, "I38: frame 2 of 3 is empty", "AV1451", modality="PET")

    def counts(data, k, frame):
        data.Units = "CNTS"

    write_pet(loni, A, 39, "AV1451", change=counts)
    damaged(39, A, "_I39.dcm: its units are CNTS, not Bq/mL", "AV1451", modality="PET")

    write_pet(loni, A, 40, "FDG", drug="Fluorodeoxyglucose")
    damaged(40, A, "no window for its tracer (description 'FDG'", "FDG", modality="PET")

    stranger = write_mri(loni, A, 41, "MPRAGE", change=lambda d, *_: setattr(d, "PatientID", B))
    damaged(41, A, f"{stranger[0].name}: its header names the patient {B}")

    write_mri(loni, A, 42, "MPRAGE")
    damaged(42, B, f"lies in the folder of {A}, but is {B}'s")

    shutil.copytree(write_mri(loni, A, 43, "MPRAGE")[0].parent, loni / A / "Copy" / "I43")
    rows.append(csv_row(43, A, "MPRAGE", Visit="m43"))

    write_mri(loni, A, 44, "MPRAGE")
    write_mri(loni, B, 44, "MPRAGE")
    damaged(44, A, "duplicate image id: I44 stands in 2 places")

    write_mri(loni, A, 45, "MPRAGE")
    bad["I45"] = "not in the collection"

    write_mri(loni, A, 46, "MPRAGE")
    damaged(46, A, "I46 stands in 2 rows of the collection that differ in visit")
    damaged(46, A, "I46 stands in 2 rows of the collection that differ in visit", Visit="bl")

    write_mri(loni, A, 47, "MPRAGE")
    damaged(47, A, "another T1w in session ADNI3Year1: I11 is kept", Visit="ADNI3 Year-1")

    hole = folder(loni, A, "MPRAGE", "I48") / "a_I48.nii"
    hole.parent.mkdir(parents=True)
    data = np.random.default_rng(0).random((6, 6, 6), dtype=np.float32)
    data[1, 1, 1] = np.nan
    nib.save(nib.Nifti1Image(data, np.eye(4)), hole)
    damaged(48, A, "a_I48.nii: 1 voxels are NaN or infinite")

    dangling = folder(loni, A, "MPRAGE", "I51") / "a_I51.dcm"
    dangling.parent.mkdir(parents=True)
    dangling.symlink_to(tmp_path / "gone.dcm")
    damaged(51, A, "a_I51.dcm: cannot be read")

    nameless = folder(loni, B, "MPRAGE", "x") / "scan.dcm"
    nameless.parent.mkdir(parents=True)
    nameless.write_bytes(b"")

    def other_series(data, k, frame):
        data.SeriesInstanceUID = f"1.2.3.{49 + k // 3}"

    mixed = write_mri(loni, A, 49, "MPRAGE", change=other_series)
    damaged(49, A, f"{mixed[3].name}: belongs to another series than its neighbours")

    name = write_mri(loni, A, 50, "AV1451")[0].name
    damaged(
        50, A, f"{name}: its header states the modality MR, not PET's", "AV1451", modality="PET"
    )

    collection = write_csv(tmp_path / "c.csv", rows)
    ingest(loni, tmp_path / "bids", SETTINGS, collections=[collection])
    got = table(tmp_path / "bids")
    kept = {name for name, row in got.items() if row["status"] == "kept"}
    for image_id, reason in bad.items():
        assert got[image_id]["status"] == "dropped", image_id
        assert reason in got[image_id]["reason"], (image_id, got[image_id]["reason"])
    assert kept | set(bad) | {None, "I43"} == set(got)
    assert kept - {"I43"} == {"I11", "I12", "I13"}
    assert got[None]["reason"] == "scan.dcm: no image id in its name"
    twice = [r for r in read_table(tmp_path / "bids" / "ingest.tsv") if r["image_id"] == "I43"]
    assert sorted(r["status"] for r in twice) == ["dropped", "kept"]
    assert "downloaded twice" in next(r["reason"] for r in twice if r["reason"])
    files = {p for p in (tmp_path / "bids").rglob("*.nii.gz")}
    assert {str(p.relative_to(tmp_path / "bids")) for p in files} == {
        row["output"]
        for row in read_table(tmp_path / "bids" / "ingest.tsv")
        if row["status"] == "kept"
    }


def test_the_next_image_is_taken_where_the_first_is_damaged(tmp_path: Path):
    loni = tmp_path / "loni"
    file = write_mri(loni, A, 1, "MPRAGE")[0]
    file.write_bytes(file.read_bytes()[:-1])
    write_mri(loni, A, 2, "MPRAGE_repeat")
    rows = [csv_row(1, A, "MPRAGE"), csv_row(2, A, "MPRAGE_repeat")]
    write_csv(tmp_path / "c.csv", rows)
    ingest(loni, tmp_path / "bids", SETTINGS)
    assert {i: r["status"] for i, r in table(tmp_path / "bids").items()} == {
        "I1": "dropped",
        "I2": "kept",
    }


def test_a_conversion_that_loses_a_frames_scale_is_noticed_and_mended(tmp_path: Path, monkeypatch):
    write_pet(tmp_path / "loni", A, 1, "AV1451")
    write_mri(tmp_path / "loni", A, 2, "MPRAGE")
    rows = [csv_row(1, A, "AV1451", "PET"), csv_row(2, A, "MPRAGE")]
    write_csv(tmp_path / "c.csv", rows)
    options = [
        {"y": "n"}.get(o, o) if b == "-p" else o for b, o in pairwise(["", *convert._OPTIONS])
    ]
    monkeypatch.setattr(convert, "_OPTIONS", options)
    ingest(tmp_path / "loni", tmp_path / "bids", SETTINGS)
    got = table(tmp_path / "bids")["I1"]
    assert "after dcm2niix plane 1 of frame 2 does not hold its header's values" in got["note"]
    pet = values(tmp_path / "bids" / got["output"])
    for frame in range(3):
        right = expected(1, frame) * (0.5 + 0.25 * frame)
        np.testing.assert_allclose(pet[..., frame], right, rtol=1e-6)
