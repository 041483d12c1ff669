"""Collection CSVs as LONI and spreadsheets write them, and what other tables are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.cohort.adni import Entry, iso_date
from relad.cohort.collection import find_collections, is_day_first, read_collections, rows_of
from relad.cohort.images import day_of
from relad.cohort.sources import loni
from relad.errors import ReladError
from relad.steps.ingest import ingest
from tests.helpers.loni import HEADER, SETTINGS, A, csv_row, table, write_csv, write_mri, write_pet

#: LONI's table of all images since October 2024, as users quote its header.
ALL_IMAGES = "image_id,subject_id,study_id,series_id,image_visit,image_date,image_description"


def text_of(rows: list[dict], separator: str = ",", end: str = "\n") -> str:
    lines = [separator.join(HEADER)] + [separator.join(str(r[c]) for c in HEADER) for r in rows]
    return end.join(lines) + end


ROWS = [csv_row(1, A, "MPRAGE", Visit="Année 1"), csv_row(2, A, "AV1451", "PET")]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (text_of(ROWS), "utf-8"),
        (text_of(ROWS), "utf-8-sig"),
        (text_of(ROWS, ";"), "utf-8"),
        (text_of(ROWS, ";", "\r\n"), "cp1252"),
        ("sep=;\n" + text_of(ROWS, ";"), "utf-8"),
        (text_of(ROWS, "\t"), "utf-16"),
        ("\n" + text_of(ROWS), "utf-8"),
    ],
)
def test_a_collection_is_read_however_it_was_saved(tmp_path: Path, text: str, encoding: str):
    file = tmp_path / "c.csv"
    file.write_bytes(text.encode(encoding))
    assert find_collections(tmp_path) == [file]
    collection = read_collections([file])
    assert set(collection.entries) == {"I1", "I2"}
    assert collection.entries["I1"].visit == "Année 1"
    assert collection.entries["I1"].acq_date == "2020-02-03"
    assert loni.subjects({"path": str(tmp_path), "collection": [str(file)]})[0] == ["941S0001"]


def test_ids_that_a_program_made_numbers_are_ids(tmp_path: Path):
    rows = [
        csv_row("1.0", A, "MPRAGE"),
        csv_row("1.23457E+06", A, "MPRAGE"),
        csv_row("S7", A, "MPRAGE"),
    ]
    collection = read_collections([write_csv(tmp_path / "c.csv", rows)])
    assert set(collection.entries) == {"I1"}
    assert [reason for _, reason in collection.unusable] == [
        "c.csv, line 3: '1.23457E+06' is not an image id (a spreadsheet rounded it)",
        "c.csv, line 4: 'S7' is not an image id",
    ]


def test_the_archives_table_of_all_images_is_read(tmp_path: Path):
    write_mri(tmp_path / "loni", A, 1, "MPRAGE")
    write_pet(tmp_path / "loni", A, 2, "AV1451")
    lines = [
        ALL_IMAGES,
        f"1,{A},10,20,ADNI3 Year 1 Visit,2020-02-03,MPRAGE",
        f"I2,{A},10,21,ADNI3 Year 1 Visit,2020-02-03 00:00:00.0,AV1451",
    ]
    (tmp_path / "All_Subjects_All_Images_01Jan2026.csv").write_text("\n".join(lines))
    ingest(tmp_path / "loni", tmp_path / "bids", SETTINGS)
    got = table(tmp_path / "bids")
    assert {i: (r["status"], r["kind"], r["acq_date"], r["session"]) for i, r in got.items()} == {
        "I1": ("kept", "T1w", "2020-02-03", "ADNI3Year1Visit"),
        "I2": ("kept", "PET", "2020-02-03", "ADNI3Year1Visit"),
    }


def test_beside_a_collection_the_table_of_all_images_is_not_taken_too(tmp_path: Path):
    usual = write_csv(tmp_path / "collection.csv", ROWS)
    (tmp_path / "All_Images.csv").write_text(f"{ALL_IMAGES}\n1,{A},1,1,v,2020-02-03,MPRAGE\n")
    assert find_collections(tmp_path) == [usual]


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("RID,COLPROT,PTID,SITE,VISCODE,EXAMDATE,IMAGEUID", "a study table"),
        ("PHASE,PTID,VISCODE2,FIELD", "no column 'Image Data ID' and 'Subject'"),
        ("FLDNAME,TBLNAME,TEXT", "a data dictionary"),
        ("participant_id;age;sex", "a BIDS participants table"),
    ],
)
def test_other_tables_are_named_for_what_they_are(tmp_path: Path, header: str, what: str):
    file = tmp_path / "ADNIMERGE.csv"
    file.write_text(f"{header}\n1,2,3\n")
    with pytest.raises(ReladError) as error:
        rows_of(file)
    assert what in str(error.value)
    assert "expected the collection CSV" in str(error.value)
    with pytest.raises(ReladError, match="no collection CSV in or beside this folder"):
        find_collections(tmp_path)


def test_a_spreadsheet_and_bytes_are_no_csv(tmp_path: Path):
    book = tmp_path / "collection.csv"
    book.write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(ReladError, match="is a spreadsheet, no CSV -- save it as CSV"):
        rows_of(book)
    book.write_bytes(bytes(range(256)))
    with pytest.raises(ReladError, match="is no text"):
        rows_of(book)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2/3/2020", "2020-02-03"),
        ("2/3/2020 0:00", "2020-02-03"),
        ("2/3/20", "2020-02-03"),
        ("2020/02/03", "2020-02-03"),
        ("20200203", "2020-02-03"),
        ("03.02.2020", "2020-02-03"),
        ("03-Feb-2020", "2020-02-03"),
        ("2020-02-03T08:00:00", "2020-02-03"),
        ("43864", ""),
        ("2020023", ""),
        ("13/13/2020", ""),
    ],
)
def test_dates_as_programs_write_them(text: str, day: str):
    assert iso_date(text) == day


def test_a_table_is_day_first_where_some_date_can_be_nothing_else():
    assert is_day_first(["01/03/2020", "20/02/2020"])
    assert not is_day_first(["01/03/2020", "02/20/2020", "20/02/2020"]), "it says both"
    assert not is_day_first(["01/03/2020", "2020-02-20"])


@pytest.mark.parametrize(
    ("stated", "folder", "day", "note"),
    [
        ("2/3/2020", "2020-02-03", "2020-02-03", None),
        ("2/3/2020", "", "2020-02-03", None),
        ("2/3/2020", "2020-03-02", "2020-03-02", "its date 2/3/2020 was read as the folder has it"),
        ("2/3/2020", "2020-07-01", "2020-02-03", "states the date 2020-02-03, its folder 2020-07"),
        ("43864", "2020-02-03", "2020-02-03", "its date '43864' is none that can be read"),
        ("", "2020-02-03", "2020-02-03", None),
    ],
)
def test_a_date_that_the_folder_contradicts_is_a_note_with_both(stated, folder, day, note):
    entry = Entry("I1", A, acq_date=iso_date(stated) or stated, stated_date=stated)
    got, said = day_of(entry, folder, "folder")
    assert got == day
    assert (said is None) if note is None else (note in said)


def test_a_date_that_the_header_contradicts_is_a_note_with_both(tmp_path: Path):
    write_mri(tmp_path / "loni", A, 1, "MPRAGE", change=lambda d, k, f: setattr(
        d, "AcquisitionDate", "20210101") or setattr(d, "SeriesDate", "20210101")
        or setattr(d, "StudyDate", "20210101"))  # fmt: skip
    write_csv(tmp_path / "c.csv", [csv_row(1, A, "MPRAGE")])
    ingest(tmp_path / "loni", tmp_path / "bids", SETTINGS)
    row = table(tmp_path / "bids")["I1"]
    assert row["acq_date"] == "2020-02-03"
    assert row["note"] == "its table states the date 2020-02-03, its header 2021-01-01"
