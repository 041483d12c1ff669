"""Which scans of a BIDS folder are taken; files and DICOM are tested where they are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from relad.cohort.images import PUT_RIGHT_KEY
from relad.errors import DataError, ReladError
from relad.fileio import write_json
from relad.imaging.nifti import save_nifti
from relad.prediction import scans
from relad.registration.inputs import sidecar
from relad.steps.ingest import ingest
from tests.helpers.loni import write_media_directory
from tests.helpers.predictions import series
from tests.helpers.settings import ingest_settings

BOTH = ("T1w", "FLAIR")


def image(file: Path) -> Path:
    data = np.random.default_rng(len(file.name)).normal(100, 10, (12, 12, 12))
    save_nifti(file, data.astype(np.float32), np.diag([3.0, 3, 3, 1]))
    return file


def add(root: Path, label: str, session: str | None, *kinds: str, day: str | None = None) -> None:
    parts = [f"sub-{label}", *([f"ses-{session}"] if session else [])]
    folder = root.joinpath(*parts, "anat")
    folder.mkdir(parents=True)
    for kind in kinds:
        stem = "_".join([*parts, kind])
        image(folder / f"{stem}.nii.gz")
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


#: name -> files of a person, each with its sidecar (None: it is damaged) and why it is left out.
VARIANTS = {
    "label": {"acq-GAD_T1w": ({}, "(contrast agent)"), "acq-mprage_T1w": ({}, None)},
    "entity": {"ce-gad_T1w": ({}, "with a contrast agent"), "run-01_T1w": ({}, None)},
    "header": {
        "acq-a_T1w": ({"ContrastBolusAgent": "Gadovist"}, "agent (Gadovist)"),
        "acq-b_T1w": ({}, None),
    },
    "slices": {
        "acq-axial_T1w": ({"MRAcquisitionType": "2D"}, "another T1w"),
        "acq-mprage_T1w": ({}, None),
    },
    "mp2rage": {"acq-mp2rage_UNIT1": ({}, "another T1w"), "acq-mprage_T1w": ({}, None)},
    "computed": {
        "acq-a_T1w": ({"ImageType": ["DERIVED", "PRIMARY", "T1 MAP"]}, "a map of T1"),
        "acq-b_T1w": ({}, None),
    },
    "parts": {
        "echo-1_T1w": ({}, "one part or echo"),
        "part-imag_T1w": ({}, "one part or echo"),
        "part-mag_T1w": ({}, None),
    },
    "damaged": {"acq-a_T1w": (None, "cannot be read"), "acq-b_T1w": ({}, None)},
    "flair": {
        "T1w": ({}, None),
        "acq-post_FLAIR": ({}, "(contrast agent)"),
        "run-2_FLAIR": ({}, None),
    },
}


@pytest.mark.parametrize("files", VARIANTS.values(), ids=VARIANTS)
def test_of_several_images_that_is_taken_which_ingest_keeps(tmp_path: Path, files: dict):
    root = tmp_path / "bids"
    for name, (told, _) in files.items():
        file = root / "sub-A" / "anat" / f"sub-A_{name}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        image(file) if told is not None else file.write_bytes(b"x" * 500)
        write_json(file.with_name(f"sub-A_{name}.json"), told or {})
    given = scans.find(root, None, ("T1w", "FLAIR"))
    reasons = {name: reason for name, (_, reason) in files.items()}
    good = {f"sub-A_{name}.nii.gz" for name, reason in reasons.items() if reason is None}
    assert set(given.names.values()) == good
    left_out = {told.split(": ")[0]: told for told in given.left_out}
    for name, reason in reasons.items():
        told = left_out.pop(f"sub-A/anat/sub-A_{name}.nii.gz", None)
        assert (told is None) == (reason is None)
        assert told is None or (reason in told and told.count(name) == 1)
    assert not left_out
    rows = ingest(root, tmp_path / "ingested", ingest_settings({}))
    assert {Path(r["image_id"]).name for r in rows if r["status"] == "kept"} == good


def test_a_person_without_a_scan_to_use_is_refused_with_every_reason(tmp_path: Path):
    root = tmp_path / "bids"
    add(root, "A", None, "acq-GAD_T1w", "ce-x_T1w", "T1w", "acq-post_FLAIR")
    with pytest.raises(DataError, match=r"bids: no FLAIR of sub-A can be used: .*\(contrast agent"):
        scans.find(root, None, BOTH)
    (root / "sub-A/anat/sub-A_T1w.nii.gz").unlink()
    with pytest.raises(DataError, match=r"no T1w of sub-A can .*\(contrast agent\); .*ce-x_T1w"):
        scans.find(root, None, BOTH)


def test_what_a_person_put_right_in_ingest_is_not_refused_after_it(tmp_path: Path):
    root = tmp_path / "bids"
    add(root, "A", None, "T1w")
    agent = {"ContrastBolusAgent": "Gadovist"}
    write_json(root / "sub-A/anat/sub-A_T1w.json", agent)
    with pytest.raises(DataError, match=r"no T1w of sub-A can be used: .*Gadovist"):
        scans.find(root, None, ("T1w",))
    write_json(root / "sub-A/anat/sub-A_T1w.json", {**agent, PUT_RIGHT_KEY: "by A. Person"})
    given = scans.find(root, None, ("T1w",))
    assert scans.convert_all(given, "one", {}, tmp_path / "made", None).scans.t1w.is_file()


def test_a_session_whose_scan_cannot_be_used_is_passed_over(dataset: Path):
    file = dataset / "sub-A/ses-middle/anat/sub-A_ses-middle_FLAIR.json"
    write_json(file, {"ContrastBolusAgent": "Gadovist"})
    assert found(dataset, subject="A") == ("late", {f"sub-A_ses-late_{kind}" for kind in BOTH})
    (said,) = scans.find(dataset, None, BOTH, subject="A").left_out
    assert "ses-middle_FLAIR.nii.gz: not used: acquired with a contrast agent (Gadovist)" in said
    with pytest.raises(DataError, match="no FLAIR of sub-A, ses-middle can be used"):
        scans.find(dataset, None, BOTH, subject="A", session="middle")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sub-post_ses-gad_T1w", None),
        ("sub-A_acq-GAD_T1w", "'acq-GAD' (contrast agent)"),
        ("sub-A_ce-x_T1w", "'ce-x' (contrast agent)"),
        ("t1_post_km", "'t1_post_km' (contrast agent)"),
        ("t1_pre_contrast", None),
    ],
)
def test_a_named_file_is_taken_and_what_ingest_would_refuse_is_told(tmp_path, name, told):
    given = scans.find(image(tmp_path / f"{name}.nii.gz"), None, ("T1w",))
    notes = scans.convert_all(given, "one", {}, tmp_path / "made", None).notes
    said = [f"T1w {name}.nii.gz: `relad ingest` would not use it: {told}"] if told else []
    assert [note for note in notes if "ingest" in note] == said


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ("T1 MPRAGE SAG", ()),
        ("", ()),
        ("t1_mprage_post_KM", "'t1_mprage_post_KM' (contrast agent), as its header describes it"),
        ("t2_flair", "is listed as a T1w, but its header describes it as 't2_flair', a FLAIR"),
    ],
)
def test_so_it_is_with_the_description_of_dicom(tmp_path: Path, described: str, said: str):
    folder = series(tmp_path, "a", "Ann", description=described)
    notes = scans.find(folder, None, ("T1w",)).images["T1w"].notes
    assert notes == ((f"`relad ingest` would not use it: {said}",) if said else ())


def test_a_dataset_that_is_simulated_marks_its_scans(dataset: Path, tmp_path: Path):
    write_json(dataset / "dataset_description.json", {"Name": "x", "Description": "SIMULATED"})
    given = scans.find(dataset / "sub-B", None, ("T1w",))
    made = scans.convert_all(given, "one", {}, tmp_path / "made", None).scans.t1w
    assert sidecar(made)["Simulated"] is True


def test_the_directory_of_a_cd_is_passed_over(tmp_path: Path):
    folder = series(tmp_path, "a", "Ann")
    directory = write_media_directory(folder / "DICOMDIR")
    given = scans.find(folder, None, ("T1w",))
    assert [file.name for file in given.images["T1w"].files] == ["0.dcm", "1.dcm", "2.dcm"]
    with pytest.raises(DataError, match="DICOMDIR: is the directory of a medium and no image -- "):
        scans.find(directory, None, ("T1w",))
    for file in given.images["T1w"].files:
        file.unlink()
    with pytest.raises(ReladError, match="holds neither a DICOM series nor"):
        scans.find(folder, None, ("T1w",))
