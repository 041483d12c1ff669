"""The collection CSV, the LONI tree, and which description is which kind of image."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from relad.cohort import adni
from relad.cohort.collection import find_collections, read_collections
from relad.cohort.series import SeriesTable, tracer_of, tracers_in
from relad.errors import DataError, ReladError
from relad.study.paths import REPOSITORY
from tests.helpers.loni import HEADER, csv_row, write_csv
from tests.helpers.settings import ingest_settings, tracer

SETTINGS = ingest_settings(
    {
        "tau": tracer("AV1451", aliases=["Flortaucipir", "T807"]),
        "amyloid": tracer("AV45", aliases=["Florbetapir"]),
        "tspo": tracer("PBR28", aliases=["[11C]PBR28", "PBR"]),
    }
)
TRACERS, SERIES = SETTINGS.tracers, SeriesTable(SETTINGS.ingest.series)


@pytest.mark.parametrize(
    ("text", "image_id"),
    [("I13893", "I13893"), ("13893", "I13893"), (" i013893 ", "I13893"), ("S13893", ""), ("", "")],
)
def test_image_ids_with_and_without_their_letter_are_one(text, image_id):
    assert adni.image_id(text) == image_id


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2/3/2020", "2020-02-03"),
        ("12/31/2009", "2009-12-31"),
        ("2006-05-19_16_17_47.0", "2006-05-19"),
        ("31/12/2009", ""),
        ("", ""),
    ],
)
def test_dates_are_month_day_year(text, date):
    assert adni.iso_date(text) == date


@pytest.mark.parametrize(
    ("description", "modality", "kind"),
    [
        ("MPRAGE", "MRI", "T1w"),
        ("MP-RAGE REPEAT", "MRI", "T1w"),
        ("Accelerated Sagittal MPRAGE (MSV21)", "MRI", "T1w"),
        ("ADNI       SH    MPRAGE", "MRI", "T1w"),
        ("IR-SPGR w/acceleration", "MRI", "T1w"),
        ("Accelerated Sag IR-FSPGR", "MRI", "T1w"),
        ("SAG 3D_IR_FSPGR", "MRI", "T1w"),
        ("MT1; GradWarp; N3m", "MRI", "T1w"),
        ("MPR-R; GradWarp; B1 Correction; N3; Scaled", "MRI", "T1w"),
        ("Axial T2-FLAIR", "MRI", "FLAIR"),
        ("Sagittal 3D FLAIR (MSV22)", "MRI", "FLAIR"),
        ("T2_FLAIR_SAG", "MR", "FLAIR"),
        ("Coreg, Avg, Standardized Image and Voxel Size", "PET", "PET"),
        ("AV45 Co-registered Dynamic", "PT", "PET"),
        ("[BRAIN_CTAC] AV45", "PT", "PET"),
        ("t2_tirm_tra_dark-fluid", "MR", "FLAIR"),
        ("T1+CSF", "MRI", "T1w"),
        ("MPRAGE+Coronal", "MRI", "T1w"),
        ("MPRAGE C-", "MRI", "T1w"),
        ("MPRAGE (cor)", "MRI", "T1w"),
    ],
)
def test_descriptions_of_images_that_are_used(description, modality, kind):
    assert SERIES.kind_of(modality, description) == kind


@pytest.mark.parametrize(
    ("description", "modality"),
    [
        ("3 Plane Localizer", "MRI"),
        ("3-plane localizer", "MRI"),
        ("MPRAGE scout", "MRI"),
        ("SAG T1 POST GAD", "MRI"),
        *(
            (f"MPRAGE{agent}", "MRI")
            for agent in ("+C", "+IV", "(C)", " pC", " i.v.", " +C", " C+")
        ),
        *(
            (f"{what}+C", "MRI")
            for what in ("Ax FLAIR", "SPGR", "FSPGR", "T1", "BRAVO ", "Sag T1 ")
        ),
        ("Spatially Normalized, Masked and N3 corrected T1 image", "MRI"),
        ("MT1; N3m; brain extracted", "MRI"),
        ("MPRAGE Phase", "MRI"),
        ("B1-calibration Head", "MRI"),
        ("Field Mapping", "MRI"),
        ("Axial T2 STAR", "MRI"),
        ("Axial DTI", "MRI"),
        ("Axial T1 FLAIR", "MRI"),
        ("HarP hippocampal Masks MPRAGE", "MRI"),
        ("AV45 Transmission", "PET"),
        ("AV1451 (NAC)", "PET"),
        ("Head CT", "CT"),
        ("MPRAGE", ""),
    ],
)
def test_descriptions_of_images_that_are_not_used(description, modality):
    with pytest.raises(DataError, match="not used"):
        SERIES.kind_of(modality, description)


@pytest.mark.parametrize(
    ("description", "header", "tracer"),
    [
        ("ADNI3_AV1451 (AC)", "", "tau"),
        ("TAU-AV-1451", "Fluorodeoxyglucose", "tau"),
        ("18F-av 45 Coreg, Avg", "", "amyloid"),
        ("PBR Dynamic", "", "tspo"),
        ("Co-registered Dynamic", "FLORBETAPIR", "amyloid"),
        ("Brain", "[11C]PBR28", "tspo"),
    ],
)
def test_the_tracer_is_found_in_the_description_or_in_the_header(description, header, tracer):
    assert tracer_of(description, header, TRACERS) == tracer


KNOWN = yaml.safe_load((REPOSITORY / "config" / "tracers.yaml").read_text(encoding="utf-8"))


def known_tracers():
    entries = {name: tracer(name, aliases=one["aliases"]) for name, one in KNOWN.items()}
    return ingest_settings(entries).tracers


@pytest.mark.parametrize("ligand", KNOWN)
@pytest.mark.parametrize("form", ["{}", "[18F]{}", "18F{}", "18f-{}", "F18{}", "Brain 11C{} AC"])
def test_every_ligand_is_known_with_its_radionuclide_in_one_word(ligand: str, form: str):
    tracers = known_tracers()
    for name in (ligand, *KNOWN[ligand]["aliases"]):
        if name[0].isalpha():  # PiB with 18F is flutemetamol
            found = [] if name.lower() == "pib" and "18" in form else [ligand]
            assert tracers_in(form.format(name), tracers) == found


@pytest.mark.parametrize(
    "text", ["118FAV45", "x18FAV45F", "FAV45", "CPBR28", "111CPBR28", "18FPIB"]
)
def test_a_name_within_a_longer_word_is_none(text: str):
    assert tracers_in(text, known_tracers()) == []


@pytest.mark.parametrize(
    "text",
    ["F-PiB", "3'-F-PiB", "[18F]F-PiB", "6-CN-PiB", "[18F]PBR-06", "PBR-111", "PBR 06", "pbr_102"],
)
def test_another_ligand_whose_name_ends_or_begins_alike_is_none(text: str):
    assert tracers_in(text, known_tracers()) == []
    own = ingest_settings({"mine": tracer("X", aliases=[text]), "amyloid": tracer("PiB")})
    assert tracers_in(f"Brain {text} AC", own.tracers) == ["mine"]


@pytest.mark.parametrize(
    ("text", "ligand"),
    [("PIB-20min", "PiB"), ("PBR 60-90 min", "PBR28"), ("PBR-28", "PBR28"), ("PET-C11-PIB", "PiB")],
)
def test_what_stands_beside_a_ligands_name_is_no_part_of_it(text: str, ligand: str):
    assert tracers_in(text, known_tracers()) == [ligand]


@pytest.mark.parametrize(
    ("description", "header", "reason"),
    [
        ("FDG Dynamic", "Fluorodeoxyglucose", "no window for its tracer"),
        ("PBR111", "", "no window for its tracer"),
        ("AV4512", "", "no window for its tracer"),
        ("AV45 and AV1451", "", "more than one tracer"),
        ("AV45", "Flortaucipir", "the description names amyloid, but the header"),
    ],
)
def test_a_pet_without_one_configured_tracer_is_refused(description, header, reason):
    with pytest.raises(DataError, match=reason):
        tracer_of(description, header, TRACERS)


def test_the_less_processed_product_of_a_scan_is_preferred():
    names = [
        "AV45 Coreg, Avg, Std Img and Vox Siz, Uniform 6mm Res",
        "AV45 Coreg, Avg, Standardized Image and Voxel Size",
        "AV45 Co-registered, Averaged",
        "AV45 Co-registered Dynamic",
        "AV45 Dynamic",
    ]
    assert sorted(names, key=lambda name: SERIES.product_of(name).rank) == names[::-1]
    assert [SERIES.product_of(name).averaged for name in names] == [True, True, True, False, False]


def test_collections_are_merged_and_contradictions_named(tmp_path: Path):
    one = write_csv(
        tmp_path / "one.csv",
        [
            csv_row(1, "941_S_0001", "MPRAGE", Age="75", **{"Acq Date": "2/3/2021"}),
            csv_row("2", "941_S_0002", "MPRAGE", Downloaded="3/1/2024"),
            csv_row(3, "941_S_0003", "MPRAGE"),
            csv_row("", "941_S_0004", "MPRAGE"),
        ],
    )
    two = write_csv(
        tmp_path / "two.csv",
        [
            csv_row(2, "941_S_0002", "MPRAGE", **{"Acq Date": "02/03/2020"}),
            csv_row(3, "941_S_0003", "MPRAGE", Visit="Screening"),
            csv_row(4, "941_S_0001", "MPRAGE", Age="74"),
        ],
    )
    collection = read_collections([one, two])
    assert set(collection.entries) == {"I1", "I2", "I3", "I4"}
    assert collection.conflicts == {
        "I3": "I3 stands in 2 rows of the collection that differ in visit"
    }
    assert [(e.image_id, reason) for e, reason in collection.unusable] == [
        ("", "one.csv, line 5: '' is not an image id"),
        ("I2", "repeats another row of the collection"),
        ("I3", collection.conflicts["I3"]),
    ]
    assert set(collection.subjects) == {f"941_S_000{k}" for k in range(1, 5)}
    assert collection.subjects["941_S_0001"].age == "74", "the earliest scan's row is the baseline"


def test_a_csv_of_another_kind_is_refused(tmp_path: Path):
    other = tmp_path / "other.csv"
    other.write_text("RID,VISCODE\n1,bl\n")
    with pytest.raises(ReladError, match="has no column 'Image Data ID' and 'Subject'"):
        read_collections([other])
    with pytest.raises(ReladError, match="no collection CSV in or beside this folder"):
        find_collections(tmp_path)
    empty = tmp_path / "empty.csv"
    empty.write_text(",".join(HEADER) + "\n")
    with pytest.raises(ReladError, match="lists no images"):
        read_collections([empty])


@pytest.mark.parametrize("nested", ["", "ADNI", "unpacked/ADNI"])
def test_the_tree_is_found_below_unpacked_downloads(tmp_path: Path, nested: str):
    image = tmp_path / nested / "002_S_1261/MP-RAGE/2007-02-15_09_00_00.0"
    for leaf, name in (("I40657", "a_I40657.dcm"), ("S27408", "b_S27408_I040660.nii")):
        (image / leaf).mkdir(parents=True)
        (image / leaf / name).touch()
    (image / "I40657" / "._a_I40657.dcm").touch()
    (image / "I40657" / "notes.xml").touch()
    found, unread = adni.find_series(tmp_path, [])
    assert unread == []
    assert [(f.image_id, f.ptid, f.description, f.date, len(f.files)) for f in found] == [
        ("I40657", "002_S_1261", "MP-RAGE", "2007-02-15", 1),
        ("I40660", "002_S_1261", "MP-RAGE", "2007-02-15", 1),
    ]


def test_another_study_is_found_by_the_collections_subjects(tmp_path: Path):
    folder = tmp_path / "NFL 07" / "T1" / "2019-01-01" / "I1"
    folder.mkdir(parents=True)
    (folder / "x_I1.dcm").touch()
    found, _ = adni.find_series(tmp_path, ["NFL 07"])
    assert [f.ptid for f in found] == ["NFL 07"]
    with pytest.raises(ReladError, match="is not a LONI download"):
        adni.find_series(tmp_path, [])
