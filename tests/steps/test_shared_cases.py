"""Cases of ../shared/cases that are no DICOM: each generator's own right value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from relad import cli
from relad.fileio import read_table
from relad.imaging.nifti import load_nifti
from relad.registration.transforms import read_affine
from relad.study.paths import REPOSITORY
from tests.helpers.limits import largest_file, small_disk

CASES = Path(os.environ.get("RELAD_SHARED", REPOSITORY.parent / "shared")) / "cases"

Make = Callable[[str], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Run a case's generator and return the folder it wrote."""

    def run(name: str) -> Path:
        generator = CASES / name / "make.py"
        if not generator.is_file():
            pytest.skip(f"the case {name} is not at hand ({generator})")
        subprocess.run([sys.executable, str(generator), str(tmp_path / "case")], check=True)
        return tmp_path / "case"

    return run


def refused(capsys: pytest.CaptureFixture[str], said: str, *words: object) -> None:
    assert cli.main([str(word) for word in words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert said in line


def test_p12_orientation(make: Make, tmp_path, capsys) -> None:
    case = make("p12_orientation")
    out = tmp_path / "x.txt"

    def coregister(name: str) -> list:
        words = ["coregister", case / f"{name}.nii.gz", case / "pd.nii.gz", "--transform", out]
        return [*words, "--voxel-mm", 4]

    refused(capsys, "states no orientation", *coregister("code0"))
    refused(capsys, "contradict each other", *coregister("mirror"))
    assert not out.exists()
    scanner = load_nifti(case / "scanner.nii.gz").affine
    np.testing.assert_allclose(load_nifti(case / "mni4.nii.gz").affine, scanner, atol=1e-4)
    assert cli.main([str(word) for word in coregister("mni4")]) == 0
    points = np.random.default_rng(0).normal(0, 40, (500, 3))
    matrix = read_affine(out)
    moved = np.linalg.norm(points @ matrix[:3, :3].T + matrix[:3, 3] - points, axis=1)
    # By the sform it would be 8 mm on average; voxels of 4 mm tell no more than this.
    assert moved.mean() < 3.0, "it lies right in scanner space"


@pytest.mark.parametrize(
    ("name", "said"), [("rgb", "holds colours"), ("complex", "holds complex values")]
)
def test_p15_rgb_complex(make: Make, tmp_path, capsys, name: str, said: str) -> None:
    case = make("p15_rgb_complex")
    image, truth = case / f"{name}.nii.gz", case / "truth.nii.gz"
    refused(capsys, said, "metrics", image, truth, "--data-range", 4)
    refused(capsys, said, "metrics", truth, truth, "--data-range", 4, "--mask", image)
    refused(capsys, said, "coregister", image, truth, "--transform", tmp_path / "x.mat")
    refused(capsys, said, "coregister", truth, image, "--transform", tmp_path / "x.mat")
    refused(capsys, said, "preprocess", "--t1", image, tmp_path / "out")
    assert {file.name for file in tmp_path.iterdir()} == {"case"}
    refused(capsys, "1 x sub-01_T1w.nii.gz: holds complex values", "ingest", case / "bids",
            tmp_path / "bids")  # fmt: skip


def test_d_full_tmp(make: Make, tmp_path, monkeypatch, capsys) -> None:
    case = make("d_full_tmp")
    words = ["ingest", case / "ADNI", tmp_path / "bids"]
    with largest_file(30 * 1024):
        refused(capsys, "SIGXFSZ", *words)
    with small_disk(tmp_path / "full", "32k") as full:
        monkeypatch.setattr("tempfile.tempdir", str(full))
        refused(capsys, "No space left on device", *words)
    monkeypatch.setattr("tempfile.tempdir", None)
    assert not (tmp_path / "bids").exists()
    assert cli.main([str(word) for word in words]) == 0
    assert [r["status"] for r in read_table(tmp_path / "bids" / "ingest.tsv")] == ["kept"] * 6
    sidecar = next((tmp_path / "bids").rglob("*_pet.json"))
    assert len(json.loads(sidecar.read_text())["FrameDuration"]) == 6
