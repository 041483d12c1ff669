"""The way from the floor to the ceiling: by hand, its interval, and what it is never part of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from relad.errors import ReladError
from relad.results.ceiling import ceiling_values, ratio_of_means, ways
from relad.results.scores import mean_over_tracers
from relad.results.statistics import mean_interval
from relad.study.catalogue import CEILING
from tests.helpers.fake_study import entry, score, scores_of

MAIN, EXTERNAL = (replace(entry("table", n), metrics=("psnr",)) for n in ("main", "external"))
METHODS = ["rela", "unet", "template"]
SUBJECTS = ("A", "B", "C", "D")
#: Mean squared errors of four people, as shares of the squared data range.
ERRORS = {
    "template": [0.040, 0.050, 0.030, 0.060],
    "unet": [0.020, 0.030, 0.025, 0.020],
    CEILING: [0.010, 0.012, 0.009, 0.011],
}


def db(error: float) -> float:
    return -10 * np.log10(error)


def rows(errors=ERRORS, **changes):
    return [
        score(method=method, subject=subject, value=db(error), **changes)
        for method, of in errors.items()
        for subject, error in zip(SUBJECTS, of, strict=True)
    ]


def way_of(study, method="unet"):
    found = ways(study, MAIN, METHODS)
    return found[found["method"] == method].iloc[0]


def test_the_way_is_of_mean_squared_errors(tmp_path):
    study = scores_of(tmp_path, *rows())
    template, unet, best = (np.array(ERRORS[m]) for m in ERRORS)
    expected = 100 * (template - unet).mean() / (template - best).mean()
    found = way_of(study)
    assert found["way"] == pytest.approx(expected)
    assert found["way_low"] < expected < found["way_high"]
    for method, way in (("template", 0.0), (CEILING, 100.0)):
        known = way_of(study, method)
        assert known["way"] == way and np.isnan([known["way_low"], known["way_high"]]).all()


def test_errors_and_not_decibels_are_averaged_over_seeds(tmp_path):
    other = {m: of for m, of in ERRORS.items() if m != CEILING}
    other["unet"] = [5 * error for error in ERRORS["unet"]]
    study = scores_of(tmp_path, *rows(), *rows(other, seed=1))
    template, unet, best = (np.array(ERRORS[m]) for m in ERRORS)
    expected = 100 * (template - 3 * unet).mean() / (template - best).mean()
    assert way_of(study)["way"] == pytest.approx(expected)


def test_noise_of_the_pet_drops_out(tmp_path):
    noisy = {m: [error + 0.02 for error in of] for m, of in ERRORS.items()}
    quiet, loud = (
        way_of(scores_of(tmp_path / str(len(of)), *of))["way"]
        for of in (rows(), rows(noisy) + rows(noisy, metric="mae"))
    )
    assert loud == pytest.approx(quiet)


def test_no_ceiling_no_floor_and_a_ceiling_below_it_have_no_way(tmp_path):
    known = {m: of for m, of in ERRORS.items() if m != CEILING}
    assert ways(scores_of(tmp_path / "a", *rows(known)), MAIN, METHODS).empty
    no_floor = {m: of for m, of in ERRORS.items() if m != "template"}
    assert ways(scores_of(tmp_path / "b", *rows(no_floor)), MAIN, METHODS).empty
    upside_down = ERRORS | {CEILING: [0.1, 0.1, 0.1, 0.1]}
    assert np.isnan(way_of(scores_of(tmp_path / "c", *rows(upside_down)))["way"])


def test_a_cohort_without_one_stands_beside_one_that_has_it(tmp_path):
    known = {m: of for m, of in ERRORS.items() if m != CEILING}
    study = scores_of(
        tmp_path, *rows(known, cohort="study", data="real"), *rows(cohort="elsewhere")
    )
    assert ways(study, MAIN, METHODS).empty
    found = ways(study, EXTERNAL, METHODS)
    assert set(found["cohort"]) == {"elsewhere"} and len(found) == 3


def test_the_ceiling_is_in_no_comparison_of_methods(tmp_path):
    study = scores_of(tmp_path, *rows())
    assert set(study.scores["method"]) == set(study.scores["method"].cat.categories) & set(ERRORS)
    assert CEILING not in study.scores["method"].cat.categories
    assert set(study.ceiling["method"]) == {CEILING}
    values = study.values(MAIN, [*METHODS, CEILING])
    assert set(mean_over_tracers(values)["method"]) == {"template", "unet"}


def test_a_subject_without_its_ceiling_is_told(tmp_path):
    study = scores_of(tmp_path, *rows()[:-1])
    with pytest.raises(
        ReladError,
        match=r"metrics\.csv: .* subject D of study, whose ceiling \(tau\)",
    ):
        ceiling_values(study, MAIN, study.values(MAIN, METHODS))


def test_a_result_that_does_not_show_it_has_none(tmp_path):
    study = scores_of(tmp_path, *rows())
    values = study.values(MAIN, METHODS)
    assert len(ceiling_values(study, MAIN, values)) == 4
    assert ceiling_values(study, entry("table", "fidelity"), values).empty


def test_people_whom_nobody_was_tested_on_are_left_out(tmp_path):
    more = score(method=CEILING, subject="E", value=30.0)
    study = scores_of(tmp_path, *rows(), more)
    found = ceiling_values(study, MAIN, study.values(MAIN, METHODS))
    assert sorted(found["subject"]) == list(SUBJECTS)


def test_its_kind_of_data_is_that_of_the_methods_beside_it(tmp_path):
    """Of a hybrid cohort: models that learnt from simulated scans make simulated images."""
    known = {m: of for m, of in ERRORS.items() if m != CEILING}
    own = rows({CEILING: ERRORS[CEILING]}, data="hybrid")
    study = scores_of(tmp_path, *rows(known, data="simulated"), *own)
    assert set(ceiling_values(study, MAIN, study.values(MAIN, METHODS))["data"]) == {"simulated"}


# --- the interval --------------------------------------------------------------------------------


def test_fiellers_interval_ends_where_students_does_not_tell_the_difference_from_0():
    random = np.random.default_rng(1)
    second = random.normal(2.0, 0.6, 9)
    first = 0.6 * second + random.normal(0, 0.3, 9)
    ratio, ends = ratio_of_means(first, second, level=0.9)
    assert ratio == pytest.approx(first.mean() / second.mean())
    low, high = (mean_interval(first - r * second, level=0.9) for r in ends)
    assert low[0] == pytest.approx(0, abs=1e-12) and high[1] == pytest.approx(0, abs=1e-12)
    assert ends[0] < ratio < ends[1]


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [
        ([1.0], [2.0], 0.5),  # one subject
        ([1.0, 2.0, 1.0], [9.0, -8.0, 1.0], 2.0),  # not told from 0
        ([1.0, 1.0], [-1.0, -1.0], np.nan),
        ([1.0, 1.0], [0.0, 0.0], np.nan),
    ],
)
def test_where_subjects_tell_no_interval_there_is_none(first, second, ratio):
    found, interval = ratio_of_means(first, second, level=0.95)
    assert interval is None
    assert found == pytest.approx(ratio, nan_ok=True)


def test_the_interval_covers_what_it_says():
    """95 % of 4,000 cohorts of eight, whose true ratio is 0.7."""
    random = np.random.default_rng(0)
    second = random.normal(1.0, 0.4, (4000, 8))
    first = 0.7 * second + random.normal(0, 0.25, second.shape)
    ends = [ratio_of_means(a, b, level=0.95)[1] for a, b in zip(first, second, strict=True)]
    covered = np.mean([low <= 0.7 <= high for low, high in filter(None, ends)])
    assert sum(each is None for each in ends) < 40
    assert abs(covered - 0.95) < 4 * stats.binom.std(4000, 0.95) / 4000
