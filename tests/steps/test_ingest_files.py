"""What lies in a download beside good series: every file of it is accounted for."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from relad.cohort import dicom_series, dicom_voxels, workers
from relad.cohort.integrity import Checksums, remarks
from relad.errors import DataError, MachineError, ReladError
from relad.fileio import read_table
from relad.steps.ingest import ingest
from tests.helpers.loni import SETTINGS, SPACING, TRACERS, csv_row, folder, write_csv, write_mri
from tests.helpers.settings import ingest_settings

A, B = "941_S_0001", "941_S_0002"


def download(root: Path) -> Path:
    """One T1w of each of two subjects."""
    for image, ptid in ((1, A), (2, B)):
        write_mri(root / "loni", ptid, image, "MPRAGE")
    write_csv(root / "c.csv", [csv_row(1, A, "MPRAGE"), csv_row(2, B, "MPRAGE")])
    return root / "loni"


def reasons(out: Path) -> dict[str, str]:
    rows = read_table(out / "ingest.tsv")
    return {r["description"]: r["reason"] for r in rows if r["status"] == "dropped"}


def test_formats_that_are_not_read_and_images_of_nobody_have_rows(tmp_path: Path):
    loni = download(tmp_path)
    ecat = folder(loni, A, "AV1451 Dynamic", "I9") / "ADNI_941_S_0001_PT_I9.v"
    ecat.parent.mkdir(parents=True)
    ecat.write_bytes(b"MATRIX72v")
    ecat.with_suffix(".xml").write_text("<idaxs/>")
    (loni / "loose").mkdir()
    (loni / "loose" / "scan_I7.dcm").touch()
    (loni / "ADNI_download.csv").write_text("x")
    ingest(loni, tmp_path / "bids", SETTINGS)
    assert reasons(tmp_path / "bids") == {
        f"{A}/AV1451_Dynamic/2020-02-03_08_00_00.0/I9": "ADNI_941_S_0001_PT_I9.v: format .v is not "
        "read",
        "loose": "scan_I7.dcm: lies in no subject's folder",
    }


def test_folders_that_may_not_be_entered_have_rows(tmp_path: Path, monkeypatch):
    loni = download(tmp_path)
    scandir = os.scandir

    def refuse(path):
        if isinstance(path, str | Path) and Path(path).name == "I2":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    ingest(loni, tmp_path / "bids", SETTINGS)
    rows = read_table(tmp_path / "bids" / "ingest.tsv")
    assert {(r["ptid"], r["reason"]) for r in rows if r["status"] == "dropped"} == {
        (B, f"{B}/MPRAGE/2020-02-03_08_00_00.0/I2: cannot be entered (Permission denied)"),
        (B, "no files in the download"),
    }


def test_a_link_back_up_is_walked_once(tmp_path: Path):
    loni = download(tmp_path)
    (loni / A / "again").symlink_to(loni / A, target_is_directory=True)
    ingest(loni, tmp_path / "bids", SETTINGS)
    assert reasons(tmp_path / "bids") == {}


def test_several_collections_and_a_series_table_of_the_study(tmp_path: Path):
    loni = download(tmp_path)
    one = write_csv(tmp_path / "one.csv", [csv_row(1, A, "T1 Kopf")])
    two = write_csv(tmp_path / "two.csv", [csv_row("2", B, "Kopf")])
    series = {
        "rules": [{"modality": "MRI", "pattern": r"^kopf$", "kind": "T1w"}],
        "pet_products": [{"name": "any", "pattern": "", "averaged": False}],
    }
    own = ingest_settings(TRACERS, series=series, max_gap_days=1)
    ingest(loni, tmp_path / "bids", own, collections=[one, two])
    assert reasons(tmp_path / "bids") == {
        "T1 Kopf": "not used: 'T1 Kopf' is neither a T1w nor a FLAIR"
    }


def manifest(root: Path, loni: Path) -> Path:
    lines = [
        f"{hashlib.md5(f.read_bytes()).hexdigest()} *{f.relative_to(loni)}"
        for f in sorted(loni.rglob("*.dcm"))
    ]
    file = root / "md5sums.txt"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_file_that_differs_from_its_checksum_is_not_used(tmp_path: Path):
    loni = download(tmp_path)
    sums = manifest(tmp_path, loni)
    file = sorted((loni / A).rglob("*.dcm"))[3]
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1  # the lowest bit of a voxel's upper byte
    file.write_bytes(raw)
    write_mri(loni, B, 3, "MPRAGE")
    images = ((1, A), (2, B), (3, B))
    write_csv(tmp_path / "c.csv", [csv_row(k, p, "MPRAGE", Visit=f"v{k}") for k, p in images])
    ingest(loni, tmp_path / "bids", SETTINGS, checksums=sums)
    rows = {r["image_id"]: r for r in read_table(tmp_path / "bids" / "ingest.tsv")}
    assert rows["I1"]["reason"] == f"{file.name}: differs from its checksum in md5sums.txt"
    assert (rows["I2"]["status"], rows["I2"]["note"]) == ("kept", None)
    assert rows["I3"]["note"] == "6 files without a checksum in md5sums.txt"


def test_a_manifest_of_another_kind_is_one_error(tmp_path: Path):
    (tmp_path / "sums").write_text("SHA256 (a) = 00\n")
    with pytest.raises(ReladError, match="line 1 is not a checksum and a path"):
        Checksums.read(tmp_path / "sums", tmp_path)


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch) -> Callable[[int], Path]:
    """A download of three people; reading the second ends its process by a signal."""
    loni = download(tmp_path)
    write_mri(loni, "941_S_0003", 3, "MPRAGE")
    rows = [csv_row(k, f"941_S_000{k}", "MPRAGE") for k in (1, 2, 3)]
    write_csv(tmp_path / "c.csv", rows)
    real = workers.ingest_subject

    def by(number: int) -> Path:
        def dies(task, root):
            if task.label == "941S0002":
                os.kill(os.getpid(), number)
            return real(task, root)

        monkeypatch.setattr(workers, "ingest_subject", dies)
        monkeypatch.setattr(dies, "__module__", workers.__name__)
        monkeypatch.setattr(dies, "__qualname__", "ingest_subject")  # found again in the workers
        return loni

    return by


def test_a_process_that_dies_costs_its_own_subject_alone(tmp_path: Path, fragile):
    ingest(fragile(signal.SIGSEGV), tmp_path / "bids", SETTINGS, jobs=2)
    got = {r["ptid"]: (r["status"], r["reason"]) for r in read_table(tmp_path / "bids/ingest.tsv")}
    assert got == {
        A: ("kept", None),
        B: ("dropped", "the process that read this subject's scans died (SIGSEGV)"),
        "941_S_0003": ("kept", None),
    }


def test_a_process_that_the_system_kills_is_no_damage(tmp_path: Path, fragile, monkeypatch):
    """nipreps/fmriprep#1207: the memory's watchman ends one process; nobody is dropped for it."""
    loni = fragile(signal.SIGKILL)
    with pytest.raises(MachineError, match=r"941S0002 was ended by SIGKILL -- .* fewer --jobs"):
        ingest(loni, tmp_path / "bids", SETTINGS, jobs=2)
    assert not (tmp_path / "bids").exists()
    monkeypatch.undo()
    ingest(loni, tmp_path / "bids", SETTINGS)
    assert [r["status"] for r in read_table(tmp_path / "bids/ingest.tsv")] == ["kept"] * 3


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("ImagePositionPatient", [0, 0, 7.5], "slices are unevenly spaced"),
        ("ImagePositionPatient", [0, 9.0, 6.0], "mm beside the others"),
        ("PixelSpacing", [1.0, 1.0], "its PixelSpacing is [1.0, 1.0], its neighbours'"),
        ("PatientID", "941_S_0009", "its PatientID is 941_S_0009, its neighbours'"),
        ("PixelRepresentation", 1, "its PixelRepresentation is 1, its neighbours' 0"),
        ("ImageOrientationPatient", [0, 1, 0, 1, 0, 0], "slices lie in different orientations"),
    ],
)
def test_one_slice_that_is_not_like_the_others_is_noticed(tmp_path: Path, key, value, reason):
    def change(data: pydicom.Dataset, k: int, frame: int) -> None:
        if k == 2:
            setattr(data, key, value)

    files = write_mri(tmp_path, A, 1, "MPRAGE", change=change)
    with pytest.raises(DataError) as error:
        dicom_series.read_series(files, "I1")
    assert reason in str(error.value)
    assert SPACING[2] == 3.0


