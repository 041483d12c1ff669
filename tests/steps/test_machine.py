"""A machine that fails is no damaged scan: one line, status 2, nobody dropped, and on it goes."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import relad.steps.ingest as step
from relad import cli
from relad.cohort import convert, workers
from relad.errors import DataError, MachineError
from relad.fileio import read_table, whole_file, whole_folder
from relad.imaging import nifti
from relad.registration.subject import Subject
from relad.status import SubjectStatus
from relad.study.settings import RegisterSettings
from relad.training import checkpoints
from tests.helpers.bids_tree import PET, session
from tests.helpers.limits import converter, largest_file, small_disk
from tests.helpers.loni import A, B, csv_row, write_csv, write_mri, write_pet
from tests.helpers.settings import of

SETTINGS = ["--settings", str(Path(__file__).parents[2] / "config" / "config.yaml")]


@pytest.fixture
def loni(tmp_path: Path) -> Path:
    """A download of two people, T1w and tau PET each, as DICOM."""
    rows = []
    for first, ptid in ((1, A), (11, B)):
        write_mri(tmp_path / "loni", ptid, first, "MPRAGE")
        write_pet(tmp_path / "loni", ptid, first + 1, "AV1451")
        rows += [csv_row(first, ptid, "MPRAGE"), csv_row(first + 1, ptid, "AV1451", "PET")]
    write_csv(tmp_path / "c.csv", rows)
    return tmp_path / "loni"


def ingest(source: Path, out: Path) -> int:
    return cli.main(["ingest", str(source), str(out), *SETTINGS])


def refused(capsys: pytest.CaptureFixture[str], said: str) -> None:
    """One line on the machine; no word on any image."""
    errors = [line for line in capsys.readouterr().err.splitlines() if "subjects" not in line]
    assert len(errors) == 1, errors
    assert errors[0].startswith("relad ingest: error: ") and said in errors[0]


def whole(source: Path, out: Path) -> None:
    """The same command again is done, and nobody was dropped."""
    assert ingest(source, out) == 0
    assert {r["status"] for r in read_table(out / "ingest.tsv")} == {"kept"}
    assert not list(out.parent.glob(".part*"))


def test_a_full_temporary_disk(loni, tmp_path, monkeypatch, capsys) -> None:
    with small_disk(tmp_path / "full", "8k") as full:
        monkeypatch.setattr("tempfile.tempdir", str(full))
        assert ingest(loni, tmp_path / "bids") == 2
        refused(capsys, "No space left on device")
        assert not (tmp_path / "bids").exists()
    monkeypatch.setattr("tempfile.tempdir", None)
    whole(loni, tmp_path / "bids")


def test_a_full_disk(loni, tmp_path, capsys) -> None:
    with small_disk(tmp_path / "full", "12k") as full:
        assert ingest(loni, full / "bids") == 2
        refused(capsys, "No space left on device")
        assert not (full / "bids").exists()
        subprocess.run(["mount", "-o", "remount,size=4m", str(full)], check=True)
        whole(loni, full / "bids")


def test_a_read_only_disk(loni, tmp_path, capsys) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert ingest(loni, disk / "bids") == 2
        refused(capsys, "cannot be written (Read-only file system)")


def test_an_output_below_a_file(loni, tmp_path, capsys) -> None:
    assert ingest(loni, tmp_path / "c.csv" / "bids") == 2
    refused(capsys, "c.csv/bids: cannot be written")


def test_a_limit_of_file_sizes_ends_the_converter(loni, tmp_path, capsys) -> None:
    with largest_file(1000):
        assert ingest(loni, tmp_path / "bids") == 2
    refused(capsys, "SIGXFSZ")
    whole(loni, tmp_path / "bids")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_what_the_system_refuses_while_scans_are_read(
    tmp_path, monkeypatch, capsys, number: int
) -> None:
    """Too many open files and the like, at the second subject; the first is not read again."""
    for label in ("01", "02"):
        session(tmp_path / "in", label, "a", PET)
    real, opened, failing = gzip.open, [], True

    def fragile(path, *arguments):
        opened.append(Path(path).name)
        if failing and "sub-02" in str(path):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments)

    monkeypatch.setattr(nifti.gzip, "open", fragile)
    assert ingest(tmp_path / "in", tmp_path / "bids") == 2
    refused(capsys, os.strerror(number))
    failing = False
    whole(tmp_path / "in", tmp_path / "bids")
    assert opened.count("sub-01_ses-a_T1w.nii.gz") == 1


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("kill -9 $$", "dcm2niix was ended by SIGKILL"),
        ("exit 137", "dcm2niix was ended by SIGKILL"),
        ("kill -TERM $$", "dcm2niix was ended by SIGTERM"),
        ("exit 7", "dcm2niix could not write (status 7)"),
        (None, "the converter cannot be run (No such file or directory)"),
    ],
)
def test_a_converter_that_is_killed_or_gone(
    loni, tmp_path, monkeypatch, capsys, does: str | None, said: str
) -> None:
    program = tmp_path / "dcm2niix"
    path = converter(program, does) if does else str(program)
    with monkeypatch.context() as changed:
        changed.setattr(convert, "find_dcm2niix", lambda: path)
        assert ingest(loni, tmp_path / "bids") == 2
    refused(capsys, said)
    whole(loni, tmp_path / "bids")


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("kill -SEGV $$", "dcm2niix crashed on it (signal 11)"),
        ("echo Error: odd transfer syntax; exit 1", "0 images of it (Error: odd transfer syntax)"),
        ("exit 3", "dcm2niix made 0 images of it (status 3)"),
    ],
)
def test_what_a_converter_cannot_do_is_read_without_it_and_noted(
    loni, tmp_path, monkeypatch, does: str, said: str
) -> None:
    """The pixels are plain, so pydicom reads them; the note tells what the converter said."""
    path = converter(tmp_path / "dcm2niix", does)
    monkeypatch.setattr(convert, "find_dcm2niix", lambda: path)
    assert ingest(loni, tmp_path / "bids") == 0
    rows = read_table(tmp_path / "bids" / "ingest.tsv")
    assert {r["status"] for r in rows} == {"kept"}
    assert all(said in r["note"] and "with pydicom instead" in r["note"] for r in rows)


def test_an_output_that_vanishes(loni, tmp_path, monkeypatch, capsys) -> None:
    real = workers.ingest_subject

    def unplugged(task, root):
        outcome = real(task, root)
        if task.label == "941S0002":
            shutil.rmtree(root)
        return outcome

    with monkeypatch.context() as changed:
        changed.setattr(workers, "ingest_subject", unplugged)
        assert ingest(loni, tmp_path / "bids") == 2
    refused(capsys, "vanished while")
    assert not (tmp_path / "bids").exists()
    whole(loni, tmp_path / "bids")


def test_a_registration_that_fails_for_want_of_room(tmp_path, monkeypatch) -> None:
    """The same failure is the subject's own where there is room."""
    settings = of(RegisterSettings)

    def choose():
        raise DataError("registration failed")

    def write(name: str) -> SubjectStatus:
        (tmp_path / name).mkdir()
        step = Subject(tmp_path, "01", settings)
        step.write(tmp_path / name, choose)
        return step.status

    with small_disk(tmp_path / "full", "64k") as full:
        monkeypatch.setattr("tempfile.tempdir", str(full))
        with pytest.raises(MachineError, match="No space left on device, so that registration"):
            write("a")
    monkeypatch.setattr("tempfile.tempdir", None)
    assert write("b").reason == "registration failed"
    assert not (tmp_path / "a" / "status.json").exists()


