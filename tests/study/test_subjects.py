"""Who is in a cohort, from its configuration entry alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from relad.cohort.sources.phantom import ptids
from relad.errors import ReladError
from relad.study.paths import REPOSITORY
from relad.study.subjects import bids_label, check_counts, cohort_subjects
from tests.helpers.packing import write_packed


def test_label_keeps_the_whole_identifier():
    # Cutting identifiers short has merged subjects of training and test before.
    assert bids_label("941_S_0001") == "941S0001"
    assert bids_label("002_S_1261") != bids_label("002_S_12610")


def test_label_of_nothing_is_refused():
    with pytest.raises(ReladError, match="no letter or digit"):
        bids_label("__")


def test_phantom_identifiers_have_adni_form():
    entry = {"subjects": 3, "site": 41, "scanner": "alpha"}
    assert ptids(3, 41) == ["041_S_0001", "041_S_0002", "041_S_0003"]
    labels = cohort_subjects("sim", {"source": "phantom", "phantom": entry})
    assert labels == ["041S0001", "041S0002", "041S0003"]


@pytest.mark.parametrize("entry", [{"subjects": 0, "site": 1}, {"subjects": 1, "site": 1000}])
def test_impossible_phantom_counts_are_refused(entry):
    with pytest.raises(ReladError):
        ptids(entry["subjects"], entry["site"])


def _collection(folder: Path, *subjects: str, column: str = "Subject") -> dict:
    path = folder / "collection.csv"
    rows = "".join(f'"I{n}","{subject}"\n' for n, subject in enumerate(subjects))
    # LONI's files may begin with a byte order mark.
    path.write_text(f'\ufeff"Image Data ID","{column}"\n{rows}', encoding="utf-8")
    return {"source": "loni", "path": str(folder), "collection": str(path)}


def test_loni_subjects_are_listed_once_and_sorted(tmp_path):
    entry = _collection(tmp_path, "002_S_2", "002_S_1", "002_S_2", "")
    assert cohort_subjects("adni", entry) == ["002S1", "002S2"]


def test_two_loni_subjects_with_one_label_are_refused(tmp_path):
    with pytest.raises(ReladError, match="one BIDS label"):
        cohort_subjects("adni", _collection(tmp_path, "002_S_1", "002-S-1"))


def test_unusable_collections_name_the_file(tmp_path):
    with pytest.raises(ReladError, match=r"collection\.csv: has no column 'Subject'"):
        cohort_subjects("adni", _collection(tmp_path, "002_S_1", column="PTID"))
    with pytest.raises(ReladError, match=r"collection\.csv: cohort 'adni' has no subjects"):
        cohort_subjects("adni", _collection(tmp_path))
    with pytest.raises(ReladError, match=r"none\.csv"):
        cohort_subjects("adni", {"source": "loni", "collection": str(tmp_path / "none.csv")})


def test_bids_subjects_are_folders(tmp_path):
    for name in ("sub-b", "sub-a", "derivatives"):
        (tmp_path / name).mkdir()
    (tmp_path / "sub-file.tsv").touch()
    assert cohort_subjects("study", {"source": "bids", "path": str(tmp_path)}) == ["a", "b"]
    with pytest.raises(ReladError, match="no such BIDS folder"):
        cohort_subjects("study", {"source": "bids", "path": str(tmp_path / "gone")})


def test_unknown_source_is_refused():
    with pytest.raises(ReladError, match="no source 'xnat' -- known sources: bids, loni, packed"):
        cohort_subjects("study", {"source": "xnat"})


def test_needs_the_standard_library_only():
    # The Snakefile imports it with whatever Snakemake was installed with.
    code = (
        "import sys; from relad.study.subjects import known_sources, load_source;"
        "[load_source(name) for name in known_sources()];"
        "print(*sorted({'numpy', 'nibabel', 'pydicom', 'pandas'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


@pytest.mark.parametrize(
    ("people", "folds", "validation", "said"),
    [
        (3, 4, 0, "folds.count is 4, but cohort c has 3 people"),
        (8, 4, 6, r"validation.subjects is 6, but of the 8 people .* leaves 6"),
        (9, 4, 6, r"validation.subjects is 6, but of the 9 people .* leaves 6"),
        (8, 4, 5, None),
        (4, 4, 0, None),
    ],
)
def test_a_cohort_too_small_for_its_study_is_refused(people, folds, validation, said):
    arguments = {"folds": folds, "validation": validation, "others": "S1 (no FLAIR)"}
    if said is None:
        check_counts("c", people, **arguments)
        return
    with pytest.raises(ReladError, match=rf"{said}.*cannot be used: S1 \(no FLAIR\)"):
        check_counts("c", people, **arguments)


def test_a_packed_cohort_keeps_its_name(tmp_path):
    """Else hours of training end in tables that do not know its rows."""
    entry = {"source": "packed", "path": str(write_packed(tmp_path / "elsewhere", cohort="toy"))}
    assert cohort_subjects("toy", entry) == [f"S{i:03d}" for i in range(6)]
    with pytest.raises(ReladError, match=r"dataset\.json: cohorts\.mine is .*'toy' -- write coh"):
        cohort_subjects("mine", entry)
