"""``relad ceiling``: what anatomy determines of simulated PET against it; and who never sees it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from relad import cli
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json, read_table
from relad.study import paths
from tests.helpers.fake_study import FakeStudy, amend
from tests.helpers.settings import file_of
from tests.helpers.trainings import settings, train


@pytest.fixture
def fake(tmp_path) -> FakeStudy:
    return FakeStudy(tmp_path, subjects=4, errors={"unet": 0.2})


def test_rows_are_of_everybody_and_of_the_errors_in_their_brains(fake):
    out = fake.know_ceiling("study")
    rows = read_table(out)
    assert {(r["method"], r["sampler"], r["seed"]) for r in rows} == {("ceiling", "none", None)}
    data = PackedDataset(fake.packed("study"))
    assert {(r["subject"], r["fold"]) for r in rows} == {
        (row["subject"], str(row["fold"])) for row in data.subjects
    }
    psnr = {(r["subject"], r["tracer"]): float(r["value"]) for r in rows if r["metric"] == "psnr"}
    assert len(psnr) == len(data.pairs()) == 7
    for i, k in data.pairs():
        error = (data.ceiling()[i, k] - data.pet[i, k])[data.mask[i]]
        expected = 10 * np.log10(2.0**2 / np.mean(np.square(error, dtype=np.float64)))
        found = psnr[data.subjects[i]["subject"], data.tracers[k]]
        assert found == pytest.approx(expected, rel=1e-4)
    record = read_json(out.with_suffix(".json"))
    assert record["provenance"]["step"] == "ceiling" and record["kind"] == "simulated"


def test_it_is_measured_where_the_pet_was_seen(fake):
    whole = read_table(fake.know_ceiling("study"))
    file = fake.packed("study") / "pet.npy"
    cut = np.load(file)
    cut[..., 8:][np.broadcast_to(fake.mask[..., 8:], cut[..., 8:].shape)] = np.nan
    np.save(file, cut)
    rows = read_table(fake.know_ceiling("study"))
    psnr = [[float(r["value"]) for r in of if r["metric"] == "psnr"] for of in (whole, rows)]
    assert np.isfinite(psnr).all() and psnr[0] != psnr[1]


def test_in_an_external_cohort_nobody_has_a_fold(fake):
    assert {r["fold"] for r in read_table(fake.know_ceiling("elsewhere"))} == {None}


@pytest.mark.parametrize("kind", ["real", "simulated"])
def test_a_cohort_of_which_nobody_knows_it_is_refused(tmp_path, capsys, kind):
    fake = FakeStudy(tmp_path, subjects=4, errors={"unet": 0.2}, kind=kind)
    out = tmp_path / "out.csv"
    assert cli.main(["ceiling", str(fake.packed("study")), str(out)]) == 2
    said = capsys.readouterr().err
    assert "holds nothing of what anatomy determines" in said and "normalize with --truth" in said
    assert not out.exists()


def test_volumes_that_are_lost_or_of_another_size_are_told(fake):
    fake.know_ceiling("study")
    data = PackedDataset(fake.packed("study"))
    np.save(data.path / "ceiling.npy", np.zeros(3))
    with pytest.raises(ReladError, match=r"ceiling\.npy: has shape"):
        data.ceiling()
    (data.path / "ceiling.npy").unlink()
    with pytest.raises(ReladError, match=r"ceiling\.npy: cannot be read"):
        data.ceiling()


@pytest.mark.parametrize("method", ["rela", "unet", "template"])
def test_no_method_is_given_it(packed, tmp_path, method):
    """Weights and images are the same to the bit where it is there, poisoned, and taken away."""
    made = {}
    for name in ("none", "known", "lost"):
        folder = shutil.copytree(packed, tmp_path / name / "packed")
        if name != "none":
            amend(folder / "dataset.json", ceiling=True, sha256={"ceiling": name})
        if name == "known":
            np.save(folder / "ceiling.npy", np.full_like(np.load(folder / "pet.npy"), 1e9))
        part = settings(validation={"subjects": 1, "every": 4, "steps": 1}, updates=4)
        assert train(folder, tmp_path / name / "model", method, part) == 0
        given = [str(tmp_path / name / "model"), str(folder), str(tmp_path / name / "out")]
        assert cli.main(["synthesize", *given, "--settings", file_of(part)]) == 0
        files = [tmp_path / name / "model/model.safetensors"]
        files += sorted((tmp_path / name / "out").glob("*.nii.gz"))
        made[name] = [file.read_bytes() for file in files]
    assert len(made["none"]) > 3
    assert made["none"] == made["known"] == made["lost"]


def test_a_model_is_of_the_same_data_whether_it_is_known_or_not(packed, tmp_path):
    plain = PackedDataset(packed).fingerprint
    folder = shutil.copytree(packed, tmp_path / "packed")
    amend(folder / "dataset.json", ceiling=True)
    assert PackedDataset(folder).fingerprint == plain
    amend(folder / "dataset.json", sha256={"pet": "another"})
    assert PackedDataset(folder).fingerprint != plain
    other = PackedDataset(folder).fingerprint
    amend(folder / "dataset.json", sha256={"ceiling": "another"})
    assert PackedDataset(folder).fingerprint == other


def test_its_rows_lie_where_tables_look_for_metrics():
    assert paths.ceiling("study").match("metrics/*/*/*.csv")
