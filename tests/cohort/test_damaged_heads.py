"""Folders of heads that cannot be used: one line names the file, what is wrong and what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from relad.errors import ReladError
from relad.steps.phantom import simulate
from relad.study.settings import PhantomSettings, typed
from relad.study.subjects import cohort_subjects
from tests.helpers.heads import PEOPLE, hybrid_settings, own_scheme, save, two_heads, write_people


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return two_heads(tmp_path_factory.mktemp("of heads"))


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """A folder of one's own to damage."""
    return shutil.copytree(folder, tmp_path / "heads")


def _image(folder: Path, suffix: str, change) -> None:
    file = folder / f"old_{suffix}.nii.gz"
    image = nib.load(file)
    data, affine = change(np.asarray(image.dataobj).copy(), image.affine.copy())
    save(folder, f"old_{suffix}", data, affine)


def _shifted(data, affine):
    affine[0, 3] += 3
    return data, affine


def _without(*numbers):
    def change(data, affine):
        data[np.isin(data, numbers)] = 1
        return data, affine

    return change


DAMAGE = {
    "no folder": (shutil.rmtree, "no such folder of heads"),
    "no list": (lambda f: (f / "participants.csv").unlink(), r"participants\.csv: no such table"),
    "nobody": (lambda f: write_people(f, {}), r"participants\.csv: lists nobody"),
    "no column": (
        lambda f: (f / "participants.csv").write_text("MRID,Sex\nold,F\n"), "has no column age"
    ),
    "age": (lambda f: write_people(f, {"old": ("", "F")}), "the age of old is not given"),
    "age in words": (lambda f: write_people(f, {"old": ("old", "F")}), "the age of old is old"),
    "sex": (lambda f: write_people(f, {"old": (80, "x")}), "the sex of old is X, not M, F"),
    "twice": (
        lambda f: (f / "participants.csv").write_text("MRID,Age,Sex\nold,80,F\nold,81,F\n"),
        "lists old twice",
    ),
    "name": (lambda f: write_people(f, {"../old": (80, "F")}), "not a person's id"),
    "no T1w": (lambda f: (f / "old_T1.nii.gz").unlink(), r"old_T1\.nii\.gz: no such file"),
    "no labels": (
        lambda f: (f / "old_T1_DLMUSE.nii.gz").unlink(), r"old_T1_DLMUSE\.nii\.gz: no such file"
    ),
    "FLAIR without lesions": (
        lambda f: (f / "old_FL_DLWMLS.nii.gz").unlink(),
        r"old_FL_DLWMLS\.nii\.gz: no such file, though there is its FLAIR",
    ),
    "lesions without FLAIR": (
        lambda f: (f / "old_FL.nii.gz").unlink(),
        r"old_FL\.nii\.gz: no such file, though there are its hyperintensities",
    ),
    "grid of the labels": (
        lambda f: _image(f, "T1_DLMUSE", _shifted),
        r"old_T1_DLMUSE\.nii\.gz: lies on another grid than old_T1\.nii\.gz",
    ),
    "grid of the lesions": (
        lambda f: _image(f, "FL_DLWMLS", lambda d, a: (d[:-1], a)),
        r"old_FL_DLWMLS\.nii\.gz: lies on another grid than old_FL\.nii\.gz",
    ),
    "empty labels": (
        lambda f: _image(f, "T1_DLMUSE", lambda d, a: (0 * d, a)),
        r"old_T1_DLMUSE\.nii\.gz: holds no labels",
    ),
    "labels of a region": (
        lambda f: _image(f, "T1_DLMUSE", _without(47, 48)),
        r"old_T1_DLMUSE\.nii\.gz: holds no label of hippocampus",
    ),
    "labels of another scheme": (
        lambda f: _image(f, "T1_DLMUSE", lambda d, a: ((d + (d > 0) * 1000.0).astype("i2"), a)),
        "100% of its voxels have labels that are not known, such as 1001",
    ),
    "no whole numbers": (
        lambda f: _image(f, "T1_DLMUSE", lambda d, a: ((d * 0.5).astype("f4"), a)),
        r"old_T1_DLMUSE\.nii\.gz: is no label image: its values are not whole numbers",
    ),
    "truncated": (
        lambda f: (f / "old_T1.nii.gz").write_bytes((f / "old_T1.nii.gz").read_bytes()[:9000]),
        r"old_T1\.nii\.gz: cannot be read",
    ),
    "table of labels": (
        lambda f: own_scheme(f, skip="thalamus"), r"labels\.tsv: names no label of thalamus"
    ),
    "line of the table": (
        lambda f: (own_scheme(f), (f / "labels.tsv").write_text(
            "index\tregion\themisphere\n7\tcortex\tleft\n")),
        r"labels\.tsv: line 2 is not a label, a region and a hemisphere",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_what_cannot_be_used_is_told_in_one_line(copy, tmp_path, case):
    damage, message = DAMAGE[case]
    write_people(copy, {"old": PEOPLE["old"]})
    damage(copy)
    with pytest.raises(ReladError, match=message) as error:
        simulate(tmp_path / "out", "hybrid", typed(PhantomSettings, hybrid_settings(copy)))
    assert error.value.file is not None and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("phantom", "message"),
    [
        ({"scanner": "alpha"}, "neither subjects nor heads"),
        ({"scanner": "alpha", "subjects": 2, "site": 1, "heads": "x"}, "both subjects and heads"),
        ({"scanner": "alpha", "subjects": 2}, "has subjects and no site"),
    ],
)
def test_an_entry_names_subjects_or_heads(phantom, message):
    with pytest.raises(ReladError, match=message):
        cohort_subjects("c", {"source": "phantom", "phantom": phantom})
