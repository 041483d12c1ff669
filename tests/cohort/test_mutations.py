"""Damaged files through ``relad ingest``; ``python -m tests.cohort.mutations`` makes the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cohort import mutations


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[mutations.Result]:
    """Outcome of every damaged image where the files alone can tell (run() checks bystanders)."""
    return mutations.run(tmp_path_factory.mktemp("alone"), 500, checksums=False, jobs=2)


def test_every_damaged_image_has_a_row_and_every_dropped_one_a_reason(alone):
    assert len(alone) == 500
    dropped = [r for r in alone if r.outcome.startswith("dropped")]
    assert len(dropped) > 250
    assert all(len(r.reason) > 10 for r in dropped)
    assert not [r.reason for r in dropped if "Traceback" in r.reason]


def test_files_that_end_early_are_never_kept(alone):
    ended = [r for r in alone if r.mutation.damage in ("cut", "empty")]
    assert len(ended) > 50
    assert {r.outcome for r in ended} == {"dropped, with the reason"}


def test_packed_files_are_kept_only_unharmed(alone):
    packed = [
        r for r in alone if r.mutation.format == "nii_gz" and "header" not in r.mutation.damage
    ]
    assert len(packed) > 50
    kept = {r.outcome for r in packed if not r.outcome.startswith("dropped")}
    assert kept <= {"kept, voxels unharmed"}


def test_what_no_file_can_prove_is_small_or_noted(alone):
    changed = [r for r in alone if r.outcome.startswith("kept, voxels changed")]
    unnoticed = [r for r in changed if r.outcome.endswith("unnoticed")]
    assert not [r for r in alone if r.outcome == "kept, geometry changed"]
    assert {r.mutation.damage for r in unnoticed} <= {"flip_bit", "zero_block"}
    flips = [r for r in unnoticed if r.mutation.damage == "flip_bit"]
    assert all(r.change < 0.6 and r.share < 1e-3 for r in flips), "one voxel, by less than a spike"
    assert len(unnoticed) < len(changed) / 3


def test_with_checksums_no_damage_passes(tmp_path: Path):
    found = mutations.run(tmp_path, 100, checksums=True)
    assert {r.outcome for r in found} == {"dropped, with the reason"}