def test_values_beyond_the_stored_bits_are_counted(tmp_path: Path):
    def twelve(data: pydicom.Dataset, k: int, frame: int) -> None:
        data.BitsStored, data.HighBit = 12, 11
        if k == 0:
            values = np.frombuffer(data.PixelData, np.uint16).copy()
            values[:3] = 1 << 12
            data.PixelData = values.tobytes()

    files = write_mri(tmp_path, A, 1, "MPRAGE", change=twelve)
    _, notes = dicom_voxels.read(dicom_series.read_series(files, "I1"), "I1")
    assert notes == ["3 values exceed the bits that its headers say are stored"]


def smooth(shape: tuple[int, ...] = (40, 36, 30)) -> np.ndarray:
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    noise = np.random.default_rng(0).normal(0, 10, shape)
    return (1000 * np.exp(-4 * sum(a**2 for a in axes)) + 40 + noise).astype(np.float32)


def test_remarks_name_what_stands_out_and_nothing_else():
    assert remarks(smooth()) == []
    spiked = smooth()
    spiked[20, 18, 15] = 3000
    assert remarks(spiked) == ["1 voxels stand out from all their neighbours"]
    dark = smooth()
    dark[:, :, 14] *= 0.2
    assert remarks(dark) == ["slice 15 of 30 along z leaves its neighbours' level"]
    hole = smooth()
    hole[5:35, 18, 15] = hole.min()
    assert remarks(hole) == ["30 touching voxels are empty between filled ones"]
    frames = np.stack([smooth(), spiked], axis=-1)
    assert remarks(frames) == ["1 voxels of frame 2 stand out from all their neighbours"]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()
    }


