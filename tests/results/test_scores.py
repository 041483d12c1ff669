"""Rows to values per subject: what is averaged, and what must not be mixed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from relad.errors import ReladError
from relad.fileio import write_json, write_table
from relad.results.measured import read_measured
from relad.results.scores import COLUMNS, mean_over_tracers, read_scores, subject_values
from relad.study.catalogue import BRAIN
from relad.study.settings import ResultSettings, typed
from tests.helpers.fake_study import make_settings, score, scores_of

SETTINGS = typed(ResultSettings, make_settings())
METHODS = list(SETTINGS.methods)
METRICS = ("psnr", "ssim", "mae")


def values(tmp_path: Path, *rows: dict, cohort: str = "study") -> pd.DataFrame:
    """Values of PSNR rows, to each of which other metrics, 0.5, are added."""
    added = [{**row, "metric": metric, "value": 0.5} for row in rows for metric in ("ssim", "mae")]
    every = [*rows, *added]
    return subject_values(scores_of(tmp_path, *every).scores, [cohort], METHODS, METRICS, BRAIN)


def test_rows_are_read_as_they_stand(tmp_path):
    scores = scores_of(tmp_path, score(subject="007"), score(subject="1e5", value=0.1)).scores
    assert tuple(scores) == (*COLUMNS, "file")
    assert list(scores["subject"]) == ["007", "1e5"]
    assert list(scores["value"]) == [20.0, 0.1]
    assert list(scores["fold"]) == ["0", "0"]


@pytest.mark.parametrize("subject", ["NA", "nan", "None", "null", "007", "1e5", "Ä1"])
def test_a_subjects_label_is_a_name_whatever_it_looks_like(tmp_path, subject):
    assert list(values(tmp_path, score(subject=subject))["subject"]) == [subject]


def test_a_number_keeps_its_last_digit(tmp_path):
    exact = 21.313570727745663
    assert scores_of(tmp_path, score(value=repr(exact))).scores["value"].item() == exact


@pytest.mark.parametrize(("metric", "value"), [("psnr", "inf"), ("spectral_high", "-inf")])
def test_what_has_no_mean_is_refused_with_person_and_table(tmp_path, metric, value):
    rows = [score(subject=s, metric=metric, value=v) for s, v in (("A", 1.0), ("B", value))]
    told = rf"metrics\.csv: {metric} of unet is infinite for subject B of study \(tau\)"
    with pytest.raises(ReladError, match=told):
        subject_values(scores_of(tmp_path, *rows).scores, ["study"], METHODS, [metric], BRAIN)


def test_seeds_are_averaged_within_a_subject_before_subjects(tmp_path):
    found = values(
        tmp_path,
        score(subject="A", seed=0, value=20.0),
        score(subject="A", seed=1, value=22.0),
        score(subject="B", seed=0, value=30.0),
    )
    # The plain mean of the three rows would be 24.
    assert list(found["psnr"]) == [21.0, 30.0]


def test_folds_are_concatenated_and_tracers_kept_apart(tmp_path):
    found = values(
        tmp_path,
        score(subject="A", fold=0, value=20.0),
        score(subject="B", fold=1, value=22.0),
        score(subject="A", tracer="amyloid", value=10.0),
    )
    assert list(found[found["tracer"] == "tau"]["psnr"]) == [20.0, 22.0]
    means = mean_over_tracers(found)
    assert list(zip(means["subject"], means["psnr"], strict=True)) == [("A", 15.0), ("B", 22.0)]


def test_tracers_are_averaged_within_a_sampling(tmp_path):
    rows = [
        score(sampler=sampler, tracer=tracer, value=psnr + apart)
        for sampler, psnr in (("ddim-10x4", 20.0), ("ddim-10", 17.0))
        for tracer, apart in (("tau", 1.0), ("amyloid", -1.0))
    ]
    scores = scores_of(tmp_path, *rows).scores
    both = subject_values(scores, ["study"], METHODS, ("psnr",), BRAIN, single_samples=True)
    means = mean_over_tracers(both)
    assert dict(zip(means["sampler"], means["psnr"], strict=True)) == {
        "ddim-10x4": 20.0,
        "ddim-10": 17.0,
    }


def test_models_of_several_folds_are_averaged_in_an_external_cohort(tmp_path):
    rows = [score(cohort="elsewhere", fold=fold, value=20.0 + 4 * fold) for fold in (0, 1)]
    assert list(values(tmp_path, *rows, cohort="elsewhere")["psnr"]) == [22.0]


def test_values_come_in_the_configurations_order(tmp_path):
    rows = [
        score(method=method, tracer=tracer)
        for method in ("unet", "template", "rela")
        for tracer in ("amyloid", "tau")
    ]
    found = values(tmp_path, *rows)
    assert list(found["tracer"].unique()) == ["tau", "amyloid"]
    assert list(found["method"].unique()) == ["rela", "unet", "template"]


def test_a_value_given_twice_is_refused(tmp_path):
    with pytest.raises(ReladError, match=r"metrics\.csv: psnr of subject A.* is given twice"):
        scores_of(tmp_path, score(), score(value=21.0))


def test_a_value_given_twice_in_two_files_is_refused(tmp_path):
    scores_of(tmp_path, score())
    with pytest.raises(ReladError, match="given twice"):
        read_scores([tmp_path / "metrics.csv"] * 2, SETTINGS)


def test_two_samplers_are_not_compared(tmp_path):
    rows = [score(sampler="ddim-10"), score(sampler="ddpm-1000", seed=1)]
    with pytest.raises(ReladError, match=r"\.csv: unet was sampled with ddim-10 and ddpm-1000"):
        values(tmp_path, *rows)


def test_two_kinds_of_data_in_one_cohort_are_refused(tmp_path):
    with pytest.raises(
        ReladError, match=r"\.csv: data of cohort study are both real and simulated"
    ):
        scores_of(tmp_path, score(), score(subject="B", data="real"))


@pytest.mark.parametrize("column", ["cohort", "tracer", "method"])
def test_what_the_settings_do_not_know_is_refused(tmp_path, column):
    told = rf"metrics\.csv: {column} 'unheard-of' is not in the settings"
    with pytest.raises(ReladError, match=told):
        scores_of(tmp_path, score(), score(**{column: "unheard-of"}))


@pytest.mark.parametrize("column", ["region", "metric", "data"])
def test_what_no_table_shows_is_refused_rather_than_left_out(tmp_path, column):
    told = rf"metrics\.csv: {column} 'unheard-of' is not one of "
    with pytest.raises(ReladError, match=told):
        scores_of(tmp_path, score(), score(**{column: "unheard-of"}))


@pytest.mark.parametrize("value", ["", "many", "nan"])
def test_a_value_that_is_no_number_is_refused(tmp_path, value):
    with pytest.raises(
        ReladError, match=rf"metrics\.csv: value '{value}' is not a number -- run `relad"
    ):
        scores_of(tmp_path, score(value=value))


@pytest.mark.parametrize(("metric", "value"), [("ssim", 7.5), ("mae", -1), ("crps", -2)])
def test_a_value_that_the_metric_cannot_have_is_refused(tmp_path, metric, value):
    with pytest.raises(ReladError, match=rf"metrics\.csv: {metric} .*{value}"):
        scores_of(tmp_path, score(metric=metric, value=value))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("subject,value\nA,1\n", "lacks the columns cohort, data, method"),
        (",".join((*COLUMNS, "value")) + "\n" + "1," * 11 + "1\n", "has the columns value twice"),
        (",".join(COLUMNS) + "\nstudy,simulated\n", "tracer .* is not in the settings"),
        (",".join(COLUMNS) + "\n" + 12 * "study,", "not a readable table .*saw 13"),
        ("", "not a readable table"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, text, told):
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(ReladError, match=rf"other\.csv: {told}"):
        read_scores([tmp_path / "other.csv"], SETTINGS)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(ReladError, match="no such table"):
        read_scores([tmp_path / "none.csv"], SETTINGS)
    (tmp_path / "other.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReladError, match="not a readable table"):
        read_scores([tmp_path / "other.csv"], SETTINGS)


def test_methods_tested_on_other_subjects_are_not_compared(tmp_path):
    rows = [score(subject="A"), score(method="rela", subject="B")]
    with pytest.raises(ReladError, match=r"not tested on the same subjects of study \(tau\): A, B"):
        values(tmp_path, *rows)
    assert len(values(tmp_path, rows[0])) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tracer": "amyloid"}, r"for the same tracers of study: amyloid"),
        ({"seed": 1}, r"with the same folds and seeds in study: fold 0 seed 1"),
        ({"subject": "B"}, r"on the same subjects of study \(tau\): B"),
    ],
)
@pytest.mark.parametrize("method", ["unet", "rela"])
def test_what_one_method_alone_was_tested_with_is_not_compared(tmp_path, method, changes, told):
    """Its mean would be one over other tests than another's."""
    rows = [score(), score(method="rela"), score(method=method, **changes)]
    with pytest.raises(ReladError, match=rf"(rela|unet) .* were not tested {told}"):
        values(tmp_path, *rows)
    other = "rela" if method == "unet" else "unet"
    assert len(values(tmp_path, *rows, score(method=other, **changes)))


