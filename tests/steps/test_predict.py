"""One person's PET: what is written, that it is what `synthesize` makes, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad import cli
from relad.fileio import read_json, write_json
from relad.imaging.nifti import load_nifti
from relad.steps import predict as step
from tests.helpers import predictions
from tests.helpers.predictions import QUICK, of_person, predict, write_bids
from tests.helpers.registered import SUBJECT


@pytest.fixture
def registered_at_once(monkeypatch):
    monkeypatch.setattr(step, "preprocess", predictions.preprocess)


@pytest.fixture(scope="module")
def done(root, tmp_path_factory):
    """A prediction of two tracers of a model of real people."""
    out = tmp_path_factory.mktemp("done") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "preprocess", predictions.preprocess)
        words = [*of_person(root), "--tracer", "amyloid", "--age", "45", *QUICK]
        assert predict(root / "rela", out, *words) == 0
    return out


def pet(out: Path, tracer: str, space: str, desc: str = "synthetic") -> Path:
    name = f"sub-{SUBJECT}_trc-{tracer}_space-{space}_desc-{desc}_pet.nii.gz"
    return out / f"sub-{SUBJECT}" / "pet" / name


MNI = "MNI152NLin2009aSym"


def test_images_in_both_spaces_say_what_they_are(root, done):
    t1w = load_nifti(root / "scans" / "T1w.nii.gz")
    for tracer in ("tau", "amyloid"):
        for desc in ("synthetic", "spread"):
            native, mni = (nib.load(pet(done, tracer, space, desc)) for space in ("T1w", MNI))
            assert native.shape == t1w.shape and mni.shape == (24, 28, 24)
            np.testing.assert_allclose(native.affine, t1w.affine)
            assert np.asarray(native.dataobj).max() > 0.01
            for image in (native, mni):
                assert b"SUVR, rela" in image.header["descrip"].tobytes()
            about = read_json(pet(done, tracer, MNI, desc).with_suffix("").with_suffix(".json"))
            assert about["Synthetic"] is True and about["SpatialReference"] == MNI
            assert "not for diagnosis" in about["IntendedUse"]
            assert about["Model"]["Method"] == "rela" and about["Model"]["TrainingCohort"] == "toy"
            assert len(about["Model"]["WeightsSHA256"]) == 64
    assert not np.array_equal(
        nib.load(pet(done, "tau", MNI)).dataobj, nib.load(pet(done, "amyloid", MNI)).dataobj
    )


def test_the_table_is_measured_in_the_persons_own_image(done):
    table = next(done.rglob("*_trc-tau_*_stats.tsv"))
    with table.open(newline="", encoding="utf-8") as text:
        rows = {row["name"]: row for row in csv.DictReader(text, delimiter="\t")}
    labels = np.asarray(nib.load(next(done.rglob("*_dseg.nii.gz"))).dataobj)
    image = nib.load(pet(done, "tau", "T1w")).get_fdata()
    for name in ("thalamus", "frontal"):
        mean = image[labels == int(rows[name]["index"])].mean()
        assert float(rows[name]["suvr"]) == pytest.approx(mean, abs=1e-3)
        assert 0 < float(rows[name]["suvr_sd"]) < 1


def test_the_page_is_whole_and_says_whom_the_model_does_not_know(done):
    page = (done / f"sub-{SUBJECT}.html").read_text(encoding="utf-8")
    assert "http" not in page and page.count("data:image/") == 3
    assert "SYNTHETIC PET, NOT MEASURED" in page and "Research use only" in page
    assert "Age 45 years; of the 4 training people" in page
    assert "Scanner GE 3 T: the model was trained on Siemens Prisma 3 T" in page
    assert "TRAINED ON" not in page
    told = read_json(done / "prediction.json")
    assert len(told["warnings"]) >= 2 and told["kind"] == "real"
    assert "relad-predict-" not in (done / "prediction.json").read_text(encoding="utf-8")
    (row,) = csv.DictReader((done / "participants.tsv").open(encoding="utf-8"), delimiter="\t")
    assert row["applied"] == "yes" and row["warnings"] == " ".join(told["warnings"])


def test_the_data_mark_of_the_model_goes_with_the_images(root, tmp_path, registered_at_once):
    model = shutil.copytree(root / "rela", tmp_path / "model")
    write_json(model / "train.json", read_json(model / "train.json") | {"kind": "simulated"})
    assert predict(model, tmp_path / "out", *of_person(root), *QUICK) == 0
    out = tmp_path / "out"
    note = "MODEL TRAINED ON SIMULATED DATA (digital phantoms, no patients)"
    assert note in (out / f"sub-{SUBJECT}.html").read_text(encoding="utf-8")
    file = pet(out, "tau", "T1w")
    assert nib.load(file).header["descrip"].tobytes().startswith(b"SIMULATED DATA")
    about = read_json(file.with_suffix("").with_suffix(".json"))
    assert about["Mark"] == note and about["Simulated"] is True


def test_the_same_again_and_another_seed(root, done, tmp_path, registered_at_once):
    assert predict(root / "rela", tmp_path / "a", *of_person(root), *QUICK) == 0
    assert predict(root / "rela", tmp_path / "b", *of_person(root), *QUICK, "--seed", "7") == 0
    same, other = (pet(tmp_path / name, "tau", MNI).read_bytes() for name in "ab")
    assert same == pet(done, "tau", MNI).read_bytes() != other


def test_a_bundle_of_the_model_makes_the_same_images(root, done, tmp_path, registered_at_once):
    assert cli.main(["export", str(root / "rela"), str(tmp_path / "rela.zip")]) == 0
    assert predict(tmp_path / "rela.zip", tmp_path / "out", *of_person(root), *QUICK) == 0
    assert pet(tmp_path / "out", "tau", MNI).read_bytes() == pet(done, "tau", MNI).read_bytes()
    told = (tmp_path / "out" / "prediction.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in told and "relad-" not in told, "where it was unpacked"


def test_a_higher_temperature_spreads_the_samples(root, done, tmp_path, registered_at_once):
    words = [*of_person(root), *QUICK, "--temperature", "2"]
    assert predict(root / "rela", tmp_path / "out", *words) == 0
    spread, usual = (
        nib.load(pet(folder, "tau", MNI, "spread")).get_fdata().mean()
        for folder in (tmp_path / "out", done)
    )
    assert spread > 1.2 * usual
    assert "-t2x" in read_json(tmp_path / "out" / "prediction.json")["sampling"]


def test_a_method_that_is_not_random_has_no_spread(root, tmp_path, registered_at_once):
    assert predict(root / "no-tspo", tmp_path / "out", *of_person(root), *QUICK) == 0
    assert pet(tmp_path / "out", "tau", "T1w").exists()
    assert not list(tmp_path.rglob("*spread*"))


def test_an_earlier_result_is_replaced_and_nothing_else(root, tmp_path, registered_at_once, capsys):
    out = tmp_path / "out"
    for _ in range(2):
        assert predict(root / "no-tspo", out, *of_person(root), *QUICK) == 0
    (out / "prediction.json").unlink()
    assert predict(root / "no-tspo", out, *of_person(root), *QUICK) == 2
    assert "is not a result of this step" in capsys.readouterr().err


def test_the_result_is_valid_bids(done):
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("the BIDS validator is not installed (pip install bids-validator-deno)")
    run = subprocess.run(
        [validator, str(done), "--format", "json"], capture_output=True, text=True, timeout=120
    )
    issues = json.loads(run.stdout)["issues"]["issues"]
    assert [i for i in issues if i["severity"] == "error"] == []


def test_a_bids_folder_in_place_of_files(root, done, tmp_path, registered_at_once):
    folder = write_bids(root, tmp_path / "bids", SUBJECT)
    words = ["--t1", folder, "--tracer", "tau", *QUICK[:-2]]
    assert predict(root / "rela", tmp_path / "out", *words) == 0
    assert pet(tmp_path / "out", "tau", MNI).read_bytes() == pet(done, "tau", MNI).read_bytes()
    warnings = read_json(tmp_path / "out" / "prediction.json")["warnings"]
    assert any(warning.startswith("Age 45 years") for warning in warnings)


def test_what_is_left_out_and_what_ingest_would_note_is_told(
    root, tmp_path, registered_at_once, capsys
):
    folder = write_bids(root, tmp_path / "bids", SUBJECT)
    anat = folder / f"sub-{SUBJECT}" / "anat"
    shutil.copy(anat / f"sub-{SUBJECT}_T1w.nii.gz", anat / f"sub-{SUBJECT}_acq-GAD_T1w.nii.gz")
    told = read_json(anat / f"sub-{SUBJECT}_T1w.json")
    write_json(
        anat / f"sub-{SUBJECT}_T1w.json", told | {"ImageType": ["DERIVED", "PRIMARY", "MPR"]}
    )
    words = ["--t1", folder, "--tracer", "tau", *QUICK[:-2]]
    assert predict(root / "no-tspo", tmp_path / "out", *words) == 0
    out, said = read_json(tmp_path / "out" / "prediction.json"), capsys.readouterr().err
    assert out["inputs"]["T1w"] == f"sub-{SUBJECT}_T1w.nii.gz"
    (left_out,) = out["left_out"]
    assert "acq-GAD_T1w.nii.gz: not used: " in left_out
    assert f"relad predict: left out: {left_out}\n" in said
    assert any("cut anew out of another image" in warning for warning in out["warnings"])
    assert "cut anew out of another image" in said


def test_an_age_in_words_is_told_as_it_is(root, tmp_path, registered_at_once):
    """HIPAA lets nobody of 90 years or more be told apart: 89+."""
    folder = write_bids(root, tmp_path / "bids", SUBJECT)
    (folder / "participants.tsv").write_text(f"participant_id\tage\nsub-{SUBJECT}\t89+\n")
    words = ["--t1", folder, "--tracer", "tau", *QUICK[:-2]]
    assert predict(root / "no-tspo", tmp_path / "out", *words) == 0
    warnings = read_json(tmp_path / "out" / "prediction.json")["warnings"]
    assert sum("age is given as '89+'" in warning for warning in warnings) == 1
