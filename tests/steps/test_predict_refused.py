"""What `relad predict` refuses: one line, and nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from relad.fileio import read_json, write_json
from relad.imaging.nifti import save_nifti
from relad.prediction.record import Record
from relad.status import SubjectStatus
from relad.steps import predict as step
from tests.helpers import predictions
from tests.helpers.predictions import QUICK, of_person, predict, series, write_bids
from tests.helpers.registered import SUBJECT


def edited(root: Path, tmp: Path, **keys) -> Path:
    """The model with other keys in its record; None takes one out."""
    model = shutil.copytree(root / "rela", tmp / "model")
    told = read_json(model / "train.json") | keys
    write_json(model / "train.json", {k: v for k, v in told.items() if v is not None})
    return model


def settled(root: Path, tmp: Path, **registration) -> Path:
    return edited(root, tmp, preprocessing=predictions.preprocessing(**registration))


def image(tmp: Path, data: np.ndarray, name: str = "x.nii.gz") -> Path:
    save_nifti(tmp / name, data, np.diag([3.0, 3, 3, 1]))
    return tmp / name


def text(tmp: Path, name: str, content: bytes = b"no image") -> Path:
    (tmp / name).write_bytes(content)
    return tmp / name


NOISE = np.random.default_rng(0).normal(100, 10, (30, 30, 30)).astype(np.float32)


def replaced(words, **changes):
    """The words with another value of some options, or without it."""
    words = list(words)
    for option, value in changes.items():
        at = words.index(f"--{option}")
        words[at : at + 2] = [] if value is None else [f"--{option}", value]
    return words


#: name -> (what it does of (root, tmp, usual words): model and words; what the one line says).
WRONG = {
    "no-such-model": (lambda r, t, w: (t / "none", w), "is no trained model"),
    "model-is-a-file": (lambda r, t, w: (text(t, "m"), w), "is no bundle"),
    "model-is-a-packed-cohort": (lambda r, t, w: (r / "packed", w), "is no trained model"),
    "record-is-no-json": (
        lambda r, t, w: (text(edited(r, t), "train.json", b"{").parent, w), "not valid JSON"
    ),
    "record-is-a-list": (
        lambda r, t, w: (text(edited(r, t), "train.json", b"[1]").parent, w), "is no record"
    ),
    "record-is-empty": (
        lambda r, t, w: (text(edited(r, t), "train.json", b"{}").parent, w),
        "does not say how its people were preprocessed",
    ),
    "model-without-preprocessing": (
        lambda r, t, w: (edited(r, t, preprocessing=None), w), "pack the cohort again and train"
    ),
    "model-that-does-not-know-whom-it-saw": (
        lambda r, t, w: (edited(r, t, seen=None), w), "does not say how its people"
    ),
    "record-without-kind": (lambda r, t, w: (edited(r, t, kind=None), w), "is no record"),
    "record-of-a-strange-kind": (lambda r, t, w: (edited(r, t, kind="dream"), w), "is no record"),
    "preprocessing-lacks-a-section": (
        lambda r, t, w: (edited(r, t, preprocessing={"seed": 0}), w), "is no record"
    ),
    "record-without-tracers": (lambda r, t, w: (edited(r, t, tracers=None), w), "lacks tracers"),
    "method-that-is-not-installed": (
        lambda r, t, w: (edited(r, t, entry=read_json(r / "rela/train.json")["entry"]
                                | {"class": "nowhere:Method"}), w), "cannot be loaded"
    ),
    "no-weights": (
        lambda r, t, w: ((m := edited(r, t)), (m / "model.safetensors").unlink(), w)[::2],
        "no such weights",
    ),
    "weights-cut-short": (
        lambda r, t, w: (text(edited(r, t), "model.safetensors", b"\\0" * 50).parent, w),
        "does not hold the weights",
    ),
    "weights-of-another-method": (
        lambda r, t, w: (shutil.copy(r / "no-tspo/model.safetensors",
                                     edited(r, t) / "model.safetensors").parent, w),
        "does not hold the weights",
    ),
    "unknown-tracer": (lambda r, t, w: (r / "rela", replaced(w, tracer="gold")), "knows no tracer"),
    "tracer-never-trained": (
        lambda r, t, w: (r / "no-tspo", replaced(w, tracer="tspo")), "saw no PET of the tracer"
    ),
    "one-good-and-one-unknown-tracer": (
        lambda r, t, w: (r / "rela", [*w, "--tracer", "gold"]), "knows no tracer"
    ),
    "flair-missing": (lambda r, t, w: (r / "rela", replaced(w, flair=None)), "there is no FLAIR"),
    "input-never-trained-on": (lambda r, t, w: (r / "t1w-only", w), "never on FLAIR"),
    "brains-of-a-command": (
        lambda r, t, w: (settled(r, t, brain_extraction="rm {t1w} {mask}"), w),
        "no model's command is run",
    ),
    "brains-of-derivatives": (
        lambda r, t, w: (settled(r, t, brain_extraction="derivatives"), w), "by --brain-mask"
    ),
    "no-such-mask": (
        lambda r, t, w: (r / "rela", [*w, "--brain-mask", t / "none.nii.gz"]), "no such image"
    ),
    "no-such-t1w": (lambda r, t, w: (r / "rela", replaced(w, t1=t / "x.nii")), "no such file"),
    "no-such-flair": (lambda r, t, w: (r / "rela", replaced(w, flair=t / "x.nii")), "no such file"),
    "t1w-is-no-image": (
        lambda r, t, w: (r / "rela", replaced(w, t1=text(t, "x.txt"))), "neither NIfTI nor DICOM"
    ),
    "t1w-is-only-called-nifti": (
        lambda r, t, w: (r / "rela", replaced(w, t1=text(t, "x.nii.gz"))), "x.nii.gz: "
    ),
    "t1w-is-empty": (
        lambda r, t, w: (r / "rela", replaced(w, t1=text(t, "x.nii.gz", b""))), "x.nii.gz: "
    ),
    "t1w-is-cut-short": (
        lambda r, t, w: (r / "rela", replaced(w, t1=text(
            t, "x.nii.gz", (r / "scans/T1w.nii.gz").read_bytes()[:9000]))), "x.nii.gz: "
    ),
    "t1w-is-zero": (
        lambda r, t, w: (r / "rela", replaced(w, t1=image(t, 0 * NOISE))), "all voxels have one"
    ),
    "t1w-holds-nan": (
        lambda r, t, w: (r / "rela", replaced(w, t1=image(t, np.where(NOISE > 120, np.nan, 1)))),
        "NaN",
    ),
    "t1w-is-a-series": (
        lambda r, t, w: (r / "rela", replaced(w, t1=image(t, np.stack([NOISE, NOISE + 1], -1)))),
        "holds 2 volumes",
    ),
    "t1w-is-a-slice": (
        lambda r, t, w: (r / "rela", replaced(w, t1=image(t, NOISE[:, :, :1]))), "x.nii.gz: "
    ),
    "flair-is-no-image": (
        lambda r, t, w: (r / "rela", replaced(w, flair=text(t, "x.nii"))), "x.nii: "
    ),
    "flair-is-the-t1w": (
        lambda r, t, w: (r / "rela", replaced(w, flair=r / "scans/T1w.nii.gz")),
        "the same voxels as the T1w",
    ),
    "sidecar-is-no-json": (
        lambda r, t, w: (r / "rela", replaced(w, t1=(image(t, NOISE),
                                                     text(t, "x.json", b"{"))[0])), "x.json: not"
    ),
    "folder-without-scans": (
        lambda r, t, w: (r / "rela", replaced(w, t1=(t / "empty").mkdir() or t / "empty")),
        "neither a DICOM series nor a BIDS dataset",
    ),
    "dicom-of-another-patient": (
        lambda r, t, w: (r / "rela", replaced(w, t1=series(t, "a", "Ann"),
                                              flair=series(t, "b", "Bob"))), "names another patient"
    ),
    "dicom-of-a-pet": (
        lambda r, t, w: (r / "rela", replaced(w, t1=series(t, "a", "Ann", "PT"))),
        "states the modality PT",
    ),
    "dicom-of-two-series": (
        lambda r, t, w: (r / "rela", replaced(w, t1=(series(t, "a", "Ann"), series(
            t, "b", "Ann"), [f.rename(t / "a" / f"b{f.name}") for f in (t / "b").iterdir()],
            t / "a")[-1])), "a: "
    ),
    "dicom-lacks-a-slice": (
        lambda r, t, w: (r / "rela", replaced(w, t1=(series(t, "a", "Ann", count=9),
                                                     (t / "a/4.dcm").unlink(), t / "a")[-1])),
        "slices are missing",
    ),
    "dicom-is-cut-short": (
        lambda r, t, w: (r / "rela", replaced(w, t1=(series(t, "a", "Ann"), text(
            t / "a", "1.dcm", (t / "a/1.dcm").read_bytes()[:-40]), t / "a")[-1])), "truncated"
    ),
    "bids-of-two-people": (
        lambda r, t, w: (r / "rela", ["--t1", write_bids(r, t / "b", "A", "B"), "--tracer", "tau"]),
        "holds 2 people",
    ),
    "nobody-of-that-name-in-bids": (
        lambda r, t, w: (r / "rela", ["--t1", write_bids(r, t / "b", "A"), "--tracer", "tau",
                                      "--subject", "C"]), "holds no T1w of sub-C"
    ),
    "bids-and-a-flair": (
        lambda r, t, w: (r / "rela", replaced(w, t1=write_bids(r, t / "b", "A"))),
        "of which the FLAIR is taken too",
    ),
    "bids-without-flair": (
        lambda r, t, w: (r / "rela", ["--t1", (write_bids(r, t / "b", "A"), (
            t / "b/sub-A/anat/sub-A_FLAIR.nii.gz").unlink(), t / "b")[-1], "--tracer", "tau"]),
        "there is no FLAIR",
    ),
    "session-without-bids": (lambda r, t, w: (r / "rela", [*w, "--session", "bl"]), "--session"),
    "subject-with-a-hyphen": (
        lambda r, t, w: (r / "rela", replaced(w, subject="S-1")), "letters and digits"
    ),
    "out-holds-the-scans": (
        lambda r, t, w: (r / "rela", replaced(w, t1=(t / "out").mkdir() or shutil.copy(
            r / "scans/T1w.nii.gz", t / "out/T1w.nii.gz"))), "lies in OUT"
    ),
    "out-is-somebody-elses": (
        lambda r, t, w: ((t / "out").mkdir(), text(t / "out", "thesis.docx"), (r / "rela", w))[-1],
        "is not a result of this step",
    ),
    "no-cuda": (lambda r, t, w: (r / "rela", [*w, "--device", "cuda"]), "no CUDA device"),
}  # fmt: skip


def everything(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_input_is_one_line_and_nothing_is_written(
    root, tmp_path, capsys, monkeypatch, wrong
):
    if wrong == "no-cuda" and torch.cuda.is_available():
        pytest.skip("there is CUDA")

    def never(*_, **__):
        raise AssertionError("preprocessing has begun")

    monkeypatch.setattr(step, "preprocess", never)
    words = [*of_person(root), "--subject", SUBJECT]
    make, said = WRONG[wrong]
    model, given = make(root, tmp_path, words)
    before = everything(tmp_path)
    assert predict(model, tmp_path / "out", *given) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("relad predict: error: "), error
    assert said in error[0]
    assert everything(tmp_path) == before


@pytest.mark.parametrize("scan", ["T1w", "FLAIR"])
def test_a_scan_that_misses_a_gate_is_refused_with_its_reason(
    root, tmp_path, capsys, monkeypatch, scan
):
    """No head, another person's FLAIR: tests of qc and of real heads hold the gates themselves."""

    def judged(session, out, subject, settings):
        status = predictions.preprocess(session, out, subject, settings)
        if scan == "T1w":
            status.exclude("it may be no head")
        else:
            status.mri[scan].exclude(["it may be another person's"])
        return SubjectStatus.of(status.as_dict())

    monkeypatch.setattr(step, "preprocess", judged)
    assert predict(root / "rela", tmp_path / "out", *of_person(root), *QUICK) == 2
    said = {"T1w": "T1w.nii.gz: it may be no head", "FLAIR": "FLAIR.nii.gz: it may be another"}
    assert said[scan] in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists() and not list(tmp_path.iterdir())


def test_a_users_mask_stands_in_for_a_command(root, tmp_path, monkeypatch):
    asked = []

    def told(session, out, subject, settings):
        asked.append((session.brain_mask, settings.registration.brain_extraction))
        return predictions.preprocess(session, out, subject, settings)

    monkeypatch.setattr(step, "preprocess", told)
    model = settled(root, tmp_path, brain_extraction="strip {t1w} {mask}")
    mask = image(tmp_path, (NOISE > 100).astype(np.uint8), "mask.nii.gz")
    words = [*of_person(root), "--brain-mask", mask, *QUICK]
    assert predict(model, tmp_path / "out", *words) == 0
    assert asked == [(mask, "derivatives")]


def test_a_model_says_what_it_was_trained_on(root):
    record = Record.read(root / "no-tspo")
    assert record.trained == ("amyloid", "tau") and record.cohort == "toy"
    assert record.settings.grid.voxel_mm == 8.0
    assert record.seen["people"] == 4 and record.seen["measures"]["age"]["n"] == 4
