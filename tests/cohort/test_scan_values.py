"""What stored values of DICOM mean: padding, counts, bits; and what a refusal tells to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relad.errors import ReladError
from relad.fileio import read_json
from relad.steps.ingest import ingest
from tests.helpers import bids_tree
from tests.helpers.loni import (
    SETTINGS,
    A,
    csv_row,
    expected,
    table,
    values,
    voxels,
    write_csv,
    write_mri,
    write_pet,
)


def ingested(root: Path, text: str, modality: str) -> dict:
    """Row of ingest.tsv of the only image."""
    write_csv(root / "c.csv", [csv_row(1, A, text, modality)])
    ingest(root / "loni", root / "bids", SETTINGS)
    return table(root / "bids")["I1"]


# --- padding


@pytest.mark.parametrize(
    ("stored", "header"),
    [
        ("i2", {"PixelPaddingValue": -2000}),
        ("i2", {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}),
        ("i2", {"PixelPaddingValue": -1990, "PixelPaddingRangeLimit": -2000}),
        ("u2", {"PixelPaddingValue": 63536}),
        ("u2", {"PixelPaddingValue": 63536, "BitsStored": 12, "HighBit": 11}),
    ],
)
def test_padding_becomes_blank(tmp_path: Path, stored: str, header: dict):
    def change(data, k, frame):
        plane = voxels(1)[k].astype("u2")
        plane[:2] = 63536 if "PixelPaddingRangeLimit" not in header else 63541  # -2000, -1995
        data.PixelRepresentation = int(stored == "i2")
        for key, value in header.items():
            setattr(data, key, value)
        data.PixelData = plane.tobytes()

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    row = ingested(tmp_path, "MPRAGE", "MRI")
    right = expected(1)
    right[:, -2:] = right[:, :-2].min()
    np.testing.assert_array_equal(values(tmp_path / "bids" / row["output"]), right)
    assert "120 voxels of padding (PixelPaddingValue) were made blank" in row["note"]
    assert "after dcm2niix" not in row["note"]


def test_padding_of_a_pet_with_values_below_zero_becomes_zero(tmp_path: Path):
    def change(data, k, frame):
        plane = voxels(1, frame)[k].astype("i2")
        plane[:2], plane[5] = -2000, -3
        data.PixelRepresentation, data.PixelPaddingValue = 1, -2000
        data.PixelData = plane.tobytes()

    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    row = ingested(tmp_path, "AV1451", "PET")
    got = values(tmp_path / "bids" / row["output"])
    assert not got[:, -2:].any()
    assert got.min() == -3 * 1.0


def test_an_image_of_padding_and_one_value_is_empty(tmp_path: Path):
    def change(data, k, frame):
        plane = np.full_like(voxels(1)[k], 7)
        plane[:2] = 9000
        data.PixelPaddingValue = 9000
        data.PixelData = plane.tobytes()

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    with pytest.raises(ReladError, match="the image is empty"):
        ingested(tmp_path, "MPRAGE", "MRI")


@pytest.mark.parametrize("value", [0, 5000, None])
def test_padding_that_is_blank_already_or_not_there_changes_nothing(tmp_path: Path, value):
    def change(data, k, frame):
        plane = voxels(1)[k].copy()
        plane[:2] = 0
        data.PixelPaddingValue = value
        data.PixelData = plane.tobytes()

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    row = ingested(tmp_path, "MPRAGE", "MRI")
    right = expected(1)
    right[:, -2:] = 0
    np.testing.assert_array_equal(values(tmp_path / "bids" / row["output"]), right)
    assert "padding" not in (row["note"] or "")


# --- counts


@pytest.mark.parametrize("slope", ["one for all", "one for each frame", "none"])
def test_counts_are_taken_to_activity_by_philips_factor(tmp_path: Path, slope: str):
    factors = [2.5, 2.5, 2.5] if slope != "one for each frame" else [2.5, 3.0, 4.0]

    def change(data, k, frame):
        data.Units, data.Manufacturer = "CNTS", "Philips Medical Systems"
        block = data.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", "0.0003")  # to SUV
        block.add_new(0x09, "DS", str(factors[frame]))
        if slope == "none":
            del data.RescaleSlope, data.RescaleIntercept

    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    row = ingested(tmp_path, "AV1451", "PET")
    scales = [f * (1.0 if slope == "none" else 0.5 + 0.25 * k) for k, f in enumerate(factors)]
    right = np.stack([expected(1, k) * scale for k, scale in enumerate(scales)], axis=-1)
    np.testing.assert_allclose(values(tmp_path / "bids" / row["output"]), right, rtol=1e-4)
    assert "its counts were taken to Bq/mL" in row["note"]
    (file,) = (tmp_path / "bids").rglob("*_pet.json")
    assert read_json(file)["Units"] == "Bq/mL"


@pytest.mark.parametrize("factor", [None, "0"])
def test_counts_that_nothing_takes_to_activity_are_refused(tmp_path: Path, factor: str | None):
    """One plane's is enough."""

    def change(data, k, frame):
        data.Units = "CNTS"
        block = data.private_block(0x7053, "Philips PET Private Group", create=True)
        told = factor if (k, frame) == (1, 1) else "2.5"
        if told is not None:
            block.add_new(0x09, "DS", told)

    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    with pytest.raises(
        ReladError, match="no factor that takes them there -- export it in Bq/mL, or"
    ):
        ingested(tmp_path, "AV1451", "PET")


# --- what to do


def shifted(data, k, frame):
    data.BitsStored, data.HighBit = 12, 15
    data.PixelData = (voxels(1)[k] << 4).tobytes()


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("PET", lambda d, k, f: setattr(d, "Units", "PROPCPS"), "PROPCPS, not Bq/mL -- export it"),
        ("MRI", lambda d, k, f: setattr(d, "RescaleIntercept", -k), "to 0 -- planes of one image"),
        ("MRI", shifted, "12 bits that end at bit 15 .HighBit. -- the headers are wrong, or"),
        (
            "MRI",
            lambda d, k, f: setattr(d, "ImagePositionPatient", [0, 0, k // 2 * 3.0]),
            "holds 2 volumes where one is needed -- keep the one",
        ),
    ],
)
def test_a_refusal_tells_what_to_do(tmp_path: Path, kind: str, change, said: str):
    def edit(data, k, frame):
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        change(data, k, frame)

    write, text = (write_pet, "AV1451") if kind == "PET" else (write_mri, "MPRAGE")
    write(tmp_path / "loni", A, 1, text, change=edit)
    with pytest.raises(ReladError, match=said):
        ingested(tmp_path, text, kind)


def test_an_image_of_five_dimensions_is_told_what_it_may_be(tmp_path: Path):
    anat = tmp_path / "source" / "sub-01" / "anat"
    bids_tree.write_image(anat / "sub-01_T1w.nii.gz", (4, 4, 4, 2, 2))
    with pytest.raises(ReladError, match="has 5 dimensions -- give an image of 3, or of 4"):
        ingest(tmp_path / "source", tmp_path / "bids", bids_tree.SETTINGS)