@pytest.mark.parametrize("lacking", ["unet", "rela"])
def test_the_table_that_lacks_a_row_is_named(tmp_path, lacking):
    """Of the tables of one method that of the same fold and seed, whichever comes first."""
    files = []
    for method in ("unet", "rela"):
        for seed in (0, 1):
            people = "A" if (method, seed) == (lacking, 1) else "AB"
            rows = [score(method=method, subject=s, seed=seed) for s in people]
            files.append(tmp_path / f"{method}-{seed}.csv")
            write_table(files[-1], rows, COLUMNS)
    scores = read_scores(files, SETTINGS)
    told = r"were not tested on the same subjects of study with fold 0 seed 1 \(tau\): B"
    with pytest.raises(ReladError, match=told) as raised:
        subject_values(scores, ["study"], METHODS, ("psnr",), BRAIN)
    assert str(raised.value).startswith(str(tmp_path / f"{lacking}-1.csv"))


def test_a_fold_of_one_method_alone_is_not_compared_elsewhere(tmp_path):
    rows = [score(cohort="elsewhere", method=m, fold=0) for m in ("unet", "rela")]
    rows.append(score(cohort="elsewhere", method="rela", fold=1))
    with pytest.raises(ReladError, match="same folds and seeds in elsewhere: fold 1 seed 0"):
        values(tmp_path, *rows, cohort="elsewhere")


