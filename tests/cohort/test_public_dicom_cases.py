"""Faults of DICOM, PET and tables that public bug reports know; docs/ingest_cases.md lists them."""

from __future__ import annotations

import copy
import shutil
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from relad.cohort import dicom_pet
from relad.errors import ReladError
from relad.fileio import read_json, read_table
from relad.steps.ingest import ingest
from tests.helpers import bids_tree
from tests.helpers.bids_tree import PET
from tests.helpers.loni import (
    COLUMNS,
    MINUTE,
    ROWS,
    SETTINGS,
    SLICES,
    SPACING,
    A,
    clock,
    csv_row,
    expected,
    put,
    table,
    values,
    voxels,
    write_csv,
    write_enhanced_mri,
    write_enhanced_pet,
    write_mri,
    write_pet,
)

HOUR = 60 * MINUTE


def ingested(root: Path, *series: tuple[int, str, str]) -> dict[str, dict]:
    """Rows of ingest.tsv by image id; ``series`` are image id, description and modality."""
    rows = [csv_row(image, A, text, modality) for image, text, modality in series]
    write_csv(root / "c.csv", rows)
    ingest(root / "loni", root / "bids", SETTINGS)
    return table(root / "bids")


def one_pet(root: Path) -> dict:
    return ingested(root, (1, "AV1451", "PET"))["I1"]


def one_mri(root: Path, text: str = "MPRAGE") -> dict:
    return ingested(root, (1, text, "MRI"))["I1"]


def refused(root: Path, *series: tuple[int, str, str]) -> str:
    """Reason of the only series."""
    with pytest.raises(ReladError) as error:
        ingested(root, *series)
    return str(error.value)


def sidecar(root: Path) -> dict:
    return read_json(next((root / "bids").rglob("*_pet.json")))


def scaled(image: int, slopes) -> np.ndarray:
    """Right voxels (x, y, z, t) where ``slopes(k, frame)`` is each plane's."""
    frames = len(slopes)
    return np.stack([expected(image, f) * np.asarray(slopes[f]) for f in range(frames)], axis=-1)


# --- what the converter makes of planes


@pytest.mark.parametrize("scale", [1e-8, 3e-9, 1e3])
def test_slopes_of_each_slice_however_small(tmp_path: Path, scale: float):
    slopes = [[scale * (1 + k / 3) * (1 + f) for k in range(SLICES)] for f in range(3)]

    def change(data, k, frame):
        data.RescaleSlope = f"{slopes[frame][k]:.10g}"

    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    row = one_pet(tmp_path)
    got = values(tmp_path / "bids" / row["output"])
    np.testing.assert_allclose(got, scaled(1, slopes), rtol=1e-4)


@pytest.mark.parametrize("maker", ["SIEMENS", "Mediso", "GE MEDICAL SYSTEMS", "UIH", ""])
def test_an_enhanced_pet_whose_planes_lie_slice_by_slice(tmp_path: Path, maker: str):
    slopes = [[0.5 + 0.25 * f + k / 7 for k in range(SLICES)] for f in range(2)]
    write_enhanced_pet(
        tmp_path / "loni", A, 1, "AV1451", manufacturer=maker,
        slope=lambda k, f: slopes[f][k], order=lambda planes: sorted(planes, key=lambda p: p[::-1]),
    )  # fmt: skip
    row = one_pet(tmp_path)
    np.testing.assert_allclose(values(tmp_path / "bids" / row["output"]), scaled(1, slopes), 1e-4)
    assert sidecar(tmp_path)["FrameTimesStart"] == [80 * MINUTE, 85 * MINUTE]


def test_an_enhanced_pet_scaled_by_its_map_to_real_world_values(tmp_path: Path):
    def change(group, k, frame):
        mapping, code = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "Bq/ml", "UCUM", "Bq/ml"
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 2.0 + k, 0.0
        mapping.MeasurementUnitsCodeSequence = [code]
        group.RealWorldValueMappingSequence = [mapping]
        del group.PixelValueTransformationSequence

    file = write_enhanced_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    data = pydicom.dcmread(file)
    del data.Units
    data.save_as(file)
    row = one_pet(tmp_path)
    right = scaled(1, [[2.0 + k for k in range(SLICES)]] * 2)
    np.testing.assert_allclose(values(tmp_path / "bids" / row["output"]), right, rtol=1e-4)