def test_a_killed_ingest_goes_on_where_it_was(tmp_path: Path, monkeypatch):
    loni = download(tmp_path)
    ingest(loni, tmp_path / "whole", SETTINGS)
    real, asked = workers.ingest_subject, []

    def killed_at_the_second(task, root):
        asked.append(task.label)
        if len(asked) == 2:
            write_half = root / f"sub-{task.label}" / "ses-x" / ".part-1-half.nii.gz"
            write_half.parent.mkdir(parents=True)
            write_half.write_text("half")
            raise KeyboardInterrupt
        return real(task, root)

    monkeypatch.setattr(workers, "ingest_subject", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        ingest(loni, tmp_path / "bids", SETTINGS)
    assert not (tmp_path / "bids").exists()
    ingest(loni, tmp_path / "bids", SETTINGS)
    assert asked == ["941S0001", "941S0002", "941S0002"], "the first is not read again"
    assert contents(tmp_path / "bids") == contents(tmp_path / "whole")
    assert {p.name for p in tmp_path.iterdir()} == {"loni", "c.csv", "whole", "bids"}


def test_a_changed_source_is_not_mixed_with_what_was_left(tmp_path: Path, monkeypatch):
    loni = download(tmp_path)
    real, asked = workers.ingest_subject, []

    def killed_at_the_second(task, root):
        asked.append(task.label)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(task, root)

    monkeypatch.setattr(workers, "ingest_subject", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        ingest(loni, tmp_path / "bids", SETTINGS)
    write_csv(
        tmp_path / "c.csv", [csv_row(k, p, "MPRAGE", Visit="m12") for k, p in ((1, A), (2, B))]
    )
    ingest(loni, tmp_path / "bids", SETTINGS)
    assert asked == ["941S0001", "941S0002", "941S0001", "941S0002"]
    assert len(list((tmp_path / "bids").glob("sub-*/ses-m12"))) == 2
    assert not list((tmp_path / "bids").glob("sub-*/ses-ADNI*"))
    assert not list(tmp_path.glob(".part*"))
