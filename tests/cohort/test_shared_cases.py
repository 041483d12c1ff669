"""Cases generated beside the project: each ``make.py`` says what is right."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad.errors import ReladError
from relad.fileio import read_json, read_table
from relad.steps.ingest import ingest
from tests.helpers.loni import SETTINGS, SHARED, table

CASES = SHARED / "cases"


@pytest.fixture
def make(tmp_path: Path, monkeypatch, capsys):
    """Run a case's generator; the folder it wrote. Its ``check`` is printed and returned."""

    def run(name: str, *arguments: str) -> tuple[Path, str]:
        script = CASES / name / "make.py"
        if not script.is_file():
            pytest.skip(f"no {script}: the cases are no part of the project")
        monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path), *arguments])
        runpy.run_path(str(script), run_name="__main__")
        return tmp_path, capsys.readouterr().out

    return run


def test_series_with_lost_slices_are_dropped_by_the_stated_number(make):
    root, _ = make("p1_missing_end_slices")
    ingest(root / "ADNI", root / "bids", SETTINGS)
    got = table(root / "bids")
    assert (got["I1"]["status"], got["I1"]["note"]) == ("kept", None)
    reasons = [got[f"I{k}"]["reason"] for k in (2, 3, 4)]
    assert reasons == [f"I{k}: {n} images where the header states 12" for k, n in
                       ((2, 8), (3, 9), (4, 6))]  # fmt: skip


def test_day_first_dates_give_the_true_gaps(make):
    root, _ = make("p2_dmy_dates")
    ingest(root / "ADNI", root / "bids", SETTINGS)
    far, near = read_table(root / "bids" / "pairs.tsv")
    assert (far["status"], far["reason"]) == (
        "unpaired", "its nearest T1w: 275 days apart, the limit is 180",
    )  # fmt: skip
    assert (near["status"], near["gap_days"], near["t1w_date"]) == ("paired", "11", "2020-02-20")


def test_no_scan_with_a_contrast_agent_is_a_t1w(make):
    root, _ = make("p3_contrast")
    with pytest.raises(ReladError, match="no series can be used"):
        ingest(root / "ADNI", root / "bids", SETTINGS)
    # One that can be used keeps the others' rows.
    from tests.helpers.loni import csv_row, write_csv, write_mri

    write_mri(root / "ADNI", "941_S_0099", 99, "MPRAGE")
    write_csv(root / "more.csv", [csv_row(99, "941_S_0099", "MPRAGE")])
    csvs = [root / "collection.csv", root / "more.csv"]
    ingest(root / "ADNI", root / "bids", SETTINGS, collections=csvs)
    rows = table(root / "bids")
    assert rows.pop("I99")["status"] == "kept"
    assert len(rows) == 9
    assert all(r["status"] == "dropped" and "contrast agent" in r["reason"] for r in rows.values())


def test_the_magnitude_is_kept_and_the_phase_is_not(make):
    root, _ = make("p4_phase")
    ingest(root / "ADNI", root / "bids", SETTINGS)
    got = table(root / "bids")
    assert got["I2"]["status"] == "kept"
    assert got["I1"]["reason"].startswith("not used: the phase of a complex image")


def test_a_stack_that_shears_is_refused(make):
    root, _ = make("p7_shear")
    with pytest.raises(ReladError, match=r"its stack shears: .* 5\.8 mm .* \(10\.0 degrees\)"):
        ingest(root / "ADNI", root / "bids", SETTINGS)


def test_enhanced_images_hold_their_planes_values(make):
    root, _ = make("p8_enhanced_pet")
    ingest(root / "ADNI", root / "bids", SETTINGS)
    assert {r["status"] for r in table(root / "bids").values()} == {"kept"}
    _, said = make("p8_enhanced_pet", "check")
    errors = [float(line.split("error ")[1].split()[0]) for line in said.splitlines()]
    assert len(errors) == 4
    assert max(errors) < 1e-3
    for file in (root / "bids").rglob("*.nii.gz"):  # and lie where their headers say
        affine = nib.as_closest_canonical(nib.load(file)).affine
        right = np.diag([2, 2.5, 3, 1.0])
        right[:3, 3] = [-30, -37.5, 0]
        np.testing.assert_allclose(affine, right, atol=1e-4)
    sidecar = read_json(next((root / "bids").glob("sub-941S0001/*/pet/*.json")))
    assert sidecar["FrameTimesStart"] == [4800, 5100, 5400]


def test_of_two_scans_the_one_that_covers_the_window_is_used(make):
    root, _ = make("p10_two_windows")
    ingest(root / "ADNI", root / "bids", SETTINGS)
    got = table(root / "bids")
    assert got["I3"]["status"] == "kept"
    assert got["I2"]["reason"] == "another tau PET in session ADNI3Year1: I3 is kept"