def test_frames_of_an_enhanced_pet_without_times_follow_their_index(tmp_path: Path):
    def change(group, k, frame):
        content = group.FrameContentSequence[0]
        del content.FrameAcquisitionDateTime
        content.TemporalPositionIndex = 2 - frame  # the second in the file is the first in time

    write_enhanced_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    row = one_pet(tmp_path)
    right = scaled(1, [[0.5] * SLICES, [0.75] * SLICES])[..., ::-1]
    np.testing.assert_allclose(values(tmp_path / "bids" / row["output"]), right, rtol=1e-4)


def test_an_enhanced_mri_of_interleaved_stacks_is_one_volume(tmp_path: Path):
    file = write_enhanced_mri(tmp_path / "loni", A, 1, "MPRAGE")
    data = pydicom.dcmread(file)
    groups = list(data.PerFrameFunctionalGroupsSequence)
    order = [0, 3, 1, 4, 2, 5]
    for place, k in enumerate(order):
        content = groups[k].FrameContentSequence[0]
        content.StackID, content.InStackPositionNumber = str(place % 2 + 1), place // 2 + 1
        content.DimensionIndexValues = [place % 2 + 1, place // 2 + 1]
    data.PerFrameFunctionalGroupsSequence = [groups[k] for k in order]
    data.PixelData = b"".join(voxels(1)[k].tobytes() for k in order)
    data.save_as(file)
    row = one_mri(tmp_path)
    np.testing.assert_array_equal(values(tmp_path / "bids" / row["output"]), expected(1))


def test_an_enhanced_mri_with_a_slope_for_each_plane(tmp_path: Path):
    file = write_enhanced_mri(tmp_path / "loni", A, 1, "MPRAGE")
    data = pydicom.dcmread(file)
    data.Manufacturer = "SIEMENS"
    for k, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        scale = Dataset()
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1 + k / 2, 0, "US"
        group.PixelValueTransformationSequence = [scale]
    data.save_as(file)
    row = one_mri(tmp_path)
    right = expected(1) * (1 + np.arange(SLICES) / 2)
    np.testing.assert_allclose(values(tmp_path / "bids" / row["output"]), right, rtol=1e-5)


def test_frames_follow_time_where_their_numbers_run_backwards(tmp_path: Path):
    def change(data, k, frame):
        data.Manufacturer = "Philips"
        data.InstanceNumber = data.ImageIndex = 3 * SLICES + 1 - data.InstanceNumber

    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    row = one_pet(tmp_path)
    right = scaled(1, [[0.5 + 0.25 * f] * SLICES for f in range(3)])
    np.testing.assert_allclose(values(tmp_path / "bids" / row["output"]), right, rtol=1e-4)
    assert sidecar(tmp_path)["FrameTimesStart"] == [80 * MINUTE, 85 * MINUTE, 90 * MINUTE]


def test_a_static_pet_of_two_beds_with_their_own_reference_times_is_one_volume(tmp_path: Path):
    def change(data, k, frame):
        upper = k >= SLICES // 2
        data.AcquisitionTime = clock(14.5 * HOUR + 120 * upper)
        data.FrameReferenceTime = 150000 + 120000 * upper
        data.InstanceNumber = data.ImageIndex = 100 + (5 * k) % SLICES

    write_pet(tmp_path / "loni", A, 1, "AV1451", frames=1, change=change)
    row = one_pet(tmp_path)
    got = values(tmp_path / "bids" / row["output"])
    np.testing.assert_allclose(got[..., 0], expected(1) * 0.5, rtol=1e-4)


def test_series_without_instance_numbers_are_sorted_by_their_places(tmp_path: Path):
    def change(data, k, frame):
        del data.InstanceNumber

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    row = one_mri(tmp_path)
    np.testing.assert_array_equal(values(tmp_path / "bids" / row["output"]), expected(1))


@pytest.mark.parametrize(("degrees", "kept"), [(0.0, True), (3.0, False), (-20.0, False)])
def test_a_tilted_stack_is_refused_whether_its_header_says_so_or_not(tmp_path, degrees, kept):
    shift = np.tan(np.deg2rad(degrees))

    def change(data, k, frame):
        data.ImagePositionPatient = [0, SPACING[2] * k * shift, SPACING[2] * k]

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    if kept:
        assert one_mri(tmp_path)["status"] == "kept"
    else:
        assert "its stack shears" in refused(tmp_path, (1, "MPRAGE", "MRI"))


def test_a_series_uid_for_each_slice_is_a_reason(tmp_path: Path):
    def change(data, k, frame):
        data.SeriesInstanceUID = f"1.2.3.1.{k + 1}"

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    assert "belongs to another series" in refused(tmp_path, (1, "MPRAGE", "MRI"))


# --- what files hold


@pytest.mark.parametrize("named", [True, False])
def test_compressed_files_with_padding_and_with_a_delimiter_among_their_data(tmp_path, named):
    marked = voxels(1)
    marked[2, 0, :4] = [0x00FE, 0x00FF, 0x00DD, 0x00E0]  # as RLE's low bytes: an item's end

    def change(data, k, frame):
        data.PixelData = marked[k].tobytes()

    for file in write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change):
        data = pydicom.dcmread(file)
        data.compress(RLELossless, generate_instance_uid=False)
        data.save_as(file)
        padding = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 700) + bytes(700)
        file.write_bytes(file.read_bytes() + (padding if named else bytes(700)))
    row = one_mri(tmp_path)
    right = marked.transpose(2, 1, 0)[::-1, ::-1]
    np.testing.assert_array_equal(values(tmp_path / "bids" / row["output"]), right)


