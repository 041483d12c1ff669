"""Rows to values per subject: what is averaged, and what must not be mixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.fileio import write_table
from relad.results.scores import (
    COLUMNS,
    ablation_groups,
    main_methods,
    mean_over_tracers,
    read_scores,
    subjects_of,
    values_of,
)
from tests.helpers.fake_study import make_settings


def row(**changes) -> dict:
    base = {
        "cohort": "study",
        "method": "unet",
        "sampler": "forward",
        "fold": 0,
        "seed": 0,
        "subject": "A",
        "tracer": "tau",
        "region": "brain",
        "metric": "psnr",
        "value": 20.0,
    }
    return {**base, **changes}


def read(tmp_path: Path, *rows: dict):
    write_table(tmp_path / "metrics.csv", rows, COLUMNS)
    return read_scores([tmp_path / "metrics.csv"], make_settings())


def test_seeds_are_averaged_within_a_subject_before_subjects(tmp_path):
    scores = read(
        tmp_path,
        row(subject="A", seed=0, value=20.0),
        row(subject="A", seed=1, value=22.0),
        row(subject="B", seed=0, value=30.0),
    )
    # The plain mean of the three rows would be 24.
    assert list(values_of(scores, "study", "tau", "unet", "psnr")) == [21.0, 30.0]


def test_folds_are_concatenated_and_tracers_kept_apart(tmp_path):
    scores = read(
        tmp_path,
        row(subject="A", fold=0, value=20.0),
        row(subject="B", fold=1, value=22.0),
        row(subject="A", tracer="amyloid", value=10.0),
    )
    assert scores["study", "tau", "unet", "psnr"] == {"A": 20.0, "B": 22.0}
    assert mean_over_tracers(scores, "study", "unet", "psnr") == {"A": 15.0, "B": 22.0}


def test_models_of_several_folds_are_averaged_in_an_external_cohort(tmp_path):
    scores = read(
        tmp_path,
        row(cohort="elsewhere", fold=0, value=20.0),
        row(cohort="elsewhere", fold=1, value=24.0),
    )
    assert scores["elsewhere", "tau", "unet", "psnr"] == {"A": 22.0}


def test_other_regions_and_metrics_are_left_out(tmp_path):
    scores = read(tmp_path, row(), row(region="hippocampus"), row(metric="bias"))
    assert list(scores) == [("study", "tau", "unet", "psnr")]


def test_a_value_given_twice_is_refused(tmp_path):
    with pytest.raises(ReladError, match="given twice"):
        read(tmp_path, row(), row())


def test_two_samplers_are_refused(tmp_path):
    with pytest.raises(ReladError, match="sampled with ddim-10 and ddpm-1000"):
        read(tmp_path, row(sampler="ddim-10"), row(sampler="ddpm-1000", seed=1))


@pytest.mark.parametrize("column", ["cohort", "tracer", "method"])
def test_what_the_settings_do_not_know_is_refused(tmp_path, column):
    with pytest.raises(ReladError, match=f"{column} 'unheard-of' is not in the settings"):
        read(tmp_path, row(**{column: "unheard-of"}))


@pytest.mark.parametrize("value", ["", "many", "nan"])
def test_a_value_that_is_no_number_is_refused(tmp_path, value):
    with pytest.raises(ReladError, match="is not a number"):
        read(tmp_path, row(value=value))


def test_a_table_of_something_else_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("subject,value\nA,1\n")
    with pytest.raises(ReladError, match="lacks the columns cohort, method"):
        read_scores([tmp_path / "other.csv"], make_settings())


def test_methods_tested_on_other_subjects_are_not_compared(tmp_path):
    scores = read(tmp_path, row(subject="A"), row(method="rela", subject="B"))
    with pytest.raises(ReladError, match="not tested on the same subjects"):
        subjects_of(scores, "study", "tau", ["rela", "unet"])
    assert subjects_of(scores, "study", "tau", ["unet"]) == ["A"]


def test_ablations_are_no_main_methods():
    settings = make_settings()
    assert main_methods(settings) == ["rela", "unet", "template"]
    assert ablation_groups(settings) == {"rela": ["rela-no-t1w"]}
