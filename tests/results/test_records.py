"""Costs that runs wrote about themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.fileio import read_json, write_json
from relad.results.records import read_costs
from tests.helpers.fake_study import make_settings


def model(folder: Path, **changes) -> Path:
    write_json(
        folder / "train.json",
        {
            "method": "unet",
            "counts": {"parameters_generator": 10, "parameters_total": 12, "updates": 500},
            "measured": {"seconds": 100.0, "peak_memory_mb": 900.0, "device": "cpu"},
            **changes,
        },
    )
    return folder


def synthesis(folder: Path, **changes) -> Path:
    write_json(
        folder / "synthesis.json",
        {
            "cohort": "study",
            "method": "unet",
            "evaluations": 1,
            "seconds_per_volume": 0.5,
            "peak_memory_mb": 300.0,
            "device": "cpu",
            **changes,
        },
    )
    return folder


def test_means_over_runs_and_only_the_training_cohort(tmp_path):
    second = {"seconds": 200.0, "peak_memory_mb": 1100.0, "device": "NVIDIA H200"}
    costs = read_costs(
        [model(tmp_path / "a"), model(tmp_path / "b", measured=second)],
        [
            synthesis(tmp_path / "c"),
            synthesis(tmp_path / "d", seconds_per_volume=1.5),
            synthesis(tmp_path / "e", cohort="elsewhere", seconds_per_volume=100.0),
        ],
        make_settings(),
    )
    cost = costs["unet"]
    assert (cost.parameters, cost.parameters_total, cost.updates) == (10, 12, 500)
    assert (cost.train_seconds, cost.train_memory_mb) == (150.0, 1000.0)
    assert (cost.evaluations, cost.seconds_per_volume) == (1, 1.0)
    assert cost.device == "cpu, NVIDIA H200"
    assert cost.runs == 2


def test_what_was_not_measured_is_none(tmp_path):
    costs = read_costs([model(tmp_path / "a", measured={})], [], make_settings())
    assert costs["unet"].train_seconds is None
    assert costs["unet"].seconds_per_volume is None
    assert costs["unet"].device == "unknown"


def test_methods_come_in_the_configurations_order(tmp_path):
    folders = [model(tmp_path / m, method=m) for m in ("template", "unet", "rela")]
    assert list(read_costs(folders, [], make_settings())) == ["rela", "unet", "template"]


def test_an_unknown_method_is_refused(tmp_path):
    with pytest.raises(ReladError, match="'gan' is not in the settings"):
        read_costs([model(tmp_path / "a", method="gan")], [], make_settings())


def test_a_folder_without_its_record_is_refused(tmp_path):
    with pytest.raises(ReladError, match=r"train\.json: no such file"):
        read_costs([tmp_path], [], make_settings())


def test_a_count_that_is_none_is_refused(tmp_path):
    folder = model(tmp_path / "a")
    record = read_json(folder / "train.json")
    record["counts"]["updates"] = "many"
    write_json(folder / "train.json", record)
    with pytest.raises(ReladError, match="updates is not a whole number"):
        read_costs([folder], [], make_settings())