def test_copies_of_files_are_left_out_and_two_images_of_one_uid_are_refused(tmp_path: Path):
    files = write_pet(tmp_path / "loni", A, 1, "AV1451")
    for file in files[: SLICES + 2]:
        shutil.copy(file, file.with_name(file.name.replace("_S8", "(1)_S8")))
    row = one_pet(tmp_path)
    assert row["note"] == f"{SLICES + 2} copies of its planes are left out"
    right = scaled(1, [[0.5 + 0.25 * f] * SLICES for f in range(3)])
    np.testing.assert_allclose(values(tmp_path / "bids" / row["output"]), right, rtol=1e-4)
    other = files[0].with_name(files[0].name.replace("_S8", "(1)_S8"))
    data = pydicom.dcmread(other)
    data.PixelData = data.PixelData[::-1]
    data.save_as(other)
    assert "holds another image" in refused(tmp_path, (1, "AV1451", "PET"))


def test_a_whole_series_twice_with_new_uids_is_one(tmp_path: Path):
    for k, file in enumerate(write_pet(tmp_path / "loni", A, 1, "AV1451")):
        data = pydicom.dcmread(file)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{k}"
        data.save_as(file.with_name(file.name.replace("_S8", "_again_S8")))
    assert one_pet(tmp_path)["note"] == f"{3 * SLICES} copies of its planes are left out"


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ([0, 1], "its images are numbered from 3: the first may be missing"),
        ([1, 3, 5], "slices are missing (they lie 6.00 mm apart where the header states 3.00 mm)"),
        ([2], "slices are missing (a gap of 6.0 mm"),
    ],
)
def test_slices_lost_on_the_way_are_told(tmp_path: Path, lost, said):
    def change(data, k, frame):
        data.SpacingBetweenSlices = SPACING[2]

    files = write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    for k in lost:
        files[k].unlink()
    if "may be" in said:
        assert said in one_mri(tmp_path)["note"]
    else:
        assert said in refused(tmp_path, (1, "MPRAGE", "MRI"))


def test_a_spacing_that_means_the_gap_of_a_2d_scan_is_a_note(tmp_path: Path):
    def change(data, k, frame):
        data.MRAcquisitionType, data.SliceThickness = "2D", SPACING[2] / 2
        data.SpacingBetweenSlices = SPACING[2] / 2

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    assert (
        "its slices lie 3.00 mm apart where the header states 1.50 mm" in one_mri(tmp_path)["note"]
    )


def test_vendors_own_counts_of_slices_are_read(tmp_path: Path):
    def change(data, k, frame):
        block = data.private_block(0x0021, "GEMS_RELA_01", create=True)
        block.add_new(0x4F, "SS", SLICES)

    for file in write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)[-2:]:
        file.unlink()
    said = refused(tmp_path, (1, "MPRAGE", "MRI"))
    assert f"{SLICES - 2} slices where the header states {SLICES}" in said


