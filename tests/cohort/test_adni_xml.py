"""LONI's metadata XML beside images."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad.cohort import adni_xml
from relad.cohort.adni import Entry
from relad.errors import DataError
from relad.fileio import read_json, read_table
from relad.steps.ingest import ingest
from tests.helpers.loni import csv_row, folder, write_csv
from tests.helpers.settings import ingest_settings, tracer

PTID = "941_S_0001"
XML = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<idaxs xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><project>
  <projectIdentifier>ADNI</projectIdentifier>
  <subject>
    <subjectIdentifier>{ptid}</subjectIdentifier>
    <researchGroup>MCI</researchGroup><subjectSex>M</subjectSex>
    <visit><visitIdentifier>ADNI3 Year 2 Visit</visitIdentifier></visit>
    <study>
      <studyIdentifier>1</studyIdentifier><subjectAge>71.5</subjectAge>
      <series>
        <seriesIdentifier>7</seriesIdentifier><modality>PET</modality>
        <dateAcquired>{date}</dateAcquired>
        <seriesLevelMeta><relatedImageDetail><originalRelatedImage>
          <imageUID>1</imageUID><description>Brain</description>
          <protocolTerm>
            <protocol term="Radiopharmaceutical">18F-AV1451</protocol>
            <protocol term="Manufacturer">Siemens</protocol>
          </protocolTerm>
        </originalRelatedImage></relatedImageDetail></seriesLevelMeta>
      </series>
    </study>
  </subject>
</project></idaxs>
"""


def write_xml(path: Path, ptid: str = PTID, date: str = "2020-02-03 11:05:00.0") -> Path:
    path.write_text(XML.format(ptid=ptid, date=date), encoding="utf-8")
    return path


def test_what_an_xml_tells(tmp_path: Path):
    told = adni_xml.read_xml(write_xml(tmp_path / "ADNI_941_S_0001_PET_S7_I01.xml"))
    assert told.entry == Entry(
        "I1", PTID, "MCI", "M", "71.5", "ADNI3 Year 2 Visit", "PET", "Brain", "", "2020-02-03"
    )
    assert told.sidecar == {"Radiopharmaceutical": "18F-AV1451", "Manufacturer": "Siemens"}


def test_it_fills_empty_cells_and_overrides_none(tmp_path: Path):
    told = adni_xml.read_xml(write_xml(tmp_path / "x_I1.xml"))
    entry = adni_xml.complete(Entry("I1", PTID, group="CN", visit=""), told)
    assert (entry.group, entry.visit, entry.sex) == ("CN", "ADNI3 Year 2 Visit", "M")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ptid": "941_S_0002"}, "x_I1.xml: states the subject 941_S_0002, the collection"),
        ({"date": "2019-02-03"}, "x_I1.xml: states the date 2019-02-03, the collection 2020-02-03"),
    ],
)
def test_a_contradiction_is_a_reason(tmp_path: Path, change: dict, reason: str):
    told = adni_xml.read_xml(write_xml(tmp_path / "x_I1.xml", **change))
    with pytest.raises(DataError, match=reason):
        adni_xml.complete(Entry("I1", PTID, acq_date="2020-02-03"), told)


def test_the_tracer_of_a_nifti_is_taken_from_the_xml_and_a_broken_xml_is_a_reason(tmp_path: Path):
    for image in (1, 2):
        file = folder(tmp_path / "loni", PTID, "Brain", f"I{image}") / f"a_I{image}.nii.gz"
        file.parent.mkdir(parents=True)
        data = np.random.default_rng(image).random((6, 7, 8), dtype=np.float32)
        made = nib.Nifti1Image(data, np.diag([2.0, 2, 3, 1]))
        made.set_qform(made.affine, 1)
        nib.save(made, file)
    write_xml(tmp_path / "loni" / "ADNI_x_I1.xml")
    (tmp_path / "loni" / "ADNI_x_I2.xml").write_text("<idaxs>")
    rows = [csv_row(k, PTID, "Brain", "PET", Visit=f"v{k}", Sex="") for k in (1, 2)]
    write_csv(tmp_path / "c.csv", rows)
    out = tmp_path / "bids"
    ingest(tmp_path / "loni", out, ingest_settings({"tau": tracer("AV1451")}))
    got = {r["image_id"]: r for r in read_table(out / "ingest.tsv")}
    assert (got["I1"]["status"], got["I1"]["tracer"]) == ("kept", "tau")
    assert got["I1"]["note"] == "units unknown; frame times unknown"
    assert got["I2"]["reason"].startswith("ADNI_x_I2.xml: not readable metadata")
    assert read_json(next(out.rglob("*_pet.json")))["Manufacturer"] == "Siemens"
