"""A LONI download becomes BIDS; what is wrong with a series is its reason, not the cohort's end."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad import cli
from relad.cohort import dicom_series, dicom_voxels
from relad.cohort.bids import PET_REQUIRED
from relad.errors import ReladError
from relad.fileio import read_json, read_table
from relad.steps.ingest import ingest
from tests.helpers.loni import (
    SETTINGS,
    SHARED,
    TRACERS,
    A,
    B,
    C,
    csv_row,
    expected,
    folder,
    good_subject,
    table,
    values,
    write_csv,
    write_enhanced_mri,
    write_mri,
    write_pet,
)
from tests.helpers.settings import file_of, study

VENDORS = SHARED / "data" / "dicom_vendor_headers"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects ingested, from a path with a space and non-ASCII letters in it."""
    root = tmp_path_factory.mktemp("déjà vu")
    rows = good_subject(root / "loni tree", A, 11) + good_subject(root / "loni tree", B, 21)
    write_mri(root / "loni tree", A, 14, "3 Plane Localizer")
    rows += [csv_row(14, A, "3 Plane Localizer"), csv_row(99, C, "MPRAGE", Group="AD")]
    write_csv(root / "collection.csv", rows)
    settings = file_of(study(tracers=TRACERS))
    source, out = str(root / "loni tree"), root / "bids"
    assert cli.main(["ingest", source, str(out), "--jobs", "2", "--settings", settings]) == 0
    return out


def test_images_have_their_bids_names_voxels_and_place(dataset: Path):
    stem = dataset / "sub-941S0001" / "ses-ADNI3Year1"
    for image, path in (
        (11, stem / "anat" / "sub-941S0001_ses-ADNI3Year1_T1w.nii.gz"),
        (12, stem / "anat" / "sub-941S0001_ses-ADNI3Year1_FLAIR.nii.gz"),
    ):
        np.testing.assert_array_equal(values(path), expected(image))
    canonical = nib.as_closest_canonical(nib.load(path)).affine
    # DICOM's first voxel is at (0, 0, 0) with x to the left and y to posterior.
    np.testing.assert_allclose(np.diag(canonical), [2, 2.5, 3, 1])
    np.testing.assert_allclose(canonical[:3, 3], [-2 * 9, -2.5 * 11, 0])


def test_pet_keeps_each_frames_own_scale(dataset: Path):
    pet = values(next(dataset.glob("sub-941S0002/*/pet/*_trc-AV1451_pet.nii.gz")))
    assert pet.dtype == np.float32
    for frame in range(3):
        np.testing.assert_allclose(
            pet[..., frame], expected(23, frame) * (0.5 + 0.25 * frame), rtol=1e-6
        )


def test_the_pet_sidecar_holds_every_required_key_and_invents_nothing(dataset: Path):
    sidecar = read_json(next(dataset.glob("sub-941S0001/*/pet/*.json")))
    assert set(PET_REQUIRED) <= set(sidecar)
    stated = {
        "SourceImageID": "I13",
        "SourceAcquisitionDate": "2020-02-17",
        "TracerName": "AV1451",
        "Radiopharmaceutical": "Flortaucipir",
        "Units": "Bq/mL",
        "InjectedRadioactivity": 370,
        "InjectedRadioactivityUnits": "MBq",
        "TimeZero": "13:10:00",
        "InjectionStart": 0,
        "ScanStart": 4800,
        "FrameTimesStart": [4800, 5100, 5400],
        "FrameDuration": [300, 300, 300],
        "ImageDecayCorrected": True,
        "ImageDecayCorrectionTime": 4800,
        "AcquisitionMode": "dynamic",
    }
    assert {key: sidecar[key] for key in stated} == stated
    for key in ("ModeOfAdministration", "ReconFilterType", "AttenuationCorrection"):
        assert sidecar[key] == "unknown"
    assert sidecar["InjectedMass"] == "n/a"  # BIDS's word where it wants a number
    assert not {"PatientName", "PatientID", "AcquisitionDateTime"} & set(sidecar)


def test_every_series_and_every_subject_is_accounted_for(dataset: Path):
    rows = read_table(dataset / "ingest.tsv")
    assert [(r["image_id"], r["status"], r["reason"]) for r in rows] == [
        ("I11", "kept", None),
        ("I12", "kept", None),
        ("I13", "kept", None),
        ("I14", "dropped", "not used: '3 Plane Localizer'"),
        ("I21", "kept", None),
        ("I22", "kept", None),
        ("I23", "kept", None),
        ("I99", "dropped", "no files in the download"),
    ]
    assert all((dataset / r["output"]).is_file() for r in rows if r["status"] == "kept")
    assert read_table(dataset / "participants.tsv") == [
        {
            "participant_id": f"sub-941S000{k}",
            "age": "74",
            "sex": "F",
            "group": group,
            "ptid": f"941_S_000{k}",
            "sessions": sessions,
        }
        for k, group, sessions in (
            (1, "CN", "ADNI3Year1"),
            (2, "CN", "ADNI3Year1"),
            (3, "AD", None),
        )
    ]
    assert read_json(dataset / "dataset_description.json")["Name"] == "LONI download"