def test_a_scan_stopped_within_a_frame_is_dropped(tmp_path: Path):
    files = write_pet(tmp_path / "loni", A, 1, "AV1451")
    for file in files[-2:]:
        file.unlink()
    assert "slices are missing or repeated" in refused(tmp_path, (1, "AV1451", "PET"))


def test_a_frame_lost_between_others_is_a_note(tmp_path: Path):
    def change(data, k, frame):
        del data.NumberOfTimeSlices

    files = write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    for file in files[SLICES : 2 * SLICES]:
        file.unlink()
    note = one_pet(tmp_path)["note"]
    assert "no frame covers the 300 s between frames 1 and 2" in note
    assert f"{2 * SLICES} images are numbered from 1 to {3 * SLICES}" in note


# --- what images show


def image_type(*words: str):
    def change(data, k, frame):
        data.ImageType = list(words)

    return change


def test_of_an_mp2rage_the_uniform_image_is_used(tmp_path: Path):
    listed = {
        1: ("MP2RAGE_INV1", image_type("ORIGINAL", "PRIMARY", "M", "ND")),
        2: ("MP2RAGE_INV2", image_type("ORIGINAL", "PRIMARY", "M", "ND")),
        3: ("MP2RAGE_T1_Images", image_type("DERIVED", "PRIMARY", "M", "ND")),
        4: ("MP2RAGE_UNI_Images", image_type("DERIVED", "PRIMARY", "M", "ND", "UNI")),
    }
    for image, (text, change) in listed.items():
        write_mri(tmp_path / "loni", A, image, text, change=change)
    got = ingested(tmp_path, *((image, text, "MRI") for image, (text, _) in listed.items()))
    assert {i: r["status"] for i, r in got.items() if r["status"] == "kept"} == {"I4": "kept"}


@pytest.mark.parametrize("uniform", [("M", "ND", "UNI"), ("T1", "UNIFORM")])
def test_images_of_one_mp2rage_are_told_apart_by_their_headers(tmp_path: Path, uniform):
    text = "t1_mp2rage_sag"
    kinds = [("M", "ND"), ("M", "T1 MAP"), ("P", "ND"), uniform]
    for image, words in enumerate(kinds, start=1):
        change = image_type("DERIVED", "PRIMARY", *words)
        write_mri(tmp_path / "loni", A, image, text, change=change)
    got = ingested(tmp_path, *((image, text, "MRI") for image in range(1, 5)))
    assert got["I4"]["status"] == "kept"
    assert "a map of T1" in got["I2"]["reason"]
    assert "the phase of a complex image" in got["I3"]["reason"]


def test_of_a_series_of_magnitude_and_phase_the_magnitude_is_used(tmp_path: Path):
    root = tmp_path / "loni"
    files = write_mri(root, A, 1, "MPRAGE", change=image_type("ORIGINAL", "PRIMARY", "M", "ND"))
    for k, file in enumerate(files):
        data = pydicom.dcmread(file)
        data.ImageType = ["ORIGINAL", "PRIMARY", "P", "ND"]
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.8.{k}"
        data.PixelData = data.PixelData[::-1]
        data.save_as(file.with_name(file.name.replace("_MR_", "_MR_ph")))
    row = one_mri(tmp_path)
    assert f"its {SLICES} phase planes are left out" in row["note"]
    np.testing.assert_array_equal(values(tmp_path / "bids" / row["output"]), expected(1))


def test_phase_slices_among_magnitude_ones_are_no_slices_of_it(tmp_path: Path):
    def change(data, k, frame):
        data.ImageType = ["ORIGINAL", "PRIMARY", "P" if k == 3 else "M", "ND"]

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    assert "slices are missing" in refused(tmp_path, (1, "MPRAGE", "MRI"))


