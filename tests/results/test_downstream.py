"""Who is positive, told by what, and at what cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relad.data.window import to_unit
from relad.errors import ReladError
from relad.fileio import read_table, write_table
from relad.imaging import atlas
from relad.results import downstream, mri_only
from relad.results.discrimination import auc, paired_auc_p
from relad.results.downstream import (
    MRI_ONLY,
    NO_CUT,
    NO_METRICS,
    REAL,
    Scored,
    downstream_rows,
)
from relad.results.mri_only import OfFolds
from relad.results.regional import ONE_EACH
from relad.results.statistics import holm
from relad.results.study import Study
from relad.study.settings import Positivity, ResultSettings, typed
from tests.helpers.fake_study import AFFINE, FakeStudy, entry, make_settings, scores_of
from tests.helpers.positive import CUT, TRUE, rows_of, shrunk

DOWNSTREAM = entry("table", "downstream")
RATES = ("sensitivity", "specificity")


class Packed:
    """What the tables read of a packed cohort, where nothing is fitted."""

    role, path = "train", Path("packed")

    def __init__(self, folds: dict[str, int]):
        self.subjects = [{"subject": s, "fold": f} for s, f in folds.items()]


def with_folds(study: Study, monkeypatch: pytest.MonkeyPatch, folds: dict[str, int]) -> Study:
    def unfitted(
        study: Study, people: pd.DataFrame, folds: dict, cut: Positivity, fitted: OfFolds | None
    ) -> Scored:
        return Scored(people["positive"].to_numpy())

    monkeypatch.setattr(downstream, "_from_mri", unfitted)
    return replace(study, packed={"study": Packed(folds)})


def test_a_table_tells_the_ceiling_the_methods_and_the_template(tmp_path, monkeypatch) -> None:
    noisy = {**shrunk(0.5), "A": 1.9}
    rows = [*rows_of("rela", shrunk(0.5)), *rows_of("unet", noisy), *rows_of("template", shrunk(0))]
    folds = {s: int(s > "D") for s in TRUE}
    study = with_folds(scores_of(tmp_path, *rows), monkeypatch, folds)
    found = downstream_rows(study, DOWNSTREAM).set_index("method")
    assert list(found.index) == [REAL, "rela", "unet", "template", MRI_ONLY]
    assert set(found["n_positive"]) == {4} and set(found["n_negative"]) == {4}
    assert found.loc[REAL, ["auc", "sensitivity", "specificity"]].tolist() == [1, 1, 1]
    assert "by construction" in found.loc[REAL, "note"]
    # What is no sample has no interval, what is one has.
    ends = [f"{of}_{end}" for of in ("auc", *RATES) for end in ("low", "high")]
    assert found.loc[[REAL, "template"], ends].isna().all(axis=None)
    assert found.loc[["rela", "unet"], ends].notna().all(axis=None)
    assert found.loc["rela", "auc"] == 1 and 0.5 < found.loc["rela", "auc_low"] < 0.8
    label = np.array(list(TRUE.values())) >= CUT
    assert found.loc["unet", "auc"] == auc(np.array(list(noisy.values())), label)
    assert found.loc["template", "auc"] == 0.5
    assert "one image for everybody" in found.loc["template", "note"]
    # Shrunk by half about 1.5, everybody but A and B is at the cut of real PET or above.
    assert found.loc["rela", "sensitivity"] == 1
    assert found.loc["rela", "specificity"] == sum(v < CUT for v in shrunk(0.5).values()) / 4
    assert found.loc["rela", "specificity"] < found.loc["rela", "specificity_trained"] == 1


def test_where_each_model_tested_one_person_no_number_has_an_interval(tmp_path) -> None:
    """The mean of the others ranks everybody the wrong way round: an artefact, no estimate."""
    rest = {s: (sum(TRUE.values()) - v) / 7 for s, v in TRUE.items()}
    rows = [row | {"fold": "ABCDEFGH".index(row["subject"])} for row in rows_of("template", rest)]
    found = downstream_rows(scores_of(tmp_path, *rows), DOWNSTREAM).set_index("method")
    row = found.loc["template"]
    assert row["auc"] == 0 and ONE_EACH in row["note"]
    of = [f"{name}_{end}" for name in ("auc", *RATES) for end in ("low", "high")]
    assert row[of].isna().all() and row["sensitivity"] == 0.75


def test_an_own_cut_is_chosen_on_other_people_alone(tmp_path, monkeypatch) -> None:
    """Who is in a fold moves no cut of it: here people of one fold get scores 10 higher."""
    moved = {s: v + 10 * (s > "D") for s, v in TRUE.items()}
    folds = {s: int(s > "D") for s in TRUE}
    study = with_folds(scores_of(tmp_path, *rows_of("unet", moved)), monkeypatch, folds)
    row = downstream_rows(study, DOWNSTREAM).set_index("method").loc["unet"]
    # Cuts: of E to H for A to D, and the other way round; midway, the nearest to the tracer's.
    low, high = (1.1 + 1.5) / 2, (11.25 + 11.4) / 2
    assert row["cut_trained"] == pytest.approx((low + high) / 2)
    assert (row["sensitivity_trained"], row["specificity_trained"]) == (0.5, 0.5)


def test_with_one_fold_there_is_no_own_cut_and_it_is_said(tmp_path, monkeypatch) -> None:
    first = {s: v for s, v in TRUE.items() if s <= "D"}
    study = with_folds(
        scores_of(tmp_path, *rows_of("unet", first)), monkeypatch, dict.fromkeys(first, 0)
    )
    found = downstream_rows(study, DOWNSTREAM).set_index("method")
    row = found.loc["unet"]
    assert row["note"].startswith(NO_CUT.format("other folds")) and np.isnan(row["cut_trained"])
    assert "too few of a class to decide: no p below 0.33" in row["note"]
    assert "too few" not in found.loc[REAL, "note"]  # there is nothing to decide


def test_an_own_cut_needs_no_packed_data(tmp_path, monkeypatch) -> None:
    study = scores_of(tmp_path, *rows_of("unet", shrunk(0.5)))
    without = downstream_rows(study, DOWNSTREAM).set_index("method")
    given = with_folds(study, monkeypatch, {s: int(s > "D") for s in TRUE})
    with_packed = downstream_rows(given, DOWNSTREAM).set_index("method")
    assert without.loc["unet", "note"] == ""
    pd.testing.assert_series_equal(without.loc["unet"], with_packed.loc["unet"])


def test_elsewhere_it_is_said_whom_an_own_cut_lacks(tmp_path) -> None:
    away = [{**row, "cohort": "elsewhere"} for row in rows_of("unet", TRUE)]
    at_home = rows_of("unet", {s: v for s, v in TRUE.items() if v >= CUT})
    notes = []
    for name, home in (("none", []), ("positive", at_home)):
        (tmp_path / name).mkdir()
        found = downstream_rows(scores_of(tmp_path / name, *home, *away), DOWNSTREAM)
        of = found[(found["cohort"] == "elsewhere") & (found["method"] == "unet")]
        notes += of["note"].tolist()
    assert notes == [NO_METRICS, NO_CUT.format("the training cohort")]


def test_people_elsewhere_are_cut_by_everybody_at_home(tmp_path, monkeypatch) -> None:
    away = [{**row, "cohort": "elsewhere"} for row in rows_of("unet", TRUE)]
    rows = [*rows_of("unet", shrunk(0.5)), *away]
    folds = {s: int(s > "D") for s in TRUE}
    study = with_folds(scores_of(tmp_path, *rows), monkeypatch, folds)
    found = downstream_rows(study, DOWNSTREAM)
    row = found[(found["cohort"] == "elsewhere") & (found["method"] == "unet")].iloc[0]
    middle = 1.5 + 0.5 * ((1.25 + 1.4) / 2 - 1.5)
    assert row["cut_trained"] == pytest.approx(middle)


def test_one_class_alone_is_said(tmp_path, monkeypatch) -> None:
    some = {s: v for s, v in TRUE.items() if v >= CUT}
    folds = {s: int(s > "D") for s in some}
    study = with_folds(scores_of(tmp_path, *rows_of("unet", some)), monkeypatch, folds)
    row = downstream_rows(study, DOWNSTREAM).set_index("method").loc["unet"]
    assert (row["n_positive"], row["n_negative"]) == (4, 0) and np.isnan(row["auc"])
    assert "one class only" in row["note"] and row["sensitivity"] == 1
    assert np.isnan(row["specificity"])


def test_an_unknown_region_of_the_cut_is_refused(tmp_path) -> None:
    settings = make_settings()
    settings["tracers"]["tau"]["positivity"]["region"] = "nowhere"
    study = scores_of(tmp_path, *rows_of("unet", TRUE), settings=settings)
    with pytest.raises(ReladError, match=r"tracers\.tau\.positivity\.region names 'nowhere'"):
        downstream_rows(study, DOWNSTREAM)


def test_people_in_another_fold_than_they_were_tested_in_are_refused(tmp_path, monkeypatch) -> None:
    folds = {s: int(s > "C") for s in TRUE}
    study = with_folds(scores_of(tmp_path, *rows_of("unet", TRUE)), monkeypatch, folds)
    told = r"subjects\.tsv: subject D was tested in fold 0, but is packed in 1"
    with pytest.raises(ReladError, match=told):
        downstream_rows(study, DOWNSTREAM)


# --- MRI alone ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def visible(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """Twenty people per cohort, of whom MRI shows who is positive: half of them."""
    fake = FakeStudy(tmp_path_factory.mktemp("visible"), subjects=20, errors={"unet": 0.2})
    thalamus = atlas.region_mask("thalamus", fake.shape, AFFINE)
    for cohort in ("study", "elsewhere"):
        folder = fake.packed(cohort)
        mri, pet = np.load(folder / "mri.npy"), np.load(folder / "pet.npy")
        for person in range(20):
            mri[person, 0][fake.mask] = 0.3 * mri[person, 0][fake.mask] - 0.5 + person % 2
            pet[person, 0][thalamus] = to_unit(np.float32(1.0 + 0.6 * (person % 2)), (0.0, 4.0))
        np.save(folder / "mri.npy", mri)
        np.save(folder / "pet.npy", pet)
    fake.evaluate_all()
    return fake


def mri_rows(fake: FakeStudy) -> list[dict]:
    rows = downstream_rows(fake.read(), DOWNSTREAM)
    return rows[rows["method"] == MRI_ONLY].astype(object).fillna("").to_dict("records")


def test_what_mri_shows_is_found_at_home_and_elsewhere(visible) -> None:
    home, away = mri_rows(visible)
    assert (home["cohort"], home["n_positive"], home["n_negative"]) == ("study", 5, 5)
    assert (away["cohort"], away["n_positive"], away["n_negative"]) == ("elsewhere", 10, 10)
    for row in (home, away):
        assert row["auc"] == 1 and row["sensitivity"] == "" and row["sensitivity_trained"] == 1
    study = visible.read()  # elsewhere it needs no row of the people at home
    study.scores = study.scores[study.scores["cohort"] == "elsewhere"]
    alone = downstream_rows(study, DOWNSTREAM)
    assert alone.loc[alone["method"] == MRI_ONLY, "auc"].tolist() == [1]


def test_methods_are_tested_against_mri_alone_in_pairs(visible, monkeypatch) -> None:
    """One method tells as well as MRI, one nothing; what is so by construction is not tested."""
    given = {}

    def noted(first, second, positive):
        given[tuple(first)] = tuple(second)
        return paired_auc_p(first, second, positive)

    monkeypatch.setattr(downstream, "paired_auc_p", noted)
    study = visible.read()
    of = study.scores["cohort"].isin(["study", "elsewhere"]) & (study.scores["metric"] == "suvr")
    chance = study.scores[of].assign(method="rela")
    random = np.random.default_rng(0)
    chance["value"] = random.permutation(chance["value"].to_numpy())
    truth = study.scores[study.scores["metric"] == "suvr_true"].assign(method="rela")
    study.scores = pd.concat([study.scores, chance, truth], ignore_index=True)
    rows = downstream_rows(study, DOWNSTREAM).set_index(["cohort", "method"])["p_mri_only"]
    assert rows[:, REAL].isna().all() and rows[:, MRI_ONLY].isna().all()
    assert rows["elsewhere", "rela"] < 0.05
    assert rows["elsewhere", "rela"] < rows["elsewhere", "unet"]
    assert len(given) == 4 and {len(set(second)) for second in given.values()} != {1}
    p = [paired_auc_p(np.array(a), np.array(b), np.arange(20) % 2 == 1)
         for a, b in given.items() if len(a) == 20]  # fmt: skip
    told = [rows["elsewhere", m] for m in ("rela", "unet")]
    assert sorted(told) == pytest.approx(sorted(holm(p)))


def test_each_cohort_is_measured_and_each_model_fitted_once(visible, monkeypatch) -> None:
    """Two cohorts, two tracers with a cut, one fold that is tested: one model a tracer."""
    settings = make_settings()
    settings["tracers"]["amyloid"]["positivity"] = settings["tracers"]["tau"]["positivity"]
    study, made = visible.read(), {"features": 0, "fit": 0}
    study.settings = typed(ResultSettings, settings)

    def counted(name: str):
        original = getattr(mri_only, name)

        def call(*given):
            made[name] += 1
            return original(*given)

        return call

    for name in made:
        monkeypatch.setattr(mri_only, name, counted(name))
    found = downstream_rows(study, DOWNSTREAM)
    assert (found["method"] == MRI_ONLY).sum() == 4
    assert made == {"features": 2, "fit": 2}


def test_it_never_sees_the_pet_of_those_it_is_tested_on(visible, tmp_path) -> None:
    """Their labels in the packed data turned round: nothing changes."""
    before, other = mri_rows(visible), visible.copy(tmp_path / "turned")
    pet = np.load(other.packed("study") / "pet.npy")
    tested = [
        i
        for i, row in enumerate(read_table(other.packed("study") / "subjects.tsv"))
        if row["fold"] == "0"
    ]
    pet[tested] = pet[tested][::-1]
    assert (pet != np.load(visible.packed("study") / "pet.npy"))[tested].any()
    np.save(other.packed("study") / "pet.npy", pet)
    assert mri_rows(other) == before


def test_somebody_elsewhere_who_is_not_packed_is_named(visible, tmp_path) -> None:
    other = visible.copy(tmp_path / "renamed")
    file = other.packed("elsewhere") / "subjects.tsv"
    rows = read_table(file)
    gone = rows[0]["subject"]
    rows[0]["subject"] = "Z"
    write_table(file, rows, list(rows[0]))
    told = rf"subjects\.tsv: subject {gone} was tested in cohort elsewhere, but is not packed in it"
    with pytest.raises(ReladError, match=told):
        mri_rows(other)


def test_without_packed_data_and_with_few_people_it_says_why(visible, tmp_path) -> None:
    study = visible.read()
    study.packed = {}
    found = downstream_rows(study, DOWNSTREAM)
    note = found.loc[found["method"] == MRI_ONLY, "note"].iloc[0]
    assert note == "not fitted: give --packed of the training cohort"
    table = visible.packed("study") / "subjects.tsv"
    few = visible.copy(tmp_path / "few")
    rows = read_table(table)
    for row in rows:  # one negative person is left to train on
        if row["fold"] == "1" and int(row["index"]) % 2 == 0 and row["index"] != "0":
            row["tracers"] = "amyloid"
    write_table(few.packed("study") / "subjects.tsv", rows, list(rows[0]))
    assert "not fitted: fold 0 trains on n+ = 5, n- = 1" in mri_rows(few)[0]["note"]
