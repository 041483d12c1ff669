"""Bad input in a BIDS dataset: one stated reason each, and nobody else is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from relad.fileio import read_json, read_table
from relad.steps.ingest import ingest
from tests.helpers.bids_tree import PET, SETTINGS, session, t1w_of, write_image, write_json

BAD: list[tuple[str, Callable[[Path], None], str]] = []


def bad(reason: str):
    def register(damage: Callable[[Path], None]):
        BAD.append((damage.__name__, damage, reason))
        return damage

    return register


def _pet_json(folder: Path, **change: Any) -> None:
    file = next((folder / "pet").glob("*.json"))
    write_json(file, {**read_json(file), **change})


@bad("its FrameDuration has 1 entries for 2 frames")
def frame_durations_missing(folder: Path) -> None:
    _pet_json(folder, FrameDuration=[300])


@bad("frame 1 (from 4800 s, 300 s long) lasts into frame 2 (from 4900 s)")
def frames_overlap(folder: Path) -> None:
    _pet_json(folder, FrameTimesStart=[4800, 4900])


@bad("its FrameTimesStart is not a list of numbers")
def frame_times_are_text(folder: Path) -> None:
    _pet_json(folder, FrameTimesStart=["a", "b"])


@bad("its units are kBq/mL, not Bq/mL")
def other_units(folder: Path) -> None:
    _pet_json(folder, Units="kBq/mL")


@bad("not valid JSON")
def sidecar_cut(folder: Path) -> None:
    file = next((folder / "pet").glob("*.json"))
    file.write_text(file.read_text()[:40])


@bad("not a JSON object")
def sidecar_is_a_list(folder: Path) -> None:
    next((folder / "pet").glob("*.json")).write_text("[1, 2]")


@bad("the image is empty (all voxels have one value)")
def empty_pet(folder: Path) -> None:
    file = next((folder / "pet").glob("*.nii.gz"))
    image = nib.load(file)
    nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine).to_filename(file)


@bad("no window for its tracer")
def another_tracer(folder: Path) -> None:
    _pet_json(folder, TracerName="FDG")


@bad("holds 3 volumes where one is needed")
def t1w_of_four_dimensions(folder: Path) -> None:
    write_image(t1w_of(folder), (8, 9, 10, 3))


@bad("damaged or not readable")
def truncated(folder: Path) -> None:
    file = t1w_of(folder)
    file.write_bytes(file.read_bytes()[:-900])


@bad("damaged or not readable (CRC check failed")
def flipped_within_gzip(folder: Path) -> None:
    file = t1w_of(folder)
    raw = bytearray(file.read_bytes())
    raw[-6] ^= 1  # the checksum's own bytes: the voxels alone would tell nothing
    file.write_bytes(raw)


@bad("voxels are NaN or infinite")
def not_a_number(folder: Path) -> None:
    image = nib.load(t1w_of(folder))
    data = image.get_fdata()
    data[2, 3, 4] = np.nan
    nib.Nifti1Image(data.astype(np.float32), image.affine).to_filename(t1w_of(folder))


@bad("states no orientation (qform and sform code are 0)")
def no_orientation(folder: Path) -> None:
    write_image(t1w_of(folder), qform_code=0, sform_code=0)


@bad("its qform and sform contradict each other")
def mirrored_sform(folder: Path) -> None:
    write_image(t1w_of(folder), srow_x=[-2, 0, 0, 0])


@bad("its sform code is 9, which is none")
def orientation_code_out_of_range(folder: Path) -> None:
    write_image(t1w_of(folder), sform_code=9)


@bad("mm -- one of them is wrong")
def voxel_sizes_of_another_image(folder: Path) -> None:
    write_image(t1w_of(folder), qform_code=0, pixdim=[1, 1, 1, 1, 1, 1, 1, 1])


@bad("voxels of [0.002, 0.002, 0.003] mm cannot be")
def metres(folder: Path) -> None:
    image = nib.Nifti1Image(nib.load(t1w_of(folder)).get_fdata(), np.diag([2e-3, 2e-3, 3e-3, 1]))
    image.to_filename(t1w_of(folder))


@bad("cannot be read")
def not_an_image(folder: Path) -> None:
    t1w_of(folder).write_text("version https://git-lfs.github.com/spec/v1\n")


@bad("readable")
def dangling_link(folder: Path) -> None:
    file = t1w_of(folder)
    file.unlink()
    file.symlink_to("../../.git/annex/objects/gone")


@bad("its name and its folder state different subjects or sessions")
def name_of_another_subject(folder: Path) -> None:
    t1w_of(folder).rename(folder / "anat" / "sub-99_ses-a_T1w.nii.gz")


@pytest.mark.parametrize(("damage", "reason"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_one_reason_and_touches_nobody_else(tmp_path: Path, damage, reason):
    source, out = tmp_path / "dépôt 1", tmp_path / "out"
    damage(session(source, "01", "a", PET))
    session(source, "02", "a", PET)
    ingest(source, out, SETTINGS)
    rows = read_table(out / "ingest.tsv")
    dropped = [r for r in rows if r["status"] == "dropped"]
    assert [r["subject"] for r in dropped] == ["01"], dropped
    assert reason in dropped[0]["reason"]
    assert sum(r["subject"] == "02" for r in rows if r["status"] == "kept") == 3
