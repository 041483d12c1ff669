"""Every command that is given an image refuses the same ones, before it works or writes."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad import cli

AFFINE = np.diag([2.0, 2, 2, 1])
DATA = np.random.default_rng(0).random((12, 11, 10), dtype=np.float32)


def _save(
    file: Path, data: np.ndarray = DATA, *, q: int = 1, s: int = 1, mirror: float = 1
) -> None:
    image = nib.Nifti1Image(data, AFFINE)
    image.set_qform(AFFINE, q)
    image.set_sform(AFFINE * [[mirror], [1], [1], [1]], s)
    nib.save(image, file)


def _damaged(file: Path) -> None:
    _save(file)
    raw = bytearray(file.read_bytes())
    raw[-6] ^= 1
    file.write_bytes(raw)


BAD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no orientation": ("states no orientation", lambda f: _save(f, q=0, s=0)),
    "mirrored": ("contradict each other", lambda f: _save(f, mirror=-1)),
    "complex": ("holds complex values", lambda f: _save(f, DATA.astype(np.complex64))),
    "colours": ("holds colours", lambda f: _save(f, np.zeros(DATA.shape, [("R", "u1"), ("G", "u1"),
                                                                       ("B", "u1")]))),
    "checksum": ("CRC check failed", _damaged),
    "one slice": ("which is no volume", lambda f: _save(f, DATA[:, :, :1])),
    "two voxels": ("which is no volume", lambda f: _save(f, DATA[:2, :2, :2])),
    "no values": ("holds no values", lambda f: _save(f, np.full(DATA.shape, np.nan, np.float32))),
    "GIFTI": ("is not packed", lambda f: f.write_text("<?xml version='1.0'?><GIFTI/>")),
    "no image": ("header cannot be read", lambda f: f.write_bytes(gzip.compress(b"x" * 999))),
}  # fmt: skip
FLAT = {"flat": ("the image is empty", lambda f: _save(f, np.ones_like(DATA)))}
#: A command with a good image and a bad one; whether it takes one whose voxels are all alike.
COMMANDS: dict[str, tuple[bool, str]] = {
    "metrics, prediction": (True, "metrics {bad} {good} --data-range 4"),
    "metrics, truth": (True, "metrics {good} {bad} --data-range 4"),
    "metrics, mask": (True, "metrics {good} {good} --mask {bad} --data-range 4"),
    "metrics, sample": (True, "metrics {good} {good} --samples {good} {bad} --data-range 4"),
    "coregister, fixed": (False, "coregister {bad} {good} --transform {out}"),
    "coregister, moving": (False, "coregister {good} {bad} --transform {out}"),
    "coregister, PET": (False, "coregister {good} {bad} --pet --transform {out}"),
    "coregister, mask": (True, "coregister {good} {good} --mask {bad} --transform {out}"),
    "preprocess, T1w": (False, "preprocess --t1 {bad} {out}"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_scan_is_refused_by_name(tmp_path, capsys, command: str) -> None:
    takes_flat, line = COMMANDS[command]
    _save(tmp_path / "good.nii.gz")
    for kind, (said, write) in {**BAD, **({} if takes_flat else FLAT)}.items():
        bad = tmp_path / "bad.nii.gz"
        write(bad)
        places = {"bad": bad, "good": tmp_path / "good.nii.gz", "out": tmp_path / "out.mat"}
        assert cli.main([word.format(**places) for word in line.split()]) == 2, kind
        (told,) = [row for row in capsys.readouterr().err.splitlines() if "error: " in row]
        assert "bad.nii.gz: " in told and said in told, (kind, told)
        assert {file.name for file in tmp_path.iterdir()} == {"bad.nii.gz", "good.nii.gz"}, kind