def test_the_same_download_gives_the_same_bytes(dataset: Path, tmp_path: Path):
    ingest(dataset.parent / "loni tree", tmp_path / "again", SETTINGS)
    files = sorted(p.relative_to(dataset) for p in dataset.rglob("*") if p.is_file())
    assert len(files) > 12
    again = tmp_path / "again"
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    for file in files:
        assert (again / file).read_bytes() == (dataset / file).read_bytes(), file


def test_enhanced_dicom_and_nifti_leaves_are_images_too(tmp_path: Path):
    loni = tmp_path / "loni"
    write_enhanced_mri(loni, A, 1, "Accelerated MPRAGE")
    pet = folder(loni, A, "AV45_Coreg", "I2") / "a_I2.nii"
    pet.parent.mkdir(parents=True)
    stored = np.random.default_rng(0).random((5, 6, 7, 2), dtype=np.float32)
    affine = np.diag([-2.0, 2, 3, 1])
    nib.save(nib.Nifti1Image(stored, affine), pet)
    flair = folder(loni, A, "FLAIR", "I3") / "a_I3.nii.gz"
    flair.parent.mkdir(parents=True)
    mri = np.arange(210, dtype=np.int16).reshape(5, 6, 7, 1)
    nib.save(nib.Nifti1Image(mri, affine), flair)
    rows = [
        csv_row(1, A, "Accelerated MPRAGE"),
        csv_row(2, A, "AV45 Coreg", "PET"),
        csv_row(3, A, "FLAIR"),
    ]
    write_csv(tmp_path / "c.csv", rows)
    out = tmp_path / "bids"
    ingest(loni, out, SETTINGS)
    got = table(out)
    np.testing.assert_array_equal(values(out / got["I1"]["output"]), expected(1))
    copied = nib.load(out / got["I2"]["output"])
    np.testing.assert_array_equal(np.asarray(copied.dataobj), stored)
    np.testing.assert_array_equal(copied.affine, affine)
    sidecar = read_json(next(out.rglob("*_pet.json")))
    assert sidecar["FrameTimesStart"] == sidecar["Units"] == sidecar["TimeZero"] == "unknown"
    copied = nib.load(out / got["I3"]["output"])
    assert copied.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asarray(copied.dataobj), mri[..., 0])


def test_only_the_images_own_files_of_a_shared_folder_are_converted(tmp_path: Path):
    loni = tmp_path / "loni"
    write_mri(loni, A, 1, "MPRAGE", leaf="S7")
    write_mri(loni, A, 2, "MPRAGE", leaf="S7")
    rows = [csv_row(1, A, "MPRAGE", Visit="bl"), csv_row(2, A, "MPRAGE", Visit="m12")]
    write_csv(tmp_path / "c.csv", rows)
    ingest(loni, tmp_path / "bids", SETTINGS)
    for image in (1, 2):
        path = tmp_path / "bids" / table(tmp_path / "bids")[f"I{image}"]["output"]
        np.testing.assert_array_equal(values(path), expected(image))


def test_a_source_without_use_is_one_error_and_leaves_nothing(tmp_path: Path, capsys):
    loni, out = tmp_path / "loni", tmp_path / "bids"
    settings = ["--settings", file_of(study(tracers=TRACERS))]
    assert cli.main(["ingest", str(loni), str(out), *settings]) == 2
    assert "no such folder" in capsys.readouterr().err
    (loni / "photos").mkdir(parents=True)
    (loni / "photos" / "me_I1.dcm").touch()
    write_csv(tmp_path / "c.csv", [csv_row(1, A, "MPRAGE")])
    assert cli.main(["ingest", str(loni), str(out), *settings]) == 2
    assert "is not a LONI download" in capsys.readouterr().err
    write_mri(loni, A, 1, "MPRAGE")[0].write_bytes(b"")
    assert cli.main(["ingest", str(loni), str(out), *settings]) == 2
    message = capsys.readouterr().err
    assert "no series can be used: " in message
    assert "1 x ADNI_941_S_0001_MR_1_S9_I1.dcm: not a DICOM file" in message
    assert {p.name for p in tmp_path.iterdir()} == {"loni", "c.csv"}


def test_only_a_dataset_of_ours_is_replaced(tmp_path: Path):
    loni = tmp_path / "loni"
    write_csv(tmp_path / "c.csv", good_subject(loni, A, 1))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    with pytest.raises(ReladError, match="is not a result of this step"):
        ingest(loni, precious, SETTINGS)
    with pytest.raises(ReladError, match="the output would replace the source"):
        ingest(loni, tmp_path, SETTINGS)
    with pytest.raises(ReladError, match="the output would lie in the source"):
        ingest(loni, loni / "bids", SETTINGS)
    out = tmp_path / "bids"
    ingest(loni, out, SETTINGS)
    (out / "stale.txt").touch()
    ingest(loni, out, SETTINGS)
    assert not (out / "stale.txt").exists()


