"""What headers say of an image's making, scale and times, where that decides its use.

More cases of public reports, as in test_public_dicom_cases.py; docs/ingest_cases.md lists them.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from relad.cohort import dicom_kind
from relad.cohort.series import SeriesTable
from relad.errors import DataError, ReladError
from relad.fileio import read_json
from relad.steps.ingest import ingest
from tests.helpers import bids_tree
from tests.helpers.loni import (
    MINUTE,
    SETTINGS,
    SLICES,
    A,
    clock,
    csv_row,
    expected,
    good_subject,
    table,
    values,
    voxels,
    write_csv,
    write_enhanced_pet,
    write_mri,
    write_pet,
)

BEGIN = (14 * 60 + 30) * MINUTE


def ingested(root: Path, *texts: str, modality: str = "MRI") -> dict[str, dict]:
    """Rows of ingest.tsv of the images 1, 2, … with these descriptions."""
    rows = [csv_row(n, A, text, modality) for n, text in enumerate(texts, start=1)]
    write_csv(root / "c.csv", rows)
    ingest(root / "loni", root / "bids", SETTINGS)
    return table(root / "bids")


def setting(**elements: Any):
    """A change of headers that sets elements."""

    def change(data: Dataset, k: int, frame: int) -> None:
        for key, value in elements.items():
            setattr(data, key, value)

    return change


# --- which image


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]},
            {"ImageType": ["DERIVED", "PRIMARY", "M", "DIS3D"]},
        ),
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "M", "DIS2D"]},
            {"ImageType": ["ORIGINAL", "PRIMARY", "M", "DIS3D"]},
        ),
        (
            {"ImageType": ["DERIVED", "SECONDARY", "MPR", "DIS3D"]},
            {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]},
        ),
        ({"MRAcquisitionType": "2D"}, {"MRAcquisitionType": "3D"}),
    ],
)
def test_of_two_t1w_the_better_made_one_is_used(tmp_path: Path, worse, better):
    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=setting(**worse))
    write_mri(tmp_path / "loni", A, 2, "MPRAGE", change=setting(**better))
    rows = ingested(tmp_path, "MPRAGE", "MPRAGE")
    assert (rows["I1"]["status"], rows["I2"]["status"]) == ("dropped", "kept")


def test_runs_of_two_reconstructions_are_not_mixed(tmp_path: Path):
    """The first reconstruction's second half is joined, not the other one's, which is first."""
    parts = [(0, "OSEM3D"), (0, "PSF+TOF"), (10, "PSF+TOF"), (10, "OSEM3D")]
    for image, (late, method) in enumerate(parts, start=1):
        write_pet(tmp_path / "loni", A, image, "AV1451", frames=2, start=BEGIN + late * MINUTE,
                  change=setting(ReconstructionMethod=method))  # fmt: skip
    rows = ingested(tmp_path, *["AV1451"] * 4, modality="PET")
    assert [rows[f"I{n}"]["status"] for n in (1, 2, 3, 4)] == ["kept", "dropped", "dropped", "kept"]
    assert rows["I1"]["note"] == "runs of one injection are joined: I1, I4"


# --- what a header says


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "cut anew out of another image"),
        ({"LossyImageCompression": "01"}, "compressed with losses"),
    ],
)
def test_what_a_person_should_know_of_an_mri_is_a_note(tmp_path: Path, elements, said):
    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=setting(**elements))
    assert said in ingested(tmp_path, "MPRAGE")["I1"]["note"]


def test_localisers_and_transmission_scans_are_told_by_their_headers(tmp_path: Path):
    words = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=setting(ImageType=words))
    with pytest.raises(ReladError, match="not used: a localiser"):
        ingested(tmp_path, "MPRAGE")
    pet = tmp_path / "pet"
    write_pet(pet / "loni", A, 1, "AV1451", change=setting(CountsSource="TRANSMISSION"))
    with pytest.raises(ReladError, match="not used: a transmission scan"):
        ingested(pet, "AV1451", modality="PET")


#: Words of sidecars for PET that was corrected for attenuation, was not, and may have been.
CORRECTED = (
    "[137Cs]transmission scan-based", "CT-based", "measured,68Ge transmission", "AC", "ATTN", True,
    "CT, no scatter correction", "CT (NAC available)", "MR-AC (Dixon)", "10-min transmission",
    "CT-based, scatter not corrected", "attenuation and scatter corrected", "measured, not smooth",
    "CTAC", "not corrected for scatter", "no scatter correction", "CT; no correction for motion",
)  # fmt: skip
UNCORRECTED = (
    "none", "NAC", "not corrected", "no attenuation correction", "Not performed", "not applied",
    "No AC", "false", False, ["NONE"], "no scatter or attenuation correction", "AC: off", 0,
    "attenuation correction was not applied", "PET is not attenuation-corrected", "No (PET/MR)",
    "CT acquired, AC not performed", "Not corrected for attenuation", "without AC", "non-AC",
    "none applied", "no correction was applied", "No corrections applied", "Data not corrected",
    "No attenuation or scatter correction", "not corrected for attenuation or scatter", "NoAC",
    "not corrected for scatter and attenuation", "neither attenuation nor scatter correction",
    "PET images not attenuation corrected", "Images have not been corrected for attenuation",
    "nonAC", "non AC reconstruction", "no CTAC", "no MRAC", "There was no attenuation correction",
)  # fmt: skip
UNKNOWN = ("n/a", "", "[]", [], None, "unknown", "not stated", " ", "N.A.", "not applicable", "TBD")


@pytest.mark.parametrize(
    ("told", "used", "noted"),
    [
        *((text, True, False) for text in CORRECTED),
        *((text, False, False) for text in UNCORRECTED),
        *((text, True, True) for text in UNKNOWN),
    ],
)
@pytest.mark.parametrize("key", ["AttenuationCorrection", "AttenuationCorrectionMethod"])
def test_attenuation_correction_is_told_in_free_text(key: str, told, used, noted):
    sidecar = {"Modality": "PT", key: told}
    reason = dicom_kind.unfit(sidecar, "PET")
    assert (reason is None) == used
    assert used or f"not corrected for attenuation, as its header says ({told})" in reason
    assert any("attenuation is unknown" in note for note in dicom_kind.remarks(sidecar)) == noted


def test_what_else_a_header_says_of_attenuation_counts_where_its_method_is_unknown():
    method = {"AttenuationCorrectionMethod": "n/a"}
    assert dicom_kind.remarks({**method, "CorrectedImage": ["DECY", "ATTN"]}) == []
    assert dicom_kind.remarks({**method, "AttenuationCorrection": "CT"}) == []
    assert dicom_kind.unfit({**method, "CorrectedImage": ["DECY"]}, "PET") is not None
    assert dicom_kind.unfit({**method, "AttenuationCorrection": False}, "PET") is not None
    assert dicom_kind.remarks({}) == []


def test_pet_of_unknown_attenuation_correction_is_kept_with_a_note(tmp_path: Path):
    told = {**bids_tree.PET, "AttenuationCorrection": "n/a"}
    bids_tree.session(tmp_path / "in", "01", None, told)
    bids_tree.session(tmp_path / "in", "02", None, {**told, "AttenuationCorrection": False})
    ingest(tmp_path / "in", tmp_path / "bids", bids_tree.SETTINGS)
    rows = table(tmp_path / "bids")
    assert "attenuation is unknown" in rows["sub-01/pet/sub-01_pet.nii.gz"]["note"]
    assert rows["sub-02/pet/sub-02_pet.nii.gz"]["status"] == "dropped"


def test_a_contrast_agent_that_a_part_of_the_slices_states(tmp_path: Path):
    def change(data: Dataset, k: int, frame: int) -> None:
        if k == SLICES - 1:
            data.ContrastBolusAgent = "GADAVIST"

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    with pytest.raises(ReladError, match=r"contrast agent \(GADAVIST\)"):
        ingested(tmp_path, "MPRAGE")


@pytest.mark.parametrize("where", ["description", "second item"])
def test_another_tracer_elsewhere_in_the_header_is_a_reason(tmp_path: Path, where: str):
    def change(data: Dataset, k: int, frame: int) -> None:
        (drug,) = data.RadiopharmaceuticalInformationSequence
        if where == "description":
            data.SeriesDescription, drug.Radiopharmaceutical = "AV45 Dynamic", ""
        else:
            other = copy.deepcopy(drug)
            other.Radiopharmaceutical = "Florbetapir"
            data.RadiopharmaceuticalInformationSequence = [drug, other]

    text = "AV1451" if where == "description" else "Brain"
    write_pet(tmp_path / "loni", A, 1, text, change=change)
    with pytest.raises(ReladError, match=r"more than one tracer \(tau, amyloid\)"):
        ingested(tmp_path, text, modality="PET")


@pytest.mark.parametrize(
    ("modality", "text", "kind"),
    [
        ("MRI", "T1w_MPR_vNav_setter", None),
        ("MRI", "MPRAGE phantom QA", None),
        ("MRI", "T1 perfusion DCE", None),
        ("MRI", "T1 mapping", None),
        ("MRI", "T1w_MPR_vNav", "T1w"),
        ("PET", "AV1451_uMap", None),
        ("PET", "AV1451 MIP", None),
        ("PET", "Brain PET Fused", None),
        ("MRI", "Head_MRAC_T1", None),
        ("PET", "Head_MRAC_PET_AV1451_AC Images", "PET"),
        ("PET", "Head_MRAC_UMAP", None),
        ("PET", "AV1451 CTAC", "PET"),
    ],
)
def test_descriptions_of_what_is_no_scan(modality: str, text: str, kind: str | None):
    rules = SeriesTable(SETTINGS.ingest.series)
    if kind is not None:
        assert rules.kind_of(modality, text) == kind
        return
    with pytest.raises(DataError, match="not used"):
        rules.kind_of(modality, text)


# --- scales and times


@pytest.mark.parametrize("beside", ["a rescaling of 1", "a map to SUV", "units"])
def test_the_map_to_activity_is_what_gives_voxels_their_units(tmp_path: Path, beside: str):
    """Where the header has units of its own, its rescaling holds, and another map contradicts."""

    def mapping(unit: str, slope: float) -> Dataset:
        data, code = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
        data.RealWorldValueSlope, data.RealWorldValueIntercept = slope, 0.0
        data.MeasurementUnitsCodeSequence = [code]
        return data

    def change(group: Dataset, k: int, frame: int) -> None:
        group.PixelValueTransformationSequence[0].RescaleSlope = 1
        maps = [mapping("Bq/ml", 2.0 + k + frame)]
        if beside == "a map to SUV":
            maps.insert(0, mapping("{SUVbw}g/ml", 0.001))
        group.RealWorldValueMappingSequence = maps

    file = write_enhanced_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    if beside == "units":
        with pytest.raises(ReladError, match="RescaleSlope is 1, but its map to Bq/mL"):
            ingested(tmp_path, "AV1451", modality="PET")
        return
    data = pydicom.dcmread(file)
    del data.Units
    data.save_as(file)
    row = ingested(tmp_path, "AV1451", modality="PET")["I1"]
    slopes = 2.0 + np.arange(SLICES)
    right = np.stack([expected(1, frame) * (slopes + frame) for frame in range(2)], axis=-1)
    np.testing.assert_allclose(values(tmp_path / "bids" / row["output"]), right, rtol=1e-4)


def test_a_frames_reference_moment_is_its_middle(tmp_path: Path):
    def change(group: Dataset, k: int, frame: int) -> None:
        (content,) = group.FrameContentSequence
        del content.FrameAcquisitionDateTime
        middle = BEGIN + (5 * frame + 2.5) * MINUTE
        content.FrameReferenceDateTime = "20200203" + clock(middle)

    write_enhanced_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    ingested(tmp_path, "AV1451", modality="PET")
    told = read_json(next((tmp_path / "bids").rglob("*_pet.json")))
    assert told["FrameTimesStart"] == [80 * MINUTE, 85 * MINUTE]


def test_frames_of_no_duration_and_of_no_time_are_notes(tmp_path: Path):
    write_pet(tmp_path / "loni", A, 1, "AV1451", change=setting(ActualFrameDuration=0))
    assert "frame times unknown" in ingested(tmp_path, "AV1451", modality="PET")["I1"]["note"]
    told = read_json(next((tmp_path / "bids").rglob("*_pet.json")))
    assert told["FrameDuration"] == "unknown"


def test_frames_and_slices_that_repeat_others_are_notes(tmp_path: Path):
    def change(data: Dataset, k: int, frame: int) -> None:
        if data.Modality == "PT" and frame == 2:
            data.PixelData, data.RescaleSlope = voxels(1, 0)[k].tobytes(), 0.5
        elif data.Modality == "MR" and k == 3:
            data.PixelData = voxels(1)[2].tobytes()

    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    note = ingested(tmp_path, "AV1451", modality="PET")["I1"]["note"]
    assert "frame 3 holds the same values as frame 1" in note
    write_mri(tmp_path / "more" / "loni", A, 1, "MPRAGE", change=change)
    note = ingested(tmp_path / "more", "MPRAGE")["I1"]["note"]
    assert "slice 4 along z repeats the one before it" in note


# --- files


def test_deflated_files_are_read_and_cut_ones_are_not(tmp_path: Path):
    files = write_mri(tmp_path / "loni", A, 1, "MPRAGE")
    for file in files:
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        data.save_as(file)
    row = ingested(tmp_path, "MPRAGE")["I1"]
    np.testing.assert_array_equal(values(tmp_path / "bids" / row["output"]), expected(1))
    whole = files[2].read_bytes()
    for kept in (0.5, 0.9):
        files[2].write_bytes(whole[: int(kept * len(whole))])
        with pytest.raises(ReladError, match="no series can be used"):
            ingested(tmp_path, "MPRAGE")


def test_archives_that_were_not_unpacked_are_told(tmp_path: Path):
    rows = good_subject(tmp_path / "loni", A, 1)
    write_csv(tmp_path / "c.csv", rows)
    (tmp_path / "loni" / "ADNI_2.zip").write_bytes(b"PK\x03\x04")
    got = ingest(tmp_path / "loni", tmp_path / "bids", SETTINGS)
    assert got[0]["reason"] == "ADNI_2.zip: is an archive: unpack it"
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "ADNI_1.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(ReladError, match=r"-- unpack ADNI_1\.zip"):
        ingest(tmp_path / "packed", tmp_path / "other", SETTINGS)
