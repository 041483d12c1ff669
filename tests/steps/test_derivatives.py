"""A cohort's derivatives: what `predict` writes of each, a row for everybody, and refusals."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad import cli
from relad.fileio import read_json, write_json, write_table
from relad.registration.inputs import Session
from relad.status import Modality, ScanStatus, State, SubjectStatus
from relad.steps import predict as step
from relad.study.settings import PreprocessSettings, typed
from tests.helpers import predictions
from tests.helpers.predictions import QUICK, of_person, predict
from tests.helpers.registered import SUBJECT
from tests.helpers.settings import file_of, study


@pytest.fixture(scope="module")
def clinic(root, tmp_path_factory) -> Path:
    """A cohort of one person and of one who has no FLAIR, preprocessed, packed and synthesised."""
    clinic = tmp_path_factory.mktemp("clinic")
    how = predictions.preprocessing()
    settings = study(
        **{k: v for k, v in how.items() if k != "seed"}, cohorts={"clinic": {"role": "apply"}}
    )
    person = clinic / "normalized" / f"sub-{SUBJECT}"
    person.parent.mkdir()
    session = Session(None, root / "scans" / "T1w.nii.gz", None, {}, None)
    status = predictions.preprocess(session, person, SUBJECT, typed(PreprocessSettings, how))
    status.inputs = {"T1w": "anat/T1w.nii.gz", "FLAIR": "anat/FLAIR.nii.gz"}
    status.write(person)
    shutil.copytree(person / "registered", clinic / "registered" / f"sub-{SUBJECT}")
    other = SubjectStatus("S2", mri={m: ScanStatus(State.MISSING, "not there") for m in Modality})
    other.mri[Modality.T1W] = ScanStatus(State.OK)
    (clinic / "normalized" / "sub-S2").mkdir()
    other.write(clinic / "normalized" / "sub-S2")
    write_json(clinic / "qc" / "subjects.json", [status.as_dict(), other.as_dict()])
    rows = [{"participant_id": f"sub-{SUBJECT}", "age": 45, "sex": "F", "group": "CN"}]
    write_table(clinic / "bids" / "participants.tsv", rows, list(rows[0]))
    words = ["--qc", clinic / "qc", "--bids", clinic / "bids", "--cohort", "clinic"]
    made = clinic / "packed", clinic / "synthesized"
    run("pack", made[0], clinic / "normalized", *words, "--settings", file_of(settings))
    sampling = ["--sampler", "ddim", "--steps", "2", "--samples", "3"]
    run("synthesize", root / "rela", *made, *sampling, "--settings", file_of(study()))
    return clinic


def run(*words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


def derivatives(clinic: Path, model: Path, out: Path, **other: Path) -> int:
    given = {part: clinic / part for part in ("packed", "registered", "normalized")} | other
    options = [word for part, path in given.items() for word in (f"--{part}", str(path))]
    words = ["derivatives", str(clinic / "synthesized"), str(out), "--model", str(model)]
    return cli.main([*words, *options])


def test_everybody_gets_what_predict_makes_of_one(root, clinic, tmp_path, monkeypatch):
    assert derivatives(clinic, root / "rela", tmp_path / "all") == 0
    monkeypatch.setattr(step, "preprocess", predictions.preprocess)
    assert predict(root / "rela", tmp_path / "one", *of_person(root), *QUICK, "--age", "45") == 0
    one, everybody = (
        {f.relative_to(out): f for f in (out / f"sub-{SUBJECT}").rglob("*.nii.gz")}
        for out in (tmp_path / "one", tmp_path / "all")
    )
    assert set(one) < set(everybody) and len(everybody) == 1 + 3 * 4  # all three tracers
    for name, file in one.items():
        wanted = nib.load(file).get_fdata()
        np.testing.assert_allclose(nib.load(everybody[name]).get_fdata(), wanted, atol=2e-4)
    tables = [next(out.rglob("*tau*_stats.tsv")) for out in (tmp_path / "one", tmp_path / "all")]
    numbers = [
        [float(row["suvr"]) for row in csv.DictReader(t.open(encoding="utf-8"), delimiter="\t")]
        for t in tables
    ]
    np.testing.assert_allclose(*numbers, atol=2e-3)
    rows = csv.DictReader((tmp_path / "all/participants.tsv").open(encoding="utf-8"),
                          delimiter="\t")  # fmt: skip
    people = {row["participant_id"]: row for row in rows}
    assert people["sub-S2"]["applied"] == "no" and "FLAIR missing" in people["sub-S2"]["reason"]
    assert people["sub-S1"]["applied"] == "yes" and "Age 45 years" in people["sub-S1"]["warnings"]
    assert read_json(tmp_path / "all/prediction.json")["method"] == "rela"


def test_folders_that_do_not_belong_together_are_refused(root, clinic, tmp_path, capsys):
    out = tmp_path / "out"
    assert derivatives(clinic, root / "rela", out, packed=root / "packed") == 2
    assert "was not synthesised from" in capsys.readouterr().err
    (tmp_path / "sub-S9").mkdir()
    assert derivatives(clinic, root / "rela", out, registered=tmp_path / "sub-S9") == 2
    assert f"lacks subject {SUBJECT}" in capsys.readouterr().err
    assert derivatives(clinic, root / "no-tspo", out) == 2
    assert "was synthesised by another model than" in capsys.readouterr().err
    assert not out.exists()
