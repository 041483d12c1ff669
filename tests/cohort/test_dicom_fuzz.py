"""Fuzzed DICOM headers through ``relad ingest``; ``python -m tests.cohort.dicom_fuzz`` for all."""

from __future__ import annotations

import pytest

from tests.cohort import dicom_fuzz


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dicom_fuzz.Result], str]:
    """Outcomes of every kind of damage to every kind of series, twice."""
    count = 2 * len(dicom_fuzz.KINDS) * len(dicom_fuzz.DAMAGE)
    return dicom_fuzz.run(tmp_path_factory.mktemp("fuzz"), count)


def test_no_fuzzed_header_changes_an_image_unnoticed(found):
    results, _ = found
    assert [r for r in results if r.outcome.endswith("UNNOTICED")] == []
    kept = [r for r in results if r.outcome.startswith("kept")]
    dropped = [r for r in results if r.outcome.startswith("dropped")]
    assert min(len(kept), len(dropped)) > len(results) / 5, "both fates are tried"


def test_no_fuzzed_header_ends_in_a_traceback(found):
    results, said = found
    assert "Traceback" not in said
    assert all(len(r.said) > 10 for r in results if r.outcome.startswith("dropped"))
    assert not [r for r in results if "Error:" in r.said]


def test_cut_pixels_are_never_kept(found):
    cut = [r for r in found[0] if r.fuzzed.damage == "truncated"]
    assert {r.outcome for r in cut} == {"dropped, with the reason"}
