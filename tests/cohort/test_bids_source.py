"""BIDS datasets as a source: names, inherited sidecars, dates, real sidecars."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad.cohort.sources import bids as bids_source
from relad.errors import ReladError
from relad.fileio import beside, read_json, read_table
from relad.status import is_simulated
from relad.steps.ingest import guess_source, ingest
from tests.helpers.bids_tree import PET, SETTINGS, session, t1w_of, table, write_image, write_json
from tests.helpers.loni import SHARED as DATA
from tests.helpers.settings import ingest_settings
from tests.helpers.settings import tracer as tracer_entry

SHARED = DATA / "data" / "bids_pet_sidecars"


def test_a_dataset_without_sessions_is_copied_and_completed(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    session(source, "01", None, PET)
    (source / "participants.tsv").write_text(
        "participant_id\tage\tgender\nsub-01\t70\tF\nsub-02\t71\tM\n"
    )
    ingest(source, out, SETTINGS)
    pet = out / "sub-01" / "pet" / "sub-01_trc-AV1451_pet.nii.gz"
    original = nib.load(source / "sub-01" / "pet" / "sub-01_pet.nii.gz")
    np.testing.assert_array_equal(nib.load(pet).get_fdata(), original.get_fdata())
    np.testing.assert_array_equal(nib.load(pet).affine, original.affine)
    sidecar = read_json(pet.with_name("sub-01_trc-AV1451_pet.json"))
    assert {k: sidecar[k] for k in PET} == PET
    assert sidecar["Manufacturer"] == "unknown"
    assert sidecar["SourceImageID"] == "sub-01/pet/sub-01_pet.nii.gz"
    people = read_table(out / "participants.tsv")
    assert [(p["participant_id"], p["age"], p["sex"]) for p in people] == [
        ("sub-01", "70", "F"),
        ("sub-02", "71", "M"),
    ]
    (pair,) = read_table(out / "pairs.tsv")
    assert (pair["status"], pair["gap_days"]) == ("paired", None)


def test_a_person_whom_the_table_names_twice_differently_is_told(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    session(source, "01", None, PET)
    lines = ["participant_id\tage\tsex", "sub-01\t70\tF", "sub-02\t60\tM", "sub-02\t60.0\tm"]
    lines += ["sub-01\t71\tF", "sub-01\t70\tM", "sub-03\tn/a\tF", "sub-03\t50\tF"]
    lines += ["sub-04\tnan\tF", "sub-04\tNaN\tF"]
    (source / "participants.tsv").write_text("\n".join(lines))
    ingest(source, out, SETTINGS)
    told = {r["subject"]: r["reason"] for r in read_table(out / "ingest.tsv") if not r["image_id"]}
    assert told == {
        "01": "participants.tsv: names sub-01 in 3 rows, of age 70, 71 and sex F, M: "
        "the first is used",
        "03": "participants.tsv: names sub-03 in 2 rows, of age n/a, 50: the first is used",
    }
    assert read_table(out / "participants.tsv")[0]["age"] == "70"


def test_a_sidecar_that_an_editor_marked_as_utf8_is_read(tmp_path: Path):
    folder = session(tmp_path / "in", "01", None, PET)
    for sidecar in folder.rglob("*_pet.json"):
        sidecar.write_text(sidecar.read_text(encoding="utf-8"), encoding="utf-8-sig")
    ingest(tmp_path / "in", tmp_path / "out", SETTINGS)
    (file,) = (tmp_path / "out").rglob("*_pet.json")
    assert read_json(file)["FrameTimesStart"] == PET["FrameTimesStart"]


def test_sessions_runs_and_tracers_each_have_a_row(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    m00 = session(source, "01", "m00", PET)
    session(source, "01", "m12", {**PET, "TracerName": "[11C]PiB", "TracerRadionuclide": "11C"})
    write_image(m00 / "anat" / "sub-01_ses-m00_run-2_T1w.nii.gz")
    write_image(m00 / "anat" / "sub-01_ses-m00_T2w.nii.gz")
    write_image(m00 / "func" / "sub-01_ses-m00_task-rest_bold.nii.gz")
    write_image(source / "sub-02" / "pet" / "sub-02_trc-PIB_pet.nii.gz", (8, 9, 10, 2))
    write_json(source / "sub-02" / "pet" / "sub-02_trc-PIB_pet.json", {**PET, "TracerName": "n/a"})
    scans = "filename\tacq_time\n{}\t2020-0{}-01T10:00:00\n"
    for ses, month in (("m00", 1), ("m12", 2)):
        name = f"pet/sub-01_ses-{ses}_pet.nii.gz"
        table_file = source / "sub-01" / f"ses-{ses}" / f"sub-01_ses-{ses}_scans.tsv"
        table_file.write_text(scans.format(name, month))
    ingest(source, out, SETTINGS, jobs=2)
    got = table(out)
    reasons = {Path(k).name: r["reason"] for k, r in got.items() if r["status"] == "dropped"}
    assert reasons == {
        "sub-01_ses-m00_run-2_T1w.nii.gz": "another T1w in session m00: "
        "sub-01/ses-m00/anat/sub-01_ses-m00_T1w.nii.gz is kept",
        "sub-01_ses-m00_T2w.nii.gz": "not used: T2w",
        "sub-01_ses-m00_task-rest_bold.nii.gz": "not used: bold",
    }
    assert got["sub-01/ses-m00/pet/sub-01_ses-m00_pet.nii.gz"]["acq_date"] == "2020-01-01"
    pairs = {(p["subject"], p["tracer"]): p for p in read_table(out / "pairs.tsv")}
    assert pairs["01", "amyloid"]["t1w"] == "sub-01/ses-m12/anat/sub-01_ses-m12_T1w.nii.gz"
    assert pairs["02", "amyloid"]["reason"] == "the subject has no T1w"
    assert read_json(next(out.glob("sub-01/ses-m12/pet/*.json")))["TracerRadionuclide"] == "C11"


def test_sidecars_are_inherited_from_above_and_overridden_below(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    folder = session(source, "01", "a", {"FrameTimesStart": [4800, 5100]})
    write_json(source / "pet.json", {**PET, "FrameTimesStart": [0, 300]})
    write_json(source / "ses-a_pet.json", {"ScanStart": 77})
    write_json(source / "sub-01" / "sub-01_trc-XY_pet.json", {"ScanStart": 1})
    ingest(source, out, SETTINGS)
    sidecar = read_json(next(out.rglob("*_pet.json")))
    assert sidecar["FrameTimesStart"] == [4800, 5100], "the deeper file"
    assert sidecar["ScanStart"] == 77 and sidecar["Units"] == "Bq/mL"
    assert folder.is_dir()


def test_a_simulated_source_stays_simulated(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    session(source, "01", "a", PET)
    write_json(source / "dataset_description.json", {"Name": "SIMULATED DATA (phantoms)"})
    ingest(source, out, SETTINGS)
    assert "SIMULATED" in read_json(out / "dataset_description.json")["Name"]
    assert all(is_simulated(image) for image in out.rglob("sub-*/**/*.nii.gz"))


@pytest.mark.parametrize(
    ("marked", "name"),
    [
        (("pet", "anat"), "SIMULATED DATA (digital phantoms, no patients)"),
        (("pet",), "REAL MRI, SIMULATED PET"),
        ((), "BIDS dataset"),
    ],
)
def test_the_mark_of_single_scans_survives_ingest_twice(tmp_path: Path, marked, name):
    """Packed from such a dataset, tables once went out unstamped."""
    source = tmp_path / "in"
    folder = session(source, "01", "a", PET)
    for image in folder.rglob("*.nii.gz"):
        sidecar = beside(image, ".json")
        told = read_json(sidecar) if sidecar.exists() else {}
        write_json(sidecar, {**told, "Simulated": image.parent.name in marked})
    write_json(source / "dataset_description.json", {"Name": "A study"})
    for again in ("once", "twice"):
        ingest(source, tmp_path / again, SETTINGS, kind="bids")
        source = tmp_path / again
        assert read_json(source / "dataset_description.json")["Name"] == name
        for image in source.rglob("sub-*/**/*.nii.gz"):
            assert is_simulated(image) == (image.parent.name in marked), image
            assert read_json(beside(image, ".json"))["Simulated"] == (image.parent.name in marked)


def test_a_source_is_what_it_is_said_to_be(tmp_path: Path):
    session(tmp_path / "in", "01", "a", PET)
    with pytest.raises(ReladError, match="no collection CSV"):
        ingest(tmp_path / "in", tmp_path / "out", SETTINGS, kind="loni")
    with pytest.raises(ReladError, match="is packed already"):
        ingest(tmp_path / "in", tmp_path / "out", SETTINGS, kind="packed")
    with pytest.raises(ReladError, match="no source 'xnat'"):
        ingest(tmp_path / "in", tmp_path / "out", SETTINGS, kind="xnat")


def test_a_folder_of_pet_alone_is_a_dataset_and_one_above_it_is_named(tmp_path: Path):
    source = tmp_path / "study" / "rawdata"
    folder = session(source, "01", None, PET)
    shutil.rmtree(folder / "anat")
    assert guess_source(source) == "bids"
    with pytest.raises(ReladError, match=r"study: is no BIDS dataset, but holds one -- .*rawdata"):
        ingest(source.parent, tmp_path / "out", SETTINGS)
    (source.parent / "collection.csv").write_text("")
    assert guess_source(source.parent) == "loni"


def test_images_that_are_no_raw_scan_are_not_taken(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    folder = session(source, "01", "a")
    for name in ("ce-gad_T1w", "space-MNI_T1w"):
        write_image(folder / "anat" / f"sub-01_ses-a_{name}.nii.gz")
    for rec in ("acdyn", "nacdyn", "acstat"):
        write_image(folder / "pet" / f"sub-01_ses-a_rec-{rec}_pet.nii.gz", (8, 9, 10, 2))
        write_json(folder / "pet" / f"sub-01_ses-a_rec-{rec}_pet.json", PET)
    write_image(folder / "pet" / "sub-01_ses-a_pet.v")
    (source / "sub-02_old" / "anat").mkdir(parents=True)
    write_image(source / "sub-02_old" / "anat" / "sub-02_T1w.nii.gz")
    ingest(source, out, SETTINGS)
    rows = read_table(out / "ingest.tsv")
    kept = [Path(r["image_id"]).name for r in rows if r["status"] == "kept"]
    assert sorted(kept) == [
        "sub-01_ses-a_FLAIR.nii.gz",
        "sub-01_ses-a_T1w.nii.gz",
        "sub-01_ses-a_rec-acdyn_pet.nii.gz",
    ]
    reasons = " | ".join(r["reason"] for r in rows if r["status"] == "dropped")
    for part in (
        "acquired with a contrast agent",
        "no longer in the scanner's space",
        "not corrected for attenuation",
        "sub-01_ses-a_pet.v: format .v is not read",
        "sub-02_old is no subject",
        "another tau PET in session a",
    ):
        assert part in reasons, part


def test_the_date_of_a_scan_goes_before_that_of_its_session(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    folder = session(source, "01", "a", PET)
    sessions = source / "sub-01" / "sub-01_sessions.tsv"
    sessions.write_text("session_id\tacq_time\nses-a\t2020-01-01T00:00:00\n")
    scans = folder / "sub-01_ses-a_scans.tsv"
    scans.write_text("filename\tacq_time\npet/sub-01_ses-a_pet.nii.gz\t2021-06-01T00:00:00\n")
    ingest(source, out, SETTINGS)
    (pair,) = read_table(out / "pairs.tsv")
    assert (pair["t1w_date"], pair["pet_date"]) == (None, "2021-06-01")
    assert pair["reason"] == "its nearest T1w: 517 days apart, the limit is 180"


def test_only_frames_before_the_injection_may_be_empty(tmp_path: Path):
    source = tmp_path / "in"
    folder = session(source, "01", "a", PET)
    file = next((folder / "pet").glob("*.nii.gz"))
    image = nib.load(file)
    intact = image.get_fdata()
    for empty, status in ((0, "kept"), (1, "dropped")):
        data = intact.copy()
        data[..., empty] = 0
        nib.Nifti1Image(data.astype(np.float32), image.affine).to_filename(file)
        ingest(source, tmp_path / "out", SETTINGS)
        (row,) = [r for r in read_table(tmp_path / "out" / "ingest.tsv") if r["kind"] == "PET"]
        assert row["status"] == status
        assert f"frame {empty + 1} of 2 is empty" in (row["note"] or row["reason"])


def test_an_sform_of_realignment_counts_and_one_to_a_template_does_not(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    folder = session(source, "01", "a", PET)
    file = t1w_of(folder)
    image = nib.load(file)
    turned = image.affine.copy()
    c, s = np.cos(0.2), np.sin(0.2)
    turned[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ turned[:3, :3]
    for code, expected in ((2, turned), (4, image.affine)):
        image.set_qform(image.affine, 1)
        image.set_sform(turned, code)
        image.to_filename(file)
        ingest(source, out, SETTINGS)
        written = nib.load(next(out.rglob("*_T1w.nii.gz")))
        np.testing.assert_allclose(written.affine, expected, atol=1e-4)


def test_one_image_with_two_endings_is_used_once(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    folder = session(source, "01", "a", PET)
    image = nib.load(t1w_of(folder))
    image.to_filename(folder / "anat" / "sub-01_ses-a_T1w.nii")
    ingest(source, out, SETTINGS)
    dropped = [r for r in read_table(out / "ingest.tsv") if r["status"] == "dropped"]
    assert len(dropped) == 1
    assert "stands beside it with another ending" in dropped[0]["reason"]


def test_a_folder_that_may_not_be_entered_has_a_row(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("closed")
    source, out = root / "in", root / "out"
    session(source, "01", "a", PET)
    shut = session(source, "02", "a", PET) / "anat"
    if os.geteuid() == 0:
        # Root may enter any folder: the walk is asked as somebody else.
        nobody = 65534
        for folder in (root, *root.parents[:-2]):
            folder.chmod(0o755)
        shut.chmod(0o700)
        os.seteuid(nobody)
        try:
            contents = bids_source.read(source)
        finally:
            os.seteuid(0)
    else:
        shut.chmod(0)
        contents = bids_source.read(source)
        shut.chmod(0o700)
    (found,) = [r for r in contents.rows if r["status"] == "dropped"]
    assert found["subject"] == "02"
    assert found["reason"] == "sub-02/ses-a/anat: cannot be entered (Permission denied)"
    assert not out.exists()


def test_a_dataset_without_images_is_one_error(tmp_path: Path):
    write_json(tmp_path / "in" / "dataset_description.json", {"Name": "x"})
    with pytest.raises(ReladError, match="holds no image in a folder sub-"):
        ingest(tmp_path / "in", tmp_path / "out", SETTINGS)


def test_labels_of_derivatives_go_along_with_their_names(tmp_path: Path):
    source, out = tmp_path / "source", tmp_path / "out"
    session(source, "01", "a")
    session(source, "02", None)
    smriprep = source / "derivatives" / "smriprep"
    for name in (
        "sub-01/ses-a/anat/sub-01_ses-a_dseg.nii.gz",  # tissues, which nothing names
        "sub-01/ses-a/anat/sub-01_ses-a_desc-aseg_dseg.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_desc-aparcaseg_dseg.nii.gz",
        "sub-02/anat/sub-02_space-MNI152NLin2009cAsym_desc-aparcaseg_dseg.nii.gz",
    ):
        write_image(smriprep / name)
    for desc in ("aseg", "aparcaseg"):
        (smriprep / f"desc-{desc}_dseg.tsv").write_text(f"index\tname\n17\t{desc}\n")
    ingest(source, out, SETTINGS)
    labels = out / "derivatives/source/sub-01/ses-a/anat/sub-01_ses-a_dseg.nii.gz"
    copied = smriprep / "sub-01/ses-a/anat/sub-01_ses-a_desc-aparcaseg_dseg.nii.gz"
    assert labels.read_bytes() == copied.read_bytes()
    assert labels.with_name("sub-01_ses-a_dseg.tsv").read_text().endswith("aparcaseg\n")
    assert not (out / "derivatives/source/sub-02").exists()


#: What is no file name or folder of BIDS -> why it is not taken.
NOT_BIDS = {
    "ses-2018-01-01/anat/sub-01_ses-2018-01-01_T1w": "ses-2018-01-01 is no key, hyphen and label",
    "2018/anat/sub-01_T1w": "lies in sub-01/2018/anat, and BIDS has",
    "SES-1/anat/sub-01_T1w": "lies in sub-01/SES-1/anat, and BIDS has",
    "ses-m+/anat/sub-01_T1w": "its name and its folder state different subjects or sessions",
    "ses-m0/anat/sub-01_ses-m0_ce-gad+x_T1w": "acquired with a contrast agent",
    "ses-m0/anat/sub-01_ses-m0_CE-gad_T1w": "CE-gad is no key, hyphen and label",
    "ses-m0/anat/sub-01_ses-m0_post_T1w": "post is no key, hyphen and label",
    "ses-m0/anat/sub-01_ses-m0_T1w.bak": "not used: T1w.bak",
    "ses-m0/anat/sub-01_ses-m0_desc-brain_T1w": "made of a scan by another program (desc-brain)",
}


def test_labels_may_hold_a_plus_and_nothing_else_is_dropped_in_silence(tmp_path: Path):
    """Visits ses-2018-01-01 and ses-2021-01-01 once became one person without sessions."""
    source, out = tmp_path / "in", tmp_path / "out"
    session(source, "01", "m0+")
    session(source, "01", "m36+", PET)
    for name in NOT_BIDS:
        write_image(source / "sub-01" / f"{name}.nii.gz")
    write_json(source / "sub-01_ce-a-b_pet.json", {"AttenuationCorrection": "none"})
    ingest(source, out, SETTINGS)
    got = table(out)
    for name, reason in NOT_BIDS.items():
        assert reason in got[f"sub-01/{name}.nii.gz"]["reason"], name
    kept = {row["session"] for row in got.values() if row["status"] == "kept"}
    assert kept == {"m0+", "m36+"}
    assert (out / "sub-01" / "ses-m36+" / "pet").is_dir()
    (pair,) = read_table(out / "pairs.tsv")
    assert "m36+" in pair["t1w"]


@pytest.mark.parametrize(
    ("told", "reason", "note"),
    [
        ({"SeriesDescription": "AX T1 POST GAD"}, "(contrast agent)", None),
        ({"SeriesDescription": "localizer", "ProtocolName": "Scout"}, "'localizer'", None),
        ({"ProtocolName": "AAHead_Scout"}, "'AAHead_Scout'", None),
        ({"SeriesDescription": "Ax FLAIR"}, "describes it as 'Ax FLAIR', a FLAIR", None),
        ({"SeriesDescription": "MPRAGE", "ProtocolName": "BRAIN POST GAD"}, None, "BRAIN POST GAD"),
        ({"SeriesDescription": "MPRAGE", "ProtocolName": "T1w"}, None, None),
    ],
)
def test_a_sidecars_description_of_an_mri_counts(tmp_path: Path, told, reason, note):
    source, out = tmp_path / "in", tmp_path / "out"
    t1w = t1w_of(session(source, "01", None))
    write_json(beside(t1w, ".json"), told)
    ingest(source, out, SETTINGS)
    row = table(out)[t1w.relative_to(source).as_posix()]
    for expected, got in ((reason, row["reason"]), (note, row["note"])):
        assert got is None if expected is None else expected in got


@pytest.mark.parametrize(
    ("aliases", "nuclide", "note"),
    [
        (["[11C]PiB"], "F18", "its radionuclide is F18, but that of PIB is C11"),
        (["[11C]PiB"], "18F", "its radionuclide is F18, but that of PIB is C11"),
        (["[11C]PiB"], "11C", None),
        (["[11C]PiB"], "n/a", None),
        (["PiB"], "F18", None),
    ],
)
def test_a_radionuclide_that_is_not_the_ligands_is_a_note(tmp_path: Path, aliases, nuclide, note):
    settings = ingest_settings({"amyloid": tracer_entry("PIB", aliases=aliases)})
    told = {**PET, "TracerName": "PIB", "TracerRadionuclide": nuclide}
    session(tmp_path / "in", "01", None, told)
    ingest(tmp_path / "in", tmp_path / "out", settings)
    assert table(tmp_path / "out")["sub-01/pet/sub-01_pet.nii.gz"]["note"] == note


@pytest.mark.parametrize("text", ["15/06/2018", "05/06/2018", "2018-06", "June 2018"])
def test_a_date_that_is_not_isos_is_unknown_with_a_note(tmp_path: Path, text: str):
    source, out = tmp_path / "in", tmp_path / "out"
    session(source, "01", None, {**PET, "ScanDate": text})
    name = "anat/sub-01_T1w.nii.gz"
    scans = source / "sub-01" / "sub-01_scans.tsv"
    scans.write_text(f"filename\tacq_time\n{name}\t{text}\nanat/sub-01_FLAIR.nii.gz\tn/a\n")
    ingest(source, out, SETTINGS)
    got = table(out)
    told = f"its date {text!r} in {{}} is not YYYY-MM-DD and was taken as unknown"
    for image, where in ((name, scans.name), ("pet/sub-01_pet.nii.gz", "its sidecar (ScanDate)")):
        row = got[f"sub-01/{image}"]
        assert (row["acq_date"], told.format(where) in row["note"]) == (None, True)
    assert got["sub-01/anat/sub-01_FLAIR.nii.gz"]["note"] is None


def test_names_in_tables_of_dates_that_are_not_there_are_told(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    session(source, "01", "1")
    anat, stem = "ses-1/anat", "sub-01_ses-1"
    lines = [f"./{anat}/{stem}_FLAIR.nii.gz\t20200101", f"{anat}/{stem}_T1w.nii\t2020-01-01"]
    scans = source / "sub-01" / "sub-01_scans.tsv"
    scans.write_text("\n".join(["filename\tacq_time", *lines]))
    scans.with_name("sub-01_sessions.tsv").write_text("session_id\tacq_time\n1\t2020-01-01\n")
    ingest(source, out, SETTINGS)
    days = {row["kind"]: row["acq_date"] for row in read_table(out / "ingest.tsv")}
    assert (days["T1w"], days["FLAIR"]) == (None, "2020-01-01")
    reasons = [r["reason"] for r in read_table(out / "ingest.tsv") if r["status"] == "dropped"]
    assert [reason.partition(", and")[0] for reason in reasons] == [
        f"sub-01_scans.tsv: names 1 that are not beside it ({anat}/{stem}_T1w.nii)",
        "sub-01_sessions.tsv: names 1 that are not beside it (1)",
    ]


def test_what_lies_under_a_subjects_name_at_the_root_has_a_row(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "sub-05").parent.mkdir()
    (source / "sub-02").symlink_to("nowhere")
    for name in ("sub-03.zip", "sub-04.tar.gz", "sub-05", "sub-07_T1w.nii.gz", "sub-08_T1w.json"):
        (source / name).write_text("{}")
    write_image(source / "Sub-06" / "anat" / "sub-06_T1w.nii.gz")
    with pytest.raises(ReladError, match=r"no image .* sub-03\.zip: is an archive: unpack it"):
        ingest(source, out, SETTINGS, kind="bids")
    session(source, "01", None)
    ingest(source, out, SETTINGS)
    rows = [r for r in read_table(out / "ingest.tsv") if r["status"] == "dropped"]
    assert {r["subject"]: r["reason"].partition(": ")[2] for r in rows} == {
        "02": "is a link that leads nowhere",
        "03": "is an archive: unpack it",
        "04": "is an archive: unpack it",
        "05": "is a file where a subject's folder is needed",
        "06": "is no subject's folder: BIDS writes sub-<label>",
        "07T1w": "lies in no subject's folder",
    }


@pytest.mark.parametrize(
    "text",
    ["participant_id \tage\nsub-01\t70\n", "Participant_ID\tAge\nsub-01 \t 70 \n"],
)
def test_blanks_and_capitals_of_the_table_of_people_lose_nobody(tmp_path: Path, text: str):
    session(tmp_path / "in", "01", None)
    (tmp_path / "in" / "participants.tsv").write_text(text)
    ingest(tmp_path / "in", tmp_path / "out", SETTINGS)
    (person,) = read_table(tmp_path / "out" / "participants.tsv")
    assert (person["participant_id"], person["age"]) == ("sub-01", "70")


@pytest.mark.parametrize("cut", [",", ";"])
def test_a_table_of_people_without_their_ids_is_an_error(tmp_path: Path, cut: str):
    session(tmp_path / "in", "01", None)
    text = f"participant_id{cut}age\nsub-01{cut}70\n"
    (tmp_path / "in" / "participants.tsv").write_text(text)
    with pytest.raises(ReladError, match=r"participants\.tsv: lacks .* participant_id .* by tabs"):
        ingest(tmp_path / "in", tmp_path / "out", SETTINGS)


def test_a_person_whom_the_table_lacks_is_told(tmp_path: Path):
    session(tmp_path / "in", "01", None)
    (tmp_path / "in" / "participants.tsv").write_text("participant_id\tage\nsub-1\t70\n")
    ingest(tmp_path / "in", tmp_path / "out", SETTINGS)
    told = [r["reason"] for r in read_table(tmp_path / "out" / "ingest.tsv") if r["reason"]]
    assert told == ["participants.tsv: has no row of sub-01: age, sex and group are unknown"]


@pytest.mark.parametrize(
    ("name", "simulated"),
    [("Not simulated, real data", False), ("No SIMULATED scans", False), ("simulated", True)],
)
def test_a_dataset_that_is_not_simulated_may_say_so(tmp_path: Path, name: str, simulated: bool):
    session(tmp_path / "in", "01", None)
    write_json(tmp_path / "in" / "dataset_description.json", {"Name": name})
    assert bids_source.read(tmp_path / "in").simulated is simulated


def test_masks_of_derivatives_go_along(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    session(source, "01", "a", PET)
    mask = "derivatives/synthstrip/sub-01/ses-a/anat/sub-01_ses-a_desc-brain_mask.nii.gz"
    write_image(source / mask)
    ingest(source, out, SETTINGS)
    copied = out / "derivatives/source/sub-01/ses-a/anat/sub-01_ses-a_desc-brain_mask.nii.gz"
    assert copied.read_bytes() == (source / mask).read_bytes()


@pytest.mark.parametrize(
    ("t1ws", "made", "used"),
    [
        # of each T1w one: the kept one's, in its own spelling of the run too
        (("run-1", "run-2"), ("run-1", "run-2"), "run-2"),
        (("run-1", "run-2"), ("run-1", "run-02"), "run-02"),
        (("acq-a_run-1", "acq-b_run-1"), ("acq-a_run-1", "acq-b"), "acq-b"),
        # of another one alone, or of any: none
        (("run-1", "run-2"), ("run-1",), None),
        (("run-1", "run-2"), ("",), None),
        (("", "run-2"), ("",), None),
        (("run-2",), ("run-1",), None),
        # of the only one that there is
        (("acq-a_run-2",), ("",), ""),
        (("acq-a_run-2",), ("acq-a",), "acq-a"),
        (
            ("acq-a",),
            ("acq-a_mod-T1w_method-hdbet_space-orig",),
            "acq-a_mod-T1w_method-hdbet_space-orig",
        ),
        (("ce-gad", "run-2"), ("",), ""),
    ],
)
@pytest.mark.parametrize("what", ["desc-brain_mask", "desc-aseg_dseg"])
def test_only_what_was_made_of_the_kept_t1w_goes_along(tmp_path: Path, t1ws, made, used, what):
    """The last T1w is kept; derivatives keep the entities of the T1w that they were made of."""

    def name(entities: str, rest: str) -> str:
        return "_".join(filter(None, ("sub-01", entities, rest)))

    source, out = tmp_path / "in", tmp_path / "out"
    anat, derived = source / "sub-01" / "anat", source / "derivatives" / "x"
    for entities in t1ws:
        write_image(anat / name(entities, "T1w.nii.gz"))
        flat = {"MRAcquisitionType": "2D" if entities != t1ws[-1] else "3D"}
        write_json(anat / name(entities, "T1w.json"), flat)
    for entities in made:
        write_image(derived / "sub-01" / "anat" / name(entities, f"{what}.nii.gz"))
    (derived / "desc-aseg_dseg.tsv").write_text("index\tname\n17\tHippocampus\n")
    ingest(source, out, SETTINGS)
    ours = (
        out / "derivatives/source/sub-01/anat" / f"sub-01_{what.replace('desc-aseg_', '')}.nii.gz"
    )
    note = table(out)[f"sub-01/anat/{name(t1ws[-1], 'T1w.nii.gz')}"]["note"]
    if used is not None:
        theirs = derived / "sub-01" / "anat" / name(used, f"{what}.nii.gz")
        assert ours.read_bytes() == theirs.read_bytes()
        assert note is None
    else:
        assert not ours.exists()
        assert "of derivatives was used: none is named as made of this T1w (sub-01_" in note
        assert f"name its own {name(t1ws[-1], what.replace('desc-aseg_', ''))}.nii.gz" in note


def test_a_mask_is_of_the_t1w_rather_than_of_the_uniform_image(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    folder = session(source, "01", None)
    write_image(folder / "anat" / "sub-01_UNIT1.nii.gz")
    mask = "derivatives/x/sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    write_image(source / mask)
    ingest(source, out, SETTINGS)
    copied = out / "derivatives/source/sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    assert copied.read_bytes() == (source / mask).read_bytes()


REAL = {
    "ds001421": ("SB", "C11", 0, 38),
    "ds004230": ("[11C]PS13", "C11", 0, 33),
    "ds004513": ("FDG", "F18", 0, 32),
    "ds004869": ("MC1", "C11", 0, 33),
    "bids-examples/pet002": ("DASB", "C11", 0, 32),
    "bids-examples/pet005": ("AZ-10419369", "C11", 0, 48),
}


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real BIDS-PET sidecars in {SHARED}")
@pytest.mark.parametrize("name", REAL)
def test_real_sidecars_keep_their_times_units_and_tracers(tmp_path: Path, name: str):
    tracer, nuclide, injected, frames = REAL[name]
    source, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(SHARED / name, source)
    stated = {}
    for file in sorted(source.rglob("*_pet.json")):
        stem = file.name.removesuffix("_pet.json")
        sidecar = read_json(file)
        count = len(sidecar["FrameTimesStart"])
        write_image(file.with_name(f"{stem}_pet.nii.gz"), (6, 7, 8, count))
        anat = file.parent.parent / "anat"
        base = "_".join(p for p in stem.split("_") if p.startswith(("sub-", "ses-")))
        write_image(anat / f"{base}_T1w.nii.gz")
        stated[f"{stem}_pet.nii.gz"] = sidecar
    ingest(source, out, ingest_settings({"it": tracer_entry("X1", aliases=[tracer])}))
    kept = [r for r in read_table(out / "ingest.tsv") if r["kind"] == "PET"]
    assert len(kept) == len(stated) and {r["status"] for r in kept} == {"kept"}, kept
    for row in kept:
        ours = read_json(out / row["output"].replace(".nii.gz", ".json"))
        theirs = stated[Path(row["image_id"]).name]
        assert (ours["TracerName"], ours["TracerRadionuclide"]) == (tracer, nuclide)
        assert ours["Units"] == theirs["Units"] and ours["InjectionStart"] == injected
        assert ours["TimeZero"] == theirs["TimeZero"]
        for key in ("FrameTimesStart", "FrameDuration"):
            assert ours[key] == theirs[key]
    first = min(stated)
    assert len(stated[first]["FrameTimesStart"]) == frames
    pairs = read_table(out / "pairs.tsv")
    assert {p["status"] for p in pairs} == {"paired"}


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real BIDS-PET sidecars in {SHARED}")
def test_a_real_header_over_zeros_is_refused(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(SHARED / "bids-examples" / "pet001", source)
    write_image(source / "sub-01" / "ses-01" / "anat" / "sub-01_ses-01_T1w.nii.gz")
    settings = ingest_settings({"it": tracer_entry("CIMBI36", aliases=["CIMBI-36"])})

    def reason() -> str:
        ingest(source, out, settings)
        (row,) = [r for r in read_table(out / "ingest.tsv") if "_pet" in r["image_id"]]
        return row["reason"]

    assert "lasts into frame" in reason(), "its durations are the frames' ends"
    file = next(source.rglob("*_pet.json"))
    told = read_json(file)
    told["FrameDuration"] = [b - a for a, b in pairwise([*told["FrameTimesStart"], 7200])]
    write_json(file, told)
    assert "the image is empty (all voxels have one value)" in reason()


def test_the_result_is_valid_bids(tmp_path: Path):
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("the BIDS validator is not installed (pip install bids-validator-deno)")
    source, out = tmp_path / "in", tmp_path / "out"
    for label in ("01", "02"):
        session(
            source,
            label,
            "a",
            PET | {"InjectedRadioactivity": 370, "InjectedRadioactivityUnits": "MBq"},
        )
    ingest(source, out, SETTINGS)
    done = subprocess.run(
        [validator, str(out), "--format", "json"], capture_output=True, text=True, timeout=120
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [
        (i["code"], i.get("subCode"), i["location"]) for i in issues if i["severity"] == "error"
    ]
    # A number that the source does not tell has no valid form; everything else must be right.
    assert {e[1] for e in errors} <= {"ReconFilterSize"}, errors