def test_a_metric_that_a_method_has_nobody_of_is_named(tmp_path):
    rows = [score(method=m, metric=k, value=0.5) for m in ("unet", "rela") for k in METRICS]
    scores = scores_of(tmp_path, *rows[:-1]).scores
    with pytest.raises(ReladError, match=r"metrics\.csv: no mae of rela .* `relad evaluate`"):
        subject_values(scores, ["study"], METHODS, METRICS, BRAIN)


def test_a_subject_tested_in_two_folds_is_refused_at_home_alone(tmp_path):
    """At home one of the two models was trained with them; elsewhere all folds' models count."""
    told = r"subject A of study is tested in fold 1 and, in .*metrics\.csv, in fold 0"
    with pytest.raises(ReladError, match=told):
        scores_of(tmp_path, score(), score(fold=1))
    with pytest.raises(ReladError, match=told):
        scores_of(tmp_path, score(), score(method="rela", fold=1))
    scores_of(tmp_path, *(score(cohort="elsewhere", fold=fold) for fold in (0, 1)))


@pytest.mark.parametrize("column", ["fold", "seed"])
@pytest.mark.parametrize("value", ["00", "-1", "one", "1.0", ""])
def test_a_fold_or_seed_is_a_whole_number(tmp_path, column, value):
    with pytest.raises(
        ReladError, match=rf"metrics\.csv: {column} '{value}' is not a whole number"
    ):
        scores_of(tmp_path, score(**{column: value}))


def test_a_table_without_rows_is_refused_unless_its_record_says_why(tmp_path):
    file = tmp_path / "empty.csv"
    file.write_text(",".join(COLUMNS) + "\n")
    for told in (None, {"untrained": [], "left_out": {}}):
        if told is not None:
            write_json(file.with_suffix(".json"), told)
        with pytest.raises(ReladError, match=r"empty\.csv: has no rows -- run `relad evaluate`"):
            read_scores([file], SETTINGS)
    for told in ({"untrained": ["tau"]}, {"left_out": {"A": "by its id"}}):
        write_json(file.with_suffix(".json"), told)
        assert read_scores([file], SETTINGS).empty
        assert read_measured([file]) == []


def test_a_metric_that_lacks_a_subject_is_not_compared(tmp_path):
    rows = [score(subject=s, metric=m, value=0.5) for s in "AB" for m in METRICS]
    with pytest.raises(ReladError, match=r"unet \(mae\) and unet \(psnr\) .*: B"):
        subject_values(scores_of(tmp_path, *rows[:-1]).scores, ["study"], METHODS, METRICS, BRAIN)


def test_nothing_gives_no_values():
    assert subject_values(read_scores([], SETTINGS), ["study"], METHODS, METRICS, BRAIN).empty