def test_magnitude_and_phase_interleaved_in_an_enhanced_file(tmp_path: Path):
    file = write_enhanced_mri(tmp_path / "loni", A, 1, "MPRAGE")
    data = pydicom.dcmread(file)
    data.ComplexImageComponent = "MIXED"
    groups, planes = [], []
    for k, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        for part, word in (("MAGNITUDE", "M"), ("PHASE", "P")):
            one = copy.deepcopy(group)
            kind = Dataset()
            kind.FrameType = ["ORIGINAL", "PRIMARY", word, "NONE"]
            kind.ComplexImageComponent = part
            one.MRImageFrameTypeSequence = [kind]
            groups.append(one)
            planes.append(voxels(1 if word == "M" else 2)[k].tobytes())
    data.PerFrameFunctionalGroupsSequence, data.NumberOfFrames = groups, len(groups)
    data.PixelData = b"".join(planes)
    data.save_as(file)
    row = one_mri(tmp_path)
    np.testing.assert_array_equal(values(tmp_path / "bids" / row["output"]), expected(1))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("CorrectedImage", ["DECY", "DTIM", "NORM"], "not corrected for attenuation"),
        ("AttenuationCorrected", "NO", "not corrected for attenuation"),  # as enhanced PET has it
        ("SeriesType", ["STATIC", "REPROJECTION"], "a projection"),
        ("SeriesType", ["GATED", "IMAGE"], "gated"),
        ("ImageType", ["DERIVED", "SECONDARY", "MIP"], "a projection"),
        ("SeriesDescription", "AV1451 NAC", "not corrected for attenuation"),
    ],
)
def test_pet_that_its_header_tells_is_no_pet_to_use(tmp_path: Path, key, value, said):
    write_pet(tmp_path / "loni", A, 1, "AV1451", change=lambda d, k, f: setattr(d, key, value))
    assert said in refused(tmp_path, (1, "AV1451", "PET"))


@pytest.mark.parametrize(
    ("key", "value", "agent"),
    [
        ("ContrastBolusAgent", "GADAVIST", True),
        ("ContrastBolusIngredientCodeSequence", [Dataset()], True),
        ("ContrastBolusVolume", "7.5", True),
        ("ContrastBolusAgent", "NONE", False),
        ("ContrastBolusAgent", "", False),
        ("ContrastBolusVolume", "0", False),
        ("SeriesDescription", "MPRAGE +C", True),
        ("SeriesDescription", "MPRAGE pre contrast", False),
    ],
)
def test_a_contrast_agent_is_told_by_the_header(tmp_path: Path, key, value, agent):
    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=lambda d, k, f: setattr(d, key, value))
    if agent:
        assert "contrast agent" in refused(tmp_path, (1, "MPRAGE", "MRI"))
    else:
        assert one_mri(tmp_path)["status"] == "kept"


@pytest.mark.parametrize(
    ("elements", "noted"),
    [
        ({"ContrastBolusRoute": "IV"}, "though none is named (ContrastBolusRoute IV)"),
        ({"ContrastBolusStartTime": "081200"}, "(ContrastBolusStartTime 081200)"),
        ({"ContrastFlowRate": "2"}, "(ContrastFlowRate 2"),
        ({"ContrastBolusRoute": "", "ContrastFlowRate": "0"}, None),
        ({"ContrastBolusRoute": "NONE", "ContrastFlowRate": None}, None),
    ],
)
def test_how_an_unnamed_contrast_agent_was_given_is_a_note(tmp_path: Path, elements, noted):
    def change(data, k, frame):
        data.ContrastBolusAgent = ""
        for key, value in elements.items():
            setattr(data, key, value)

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=change)
    note = one_mri(tmp_path)["note"]
    assert (note is None) if noted is None else (noted in note)


# --- when


def drug(zone: str | None = None, **keys: str | None):
    """Change keys of the drug's item; ``zone`` is the header's offset from UTC."""

    def change(data, k, frame):
        put(data.RadiopharmaceuticalInformationSequence[0], **keys)
        if zone is not None:
            data.TimezoneOffsetFromUTC = zone

    return change


@pytest.mark.parametrize(
    ("moment", "zone", "first"),
    [
        ("20200203131000", None, 80),  # StartDateTime alone
        ("20200203121000+0000", "+0100", 80),
        ("20200203074000.000000+0000", "+0530", 80),
        ("20200203181000+0500", "+0000", 80),
        ("20200202131000+0100", "+0100", 80),  # another day, after de-identification
    ],
)
def test_an_injection_in_another_time_zone_is_brought_to_the_scans(tmp_path, moment, zone, first):
    keys = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": moment}
    change = drug(**keys, **({"zone": zone} if zone else {}))
    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    assert one_pet(tmp_path)["note"] is None
    assert sidecar(tmp_path)["FrameTimesStart"][0] == first * MINUTE


