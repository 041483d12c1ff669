"""The table of costs."""

from __future__ import annotations

from dataclasses import replace

from relad.fileio import read_table
from relad.results.tables.runtime import COLUMNS, costs, runtime_table
from relad.status import Kind
from tests.helpers.fake_study import entry

RUNTIME = entry("table", "runtime")


def test_costs_are_written_as_counted_and_measured(study, tmp_path):
    runtime_table(study, RUNTIME).write(tmp_path)
    rows = read_table(tmp_path / "runtime.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [r["method"] for r in rows] == ["rela", "unet", "template"]
    rela, template = rows[0], rows[2]
    assert (rela["parameters"], rela["updates"], rela["evaluations"]) == ("1234567", "500", "10")
    assert rela["train_seconds"] == "100.500000"
    assert (template["parameters"], template["data"]) == ("0", "simulated")


def test_it_says_that_times_vary_and_that_data_are_simulated(study):
    table = runtime_table(study, RUNTIME)
    assert table.caption.startswith(
        "Cost of every method, written by its own runs: means over its trained models "
        "(folds and seeds: 1 each)."
    )
    assert "measured and vary from run to run" in table.caption
    assert "SIMULATED DATA" in table.warning
    study.models = [replace(model, kind=Kind.REAL) for model in study.models]
    table = runtime_table(study, RUNTIME)
    assert table.warning == "" and set(table.rows["data"]) == {"real"}


def test_it_holds_the_methods_that_are_compared_and_no_ablation(study):
    assert "rela-no-t1w" in {model.method for model in study.models}
    assert "rela-no-t1w" not in costs(study, RUNTIME)


def test_all_methods_are_timed_on_the_training_cohort(study):
    study.synthesized = [
        replace(s, seconds_per_volume=100.0) if s.cohort == "elsewhere" else s
        for s in study.synthesized
    ]
    assert max(cost.seconds_per_volume for cost in costs(study, RUNTIME).values()) < 1


def test_what_was_not_measured_is_not_available(study):
    study.synthesized = []
    table = runtime_table(study, RUNTIME)
    assert table.groups[0][0][-1].text == "n/a"
    assert "| n/a |" in table.markdown()


def test_without_models_there_is_no_table(study):
    study.models = []
    assert runtime_table(study, RUNTIME) is None


def test_times_are_compared_only_where_they_were_measured_alike(study):
    assert "load of the machine unknown" in runtime_table(study, RUNTIME).caption
    for loads, told in (
        ((0.3, 0.9), "load 0.3 to 0.9 processes per core. "),  # nobody waited
        ((2.0, 2.4), "load 2 to 2.4 processes per core. "),
        ((0.5, 1.5), "load 0.5 to 1.5 processes per core, too unlike to compare times. "),
    ):
        for number, model in enumerate(study.models):
            model.measured["load_per_core"] = loads[number % 2]
        study.synthesized = []
        assert f"; {told}Times and memory" in runtime_table(study, RUNTIME).caption