@pytest.mark.skipif(not VENDORS.is_dir(), reason=f"no real vendor headers in {VENDORS}")
@pytest.mark.parametrize(
    "vendor", ["ge", "philips", "philips_enhanced", "siemens", "siemens_multiframe"]
)
def test_real_headers_of_each_vendor_convert(vendor: str):
    series = VENDORS / vendor / "anatomical"
    files = sorted((series / "001").glob("*.dcm"))
    assert len(dicom_series.read_series(files, vendor).frames) == 1
    made, notes = dicom_voxels.read(dicom_series.read_series(files, vendor), vendor)
    assert notes == [], "dcm2niix and the headers agree"
    ours = nib.as_closest_canonical(nib.Nifti1Image(made.data, made.affine))
    theirs = nib.as_closest_canonical(
        nib.squeeze_image(nib.load(series / "001_ground_truth.nii.gz"))
    )
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)
    # Philips' precise values are its displayed ones times a constant.
    ours, theirs = np.asarray(ours.dataobj, float), np.asarray(theirs.dataobj, float)
    np.testing.assert_allclose(ours / ours.sum(), theirs / theirs.sum(), rtol=1e-5, atol=1e-12)


@pytest.mark.skipif(
    importlib.util.find_spec("relad.cohort.phantom") is None, reason="no relad.cohort.phantom"
)
def test_a_phantom_is_ingested_whole_and_says_that_it_is_simulated(tmp_path: Path):
    cohort = {"role": "train", "source": "phantom", "psf": {}}
    cohort["phantom"] = {"subjects": 1, "site": 941, "scanner": "alpha"}
    settings = study(cohorts={"one": cohort})
    settings["tracers"] = {"tau": settings["tracers"]["tau"]}
    settings = file_of(settings)
    raw, out = tmp_path / "raw", tmp_path / "bids"
    assert cli.main(["phantom", str(raw), "--cohort", "one", "--settings", settings]) == 0
    assert cli.main(["ingest", str(raw / "loni"), str(out), "--settings", settings]) == 0
    rows = read_table(out / "ingest.tsv")
    assert sorted(r["output"].partition("_ses-bl_")[2] for r in rows if r["status"] == "kept") == [
        "FLAIR.nii.gz",
        "T1w.nii.gz",
        "trc-AV1451_pet.nii.gz",
    ]
    assert all(r["reason"].startswith("not used") for r in rows if r["status"] == "dropped")
    assert "SIMULATED" in read_json(out / "dataset_description.json")["Name"]
    sidecar = read_json(next(out.rglob("*_trc-AV1451_pet.json")))
    assert sidecar["TracerRadionuclide"] == "F18"
    assert sidecar["FrameTimesStart"] == [60 * minute for minute in (75, 80, 85, 90, 95, 100)]


def test_an_average_goes_before_a_raw_scan_whose_injection_nobody_knows(tmp_path: Path):
    loni = tmp_path / "loni"
    names = {1: "AV1451 Dynamic", 2: "AV1451 Coreg, Avg, Standardized Image and Voxel Size"}
    for injected, kept in ((None, 2), (13 * 3600, 1)):
        shutil.rmtree(loni, ignore_errors=True)
        write_pet(loni, A, 1, names[1], injected=injected)
        write_pet(loni, A, 2, names[2], frames=1, injected=None)
        write_csv(tmp_path / "c.csv", [csv_row(k, A, name, "PET") for k, name in names.items()])
        ingest(loni, tmp_path / "bids", SETTINGS)
        got = {i: r["status"] for i, r in table(tmp_path / "bids").items()}
        assert got == {f"I{k}": "kept" if k == kept else "dropped" for k in names}


def test_copied_decay_factors_refuse_a_raw_scan_and_are_a_note_on_a_processed_one(tmp_path: Path):
    def copied(data, k, frame):
        data.DecayFactor = 1.016

    names = {1: "AV1451 Dynamic", 2: "AV1451 Co-registered Dynamic"}
    for image, name in names.items():
        write_pet(tmp_path / "loni", A, image, name, change=copied)
    rows = [csv_row(k, A, name, "PET", Visit=f"v{k}") for k, name in names.items()]
    write_csv(tmp_path / "c.csv", rows)
    ingest(tmp_path / "loni", tmp_path / "bids", SETTINGS)
    got = table(tmp_path / "bids")
    assert "decay factors refer to different times" in got["I1"]["reason"]
    assert got["I2"]["status"] == "kept"
    assert "decay factors refer to different times" in got["I2"]["note"]