def test_two_injection_times_that_choose_other_frames_are_refused(tmp_path: Path):
    change = drug(RadiopharmaceuticalStartDateTime="20200203121000")
    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    said = refused(tmp_path, (1, "AV1451", "PET"))
    assert "states two injection times, 12:10:00" in said
    assert "13:10:00" in said


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("20200203130800", "13:08:00"),  # two minutes earlier: the same frames
        ("20200203121000+0000", "they are one in two time zones"),
    ],
)
def test_two_injection_times_that_choose_the_same_frames_are_a_note(tmp_path, moment, said):
    change = drug(RadiopharmaceuticalStartDateTime=moment)
    write_pet(tmp_path / "loni", A, 1, "AV1451", change=change)
    note = one_pet(tmp_path)["note"]
    assert "states two injection times" in note
    assert said in note


def test_a_static_image_of_a_part_of_a_scan_counts_from_the_injection(tmp_path: Path):
    def change(data, k, frame):
        data.SeriesTime = clock(13 * HOUR + 10 * MINUTE)  # the scan's start, and the injection
        data.ActualFrameDuration, data.DecayFactor = 20 * MINUTE * 1000, 1.68
        data.FrameReferenceTime = 90 * MINUTE * 1000

    write_pet(tmp_path / "loni", A, 1, "AV1451", frames=1, change=change)
    one_pet(tmp_path)
    told = sidecar(tmp_path)
    assert told["FrameTimesStart"] == [80 * MINUTE]
    assert told["ImageDecayCorrectionTime"] == 0


def test_frames_whose_starts_do_not_follow_their_durations_are_told(tmp_path: Path):
    def gaps(data, k, frame):
        data.ActualFrameDuration = 60 * 1000

    write_pet(tmp_path / "a" / "loni", A, 1, "AV1451", change=gaps)
    assert "no frame covers the 240 s between frames 1 and 2" in one_pet(tmp_path / "a")["note"]

    def overlap(data, k, frame):
        data.ActualFrameDuration = 900 * 1000

    write_pet(tmp_path / "b" / "loni", A, 1, "AV1451", change=overlap)
    assert "lasts into frame 2" in refused(tmp_path / "b", (1, "AV1451", "PET"))


def test_a_half_life_in_minutes_is_noticed(tmp_path: Path):
    write_pet(tmp_path / "loni", A, 1, "AV1451", change=drug(RadionuclideHalfLife="109.77"))
    assert "half-life of 109.77 s was taken as 6586.2 s" in one_pet(tmp_path)["note"]


# --- which of several


@pytest.mark.parametrize("correction", ["START", "ADMIN"])
def test_two_runs_of_one_injection_are_joined_where_the_window_spans_both(tmp_path, correction):
    def change(data, k, frame):
        data.DecayCorrection = correction

    injected = 13 * HOUR + 10 * MINUTE
    for image, after in ((1, 90), (2, 80)):
        start = injected + after * MINUTE
        text = f"AV1451 run {image}"
        write_pet(tmp_path / "loni", A, image, text, frames=2, start=start, change=change)
    write_mri(tmp_path / "loni", A, 3, "MPRAGE")
    got = ingested(
        tmp_path, (1, "AV1451 run 1", "PET"), (2, "AV1451 run 2", "PET"), (3, "MPRAGE", "MRI")
    )
    assert got["I1"]["output"] == got["I2"]["output"]
    assert "runs of one injection are joined: I1, I2" in got["I1"]["note"]
    told = sidecar(tmp_path)
    minutes = [80, 85, 90, 95]
    start_of = {k: told["FrameTimesStart"][k] - told["InjectionStart"] for k in range(4)}
    assert list(start_of.values()) == [60 * minute for minute in minutes]
    data = values(tmp_path / "bids" / got["I1"]["output"])
    # Corrected to their own starts, ten minutes apart; joined, to the first one's of the two.
    factor = 2 ** (-600 / 6586.2) if correction == "START" else 1.0
    np.testing.assert_allclose(data[..., 2], expected(1, 0) * 0.5, rtol=1e-4)
    np.testing.assert_allclose(data[..., 0], expected(2, 0) * 0.5 * factor, rtol=1e-4)
    (pair,) = read_table(tmp_path / "bids" / "pairs.tsv")
    assert pair["status"] == "paired"