def test_every_kind_of_reason_is_told(tmp_path) -> None:
    rows = [{"image_id": f"I{n}", "reason": f"not used: 'Survey {n}'"} for n in range(50)]
    rows += [{"image_id": f"I{n}", "reason": f"I{n}: {why}"}
             for n, why in enumerate(("truncated", "no CSV", "cut", "truncated"), 100)]  # fmt: skip
    said = step._tally(rows)
    assert said == "50 x not used: 'Survey 0'; 2 x truncated; 1 x no CSV; 1 x cut"


# --- files ----------------------------------------------------------------------------------------


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path) -> None:
    file = tmp_path / "model.pt"
    checkpoints.save(file, {"a": torch.zeros(3)})
    before = file.read_bytes()
    state = {"a": torch.zeros(100_000)}
    with largest_file(len(before) + 1000):
        with pytest.raises(MachineError, match=r"model\.pt: cannot be written"):
            checkpoints.save(file, state)
        with pytest.raises(MachineError, match=r"a\.safetensors: cannot be written \(File too"):
            checkpoints.save_model(tmp_path / "a.safetensors", state, torch.nn.Identity())
        with pytest.raises(MachineError, match=r"a\.nii: cannot be written \(File too large"):
            nifti.save_nifti(tmp_path / "a.nii", np.zeros((50, 50, 50), np.float32), np.eye(4))
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_checkpoint_that_cannot_be_read_now_is_not_trained_over(tmp_path, monkeypatch) -> None:
    def fails(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "checkpoint.pt").write_text("whole")
    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(MachineError, match="Input/output error"):
        checkpoints.load(tmp_path / "checkpoint.pt", "x", torch.device("cpu"))


def test_a_failed_replacement_keeps_the_old_folder(tmp_path, monkeypatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mark").write_text("old")
    real = Path.replace

    def fragile(self, target):
        if self.name.startswith(".part") and not self.name.endswith(".old"):
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fragile)
    with pytest.raises(MachineError), whole_folder(out, mark="mark") as folder:
        (folder / "other").touch()
    assert (out / "mark").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_taken_away_and_made_anew(tmp_path) -> None:
    """A disk that comes back, or a file that is written where the folder was."""
    vanished = pytest.raises(MachineError, match="vanished while it was written")
    with vanished, whole_folder(tmp_path / "out", mark="mark") as folder:
        (folder / "finished").touch()
        shutil.rmtree(folder)
        with whole_file(folder / "mark") as file:
            file.touch()
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_writer_is_its_own(tmp_path) -> None:
    with pytest.raises(KeyError), whole_file(tmp_path / "a"):
        raise KeyError("a fault of ours")