@pytest.mark.parametrize("case", ["another injection", "another grid", "window covered"])
def test_runs_are_not_joined_where_they_do_not_belong_together(tmp_path: Path, case: str):
    injected = 13 * HOUR + 10 * MINUTE
    whole = 4 if case == "window covered" else 2

    def change(data, k, frame):
        if case == "another grid":
            data.ImagePositionPatient = [5.0, 0, SPACING[2] * k]

    write_pet(
        tmp_path / "loni", A, 1, "AV1451 a", frames=whole, start=injected + 80 * MINUTE,
        injected=injected,
    )  # fmt: skip
    other = injected - (7 * MINUTE if case == "another injection" else 0)
    write_pet(
        tmp_path / "loni", A, 2, "AV1451 b", frames=2, start=injected + 100 * MINUTE - 600 *
        (case != "window covered"), injected=other, change=change,
    )  # fmt: skip
    got = ingested(tmp_path, (1, "AV1451 a", "PET"), (2, "AV1451 b", "PET"))
    assert [got[i]["status"] for i in ("I1", "I2")] == ["kept", "dropped"]
    assert len(sidecar(tmp_path)["FrameTimesStart"]) == whole
    if case == "another grid":
        assert "I2 was not joined: its grid lies elsewhere" in got["I1"]["note"]


def test_colours_and_planes_of_no_place_are_reasons(tmp_path: Path):
    def colour(data, k, frame):
        data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"
        data.PlanarConfiguration, data.BitsAllocated = 0, 8
        data.BitsStored, data.HighBit = 8, 7
        data.PixelData = bytes(3 * ROWS * COLUMNS)

    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=colour)
    assert "holds colours" in refused(tmp_path, (1, "MPRAGE", "MRI"))


def write_runs(root: Path, second: dict) -> None:
    """Two runs of one PET as BIDS, 80-90 and 90-100 min; ``second`` changes the later sidecar."""
    stem = root / "sub-01" / "pet" / "sub-01_trc-AV1451_run-"
    for run, told in (("1", PET), ("2", {**PET, **second})):
        bids_tree.write_image(Path(f"{stem}{run}_pet.nii.gz"), (8, 9, 10, 2))
        bids_tree.write_json(Path(f"{stem}{run}_pet.json"), told)
    bids_tree.write_image(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz")


#: The second run counts from its own start, 90 min after the injection, and is corrected to it.
OWN_ZERO = {
    "TimeZero": "11:30:00", "InjectionStart": -5400, "ScanStart": 0, "FrameTimesStart": [0, 300],
    "ImageDecayCorrectionTime": 0,
}  # fmt: skip


def test_runs_that_each_count_from_their_own_start_are_joined_in_time(tmp_path: Path):
    write_runs(tmp_path / "source", OWN_ZERO)
    ingest(tmp_path / "source", tmp_path / "bids", bids_tree.SETTINGS)
    rows = [r for r in read_table(tmp_path / "bids" / "ingest.tsv") if r["kind"] == "PET"]
    assert {(r["status"], r["output"]) for r in rows} == {("kept", rows[0]["output"])}
    told = sidecar(tmp_path)
    assert (told["TimeZero"], told["FrameTimesStart"]) == ("10:00:00", [4800, 5100, 5400, 5700])
    data = values(tmp_path / "bids" / rows[0]["output"])
    parts = [values(file) for file in sorted((tmp_path / "source").rglob("*_pet.nii.gz"))]
    np.testing.assert_allclose(data[..., :2], parts[0], rtol=1e-6)
    np.testing.assert_allclose(data[..., 2:], parts[1] * 2 ** (5400 / 6586.2), rtol=1e-6)


@pytest.mark.parametrize(
    "second",
    [
        *({"Units": text} for text in ("BQML", "Becquerel/ml", "bq/cm3", "Bq mL^-1", "Bq/cc ")),
        *({"Units": text} for text in ("Bq mL⁻¹", "Bq/cm³")),
        *({"TracerRadionuclide": text} for text in ("18F", "^18^Fluorine", "f-18", "unknown")),
    ],
)
def test_runs_that_spell_one_thing_differently_are_joined(tmp_path: Path, second: dict):
    write_runs(tmp_path / "source", {**OWN_ZERO, **second})
    ingest(tmp_path / "source", tmp_path / "bids", bids_tree.SETTINGS)
    assert sidecar(tmp_path)["FrameTimesStart"] == [4800, 5100, 5400, 5700]


@pytest.mark.parametrize(
    ("text", "nuclide"),
    [("[18F]", "F18"), ("^11^Carbon", "C11"), ("fluorine-18", "F18"), ("o15", "O15")]
    + [("Flourine-18", "F18"), ("18Fluoride", "F18"), ("F18", "F18")]
    + [(text, "") for text in ("Cu-64", "64Cu", "unknown", "F", "")],
)
def test_a_radionuclide_is_told_from_others_that_begin_alike(text: str, nuclide: str):
    assert dicom_pet.nuclide(text) == nuclide


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"ImageDecayCorrected": False}, "decay corrected to are not known"),
        ({"ImageDecayCorrectionTime": "unknown"}, "decay corrected to are not known"),
        ({"Units": "unknown"}, "its units are unknown"),
        ({"TracerRadionuclide": "C11"}, "its radionuclide is C11, not F18"),
        ({"TracerRadionuclide": "Cu-64"}, "its radionuclide is Cu-64, not F18"),
        ({"TracerRadionuclide": None, "RadionuclideHalfLife": 1223.4}, "half-life is 1223.4 s"),
    ],
)
def test_runs_that_cannot_be_joined_say_why(tmp_path: Path, second: dict, said: str):
    write_runs(tmp_path / "source", {**OWN_ZERO, **second})
    ingest(tmp_path / "source", tmp_path / "bids", bids_tree.SETTINGS)
    rows = [r for r in read_table(tmp_path / "bids" / "ingest.tsv") if r["kind"] == "PET"]
    assert sorted(r["status"] for r in rows) == ["dropped", "kept"]
    assert said in next(r["note"] for r in rows if r["status"] == "kept")


def test_bids_own_uniform_image_is_a_t1w_where_there_is_no_other(tmp_path: Path):
    anat = tmp_path / "source" / "sub-01" / "anat"
    names = ("UNIT1", "inv-1_MP2RAGE", "inv-2_MP2RAGE")
    for name in names:
        bids_tree.write_image(anat / f"sub-01_{name}.nii.gz")
    ingest(tmp_path / "source", tmp_path / "bids", bids_tree.SETTINGS)
    kept = {r["image_id"] for r in read_table(tmp_path / "bids" / "ingest.tsv") if r["output"]}
    assert kept == {"sub-01/anat/sub-01_UNIT1.nii.gz"}
    bids_tree.write_image(anat / "sub-01_T1w.nii.gz")
    ingest(tmp_path / "source", tmp_path / "bids", bids_tree.SETTINGS)
    kept = {r["image_id"] for r in read_table(tmp_path / "bids" / "ingest.tsv") if r["output"]}
    assert kept == {"sub-01/anat/sub-01_T1w.nii.gz"}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "the phase of a complex image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "T1", "NONE", "PHASE"]}, "the phase"),
        ({"ContrastBolusIngredient": "GADOLINIUM"}, "contrast agent"),
    ],
)
def test_sidecars_tell_the_same_of_a_nifti(tmp_path: Path, told: dict, said: str):
    anat = tmp_path / "source" / "sub-01" / "anat"
    for name in ("T1w", "run-2_T1w"):
        bids_tree.write_image(anat / f"sub-01_{name}.nii.gz")
    bids_tree.write_json(anat / "sub-01_T1w.json", {})
    bids_tree.write_json(anat / "sub-01_run-2_T1w.json", told)
    ingest(tmp_path / "source", tmp_path / "bids", bids_tree.SETTINGS)
    rows = {r["image_id"]: r for r in read_table(tmp_path / "bids" / "ingest.tsv")}
    assert said in rows["sub-01/anat/sub-01_run-2_T1w.nii.gz"]["reason"]
